// The HTTP server: one blocking thread a connection, every wait with a deadline, every input bounded.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "http/connection.h"
#include "http/head.h"
#include "http/router.h"

namespace kiln::http {

// What the server has done since it started, for /metrics. Thread-safe.
struct Counters {
  std::array<std::atomic<std::uint64_t>, 6> answers{};  // by the status' first digit
  std::atomic<std::uint64_t> bytes_in{0};               // heads and bodies
  std::atomic<std::uint64_t> bytes_out{0};
  std::atomic<std::uint64_t> connections{0};  // open now
};

// One answered request, for a log.
struct Served {
  std::string peer;
  std::string method;  // "" when the head could not be read
  std::string path;
  int status = 0;
  std::uint64_t bytes_in = 0, bytes_out = 0;
  std::int64_t took_ms = 0;
};

struct Config {
  std::string address = "127.0.0.1";  // "0.0.0.0" or "::" for every interface
  std::uint16_t port = 8780;          // 0: any free one
  HeadRules head;
  std::size_t max_connections = 256;  // each holds a thread; beyond: 503 and Retry-After
  int backlog = 512;                  // a farm's nodes all come back at once after a power cut
  Milliseconds head_deadline{
      10'000};                     // from a request's first byte to its last; from the connect for the first
  Milliseconds idle{30'000};       // between two requests
  Milliseconds stall{30'000};      // a body or an answer that does not move
  Milliseconds stop_grace{3'000};  // what is under way may end by itself when the server stops
  // Null: plain only. Else TLS and plain share the port, and plain is for this machine's own programs: others
  // are sent to https.
  std::shared_ptr<const TlsContext> tls;
  Counters* counters = nullptr;                          // outlives the server; null: not counted
  std::function<void(const Served&)> on_served;          // from connection threads
  std::function<void(const std::string&)> on_complaint;  // what an operator should know; from any thread
};

class Server {
 public:
  // Listens and serves. Errors: conflict when the port is in use, invalid for a bad address, denied, io; each
  // names the address, the port and what to do.
  static Result<std::unique_ptr<Server>> start(Config config, Router router);
  ~Server();  // stop()
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  [[nodiscard]] std::uint16_t port() const;
  // Another certificate for the connections to come. From any thread. The server was started with one.
  void set_tls(std::shared_ptr<const TlsContext> tls);
  // Takes no more connections, ends the idle ones, waits stop_grace for the others, then cuts and joins them.
  void stop();

 private:
  struct State;
  explicit Server(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace kiln::http
