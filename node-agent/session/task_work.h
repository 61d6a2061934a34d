// A task in work, as its slot's thread sees it.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>

#include "session/log_ring.h"
#include "session/runner.h"

namespace kiln::session {

struct TaskWork {
  const payloads::RunTask& task;
  const Config& config;
  Outcome outcome;
  LogRing log;
  std::filesystem::path frames;  // this attempt's finished files

  payloads::TaskPhase phase = payloads::TaskPhase::fetching;
  std::int32_t frame = 0;
  double percent = 0;
  std::optional<double> eta_s;

  void tell() const {
    if (!config.on_progress) return;
    config.on_progress({.task = task.task,
                        .attempt = task.attempt,
                        .phase = phase,
                        .frame = frame,
                        .percent = percent,
                        .eta_s = eta_s});
  }
};

}  // namespace kiln::session
