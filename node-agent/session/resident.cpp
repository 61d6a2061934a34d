#include "session/resident.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <utility>
#include <vector>

#include "runtime/files.h"

namespace kiln::session {

namespace {

using Clock = std::chrono::steady_clock;

constexpr int answer_number = 3;                         // the descriptor's number in the child
constexpr std::size_t max_answer_bytes = 1024UL * 1024;  // a list of some thousand files
constexpr std::size_t max_line_bytes = 16UL * 1024;      // of stdout; longer ones are told in pieces
constexpr std::chrono::milliseconds tick{1000};

}  // namespace

Result<Resident> Resident::start(const Launch& launch) {
  auto commands = runtime::make_pipe();
  auto answers = runtime::make_pipe();
  auto output = runtime::make_pipe();
  for (auto* pipe : {&commands, &answers, &output}) {
    if (!*pipe) return fail(std::move(pipe->error()));
  }
  runtime::SpawnOptions options;
  options.argv = {launch.blender, "-b", "--factory-startup", "-noaudio", launch.autoexec ? "-y" : "-Y"};
  if (launch.threads > 0) options.argv.insert(options.argv.end(), {"-t", std::to_string(launch.threads)});
  options.argv.insert(options.argv.end(),
                      {"-P", launch.script.string(), "--", std::to_string(answer_number)});
  options.cwd = launch.tmp;
  options.launcher = launch.cage;
  options.environment = launch.environment;
  options.environment.emplace_back("TMPDIR", launch.tmp.string());
  options.descriptors = {{commands->read.get(), 0},
                         {output->write.get(), 1},
                         {output->write.get(), 2},
                         {answers->write.get(), answer_number}};
  auto process = runtime::Process::spawn(options);
  if (!process) return fail(std::move(process.error()));

  Resident resident;
  resident.process_ = std::move(*process);
  resident.commands_ = std::move(commands->write);
  resident.answers_ = std::move(answers->read);
  resident.output_ = std::move(output->read);
  for (const auto* pipe : {&resident.answers_, &resident.output_}) {
    ::fcntl(pipe->get(), F_SETFL, O_NONBLOCK);
  }
  return resident;
}

bool Resident::alive() const {
  pollfd ended{process_.pidfd(), POLLIN, 0};
  return process_.running() && ::poll(&ended, 1, 0) == 0;
}

std::uint64_t Resident::memory_mib() const {
  const auto text = runtime::read_file(fmt::format("/proc/{}/statm", pid()), 4096);
  unsigned long long pages = 0;
  if (!text || std::sscanf(text->c_str(), "%*u %llu", &pages) != 1) return 0;
  return pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)) / (1024UL * 1024);
}

Status Resident::send(const Json& command) {
  // A command is smaller than a pipe's buffer, except for thousands of path mappings, which the script reads
  // on.
  return runtime::write_all(commands_.get(), command.dump() + "\n", "while commanding Blender");
}

bool Resident::drain(const runtime::Fd& pipe, std::string& into, bool& heard) {
  std::array<char, 16UL * 1024> buffer;
  for (;;) {
    const auto got = ::read(pipe.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno == EAGAIN;
    if (got == 0) return false;
    heard = true;
    into.append(buffer.data(), static_cast<std::size_t>(got));
    if (into.size() > max_answer_bytes) return true;
  }
}

void Resident::tell_lines(const Ear& ear, bool all) {
  std::size_t begin = 0;
  for (;;) {
    auto end = output_bytes_.find('\n', begin);
    if (end == std::string::npos) {
      const auto left = output_bytes_.size() - begin;
      if (left == 0 || (!all && left < max_line_bytes)) break;
      end = output_bytes_.size();
    }
    if (ear.on_line) ear.on_line(std::string_view(output_bytes_).substr(begin, end - begin));
    begin = std::min(end + 1, output_bytes_.size());
  }
  output_bytes_.erase(0, begin);
}

Resident::Next Resident::next(const Wakes& wakes, const Patience& patience, const Ear& ear) {
  const auto hang_ms = patience.hang_ms;
  auto last_heard = Clock::now();
  bool output_open = true;
  bool answers_open = true;
  for (;;) {
    if (const auto end = answer_bytes_.find('\n'); end != std::string::npos) {
      const std::string line = answer_bytes_.substr(0, end);
      answer_bytes_.erase(0, end + 1);
      auto answer = Json::parse(line, {.bytes = max_answer_bytes, .depth = 16, .values = 65'536});
      if (!answer) return Nonsense{answer.error().message};
      return std::move(*answer);
    }
    if (answer_bytes_.size() > max_answer_bytes) return Nonsense{"an answer without an end"};

    const auto silent = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - last_heard);
    if (hang_ms >= 0 && silent.count() >= hang_ms) return Silent{};
    auto pause = tick;
    if (hang_ms >= 0) pause = std::min(pause, std::chrono::milliseconds(hang_ms) - silent);
    if (patience.until) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(*patience.until - Clock::now());
      if (left.count() <= 0) return Late{};
      pause = std::min(pause, left);
    } else if (!ear.on_tick && hang_ms < 0) {
      pause = std::chrono::milliseconds(-1);
    }
    // A negative descriptor is left out by poll.
    std::array<pollfd, 5> fds{{{answers_open ? answers_.get() : -1, POLLIN, 0},
                               {output_open ? output_.get() : -1, POLLIN, 0},
                               {process_.pidfd(), POLLIN, 0},
                               {wakes[0], POLLIN | POLLRDHUP, 0},
                               {wakes[1], POLLIN | POLLRDHUP, 0}}};
    const int ready = ::poll(fds.data(), fds.size(), static_cast<int>(pause.count()));
    if (ready < 0 && errno == EINTR) continue;

    bool heard = false;
    if (fds[1].revents != 0) output_open = drain(output_, output_bytes_, heard);
    if (fds[0].revents != 0) answers_open = drain(answers_, answer_bytes_, heard);
    tell_lines(ear, false);
    if (heard) last_heard = Clock::now();
    if (fds[3].revents != 0 || fds[4].revents != 0) return Woken{};
    if (answer_bytes_.find('\n') != std::string::npos) continue;
    if (fds[2].revents != 0) {
      const auto status = process_.kill();  // already ended: this takes the rest of its group along
      if (output_open) drain(output_, output_bytes_, heard);
      tell_lines(ear, true);
      return Ended{status};
    }
    if (ear.on_tick) ear.on_tick();
  }
}

void Resident::kill() {
  if (process_.running()) process_.kill();
}

}  // namespace kiln::session
