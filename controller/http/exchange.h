// One connection's requests, one after another. For server.cpp.
#pragma once

#include <atomic>
#include <functional>
#include <string>

#include "http/connection.h"
#include "http/router.h"
#include "http/server.h"

namespace kiln::http {

struct Exchange {
  const Config& config;
  const Router& router;
  Connection& connection;
  std::string peer;
  const std::atomic<bool>& is_stopping;
  // Said around the wait between two requests; set_idle(true) answers false when the server stops.
  std::function<bool(bool)> set_idle;
};

// Until the client goes, misbehaves or the server stops.
void serve(const Exchange& exchange);
// Reads one head and answers 503: there are too many connections.
void turn_away(const Exchange& exchange);

}  // namespace kiln::http
