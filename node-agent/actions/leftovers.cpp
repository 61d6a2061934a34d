#include "actions/leftovers.h"

#include <fmt/format.h>
#include <sys/syscall.h>

#include <charconv>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <thread>

#include "runtime/fd.h"
#include "runtime/files.h"

namespace kiln::actions {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t max_environment = 8UL * 1024 * 1024;  // more than the kernel lets a program start with

bool is_marked(pid_t pid, std::string_view marker) {
  const auto environment = runtime::read_file(fmt::format("/proc/{}/environ", pid), max_environment);
  if (!environment) return false;
  const auto entry = fmt::format("{}={}", marker_name, marker);
  return environment->starts_with(entry) || environment->find('\0' + entry) != std::string::npos;
}

// 0 when there is no such process, or it has ended and is only not reaped yet.
pid_t parent_of(pid_t pid) {
  const auto stat = runtime::read_file(fmt::format("/proc/{}/stat", pid), 4096);
  if (!stat) return 0;
  // "17 (a name) with) S 1 …": the name may hold anything.
  const auto name_end = stat->rfind(')');
  if (name_end == std::string::npos || name_end + 4 >= stat->size() || (*stat)[name_end + 2] == 'Z') return 0;
  pid_t parent = 0;
  std::from_chars(stat->data() + name_end + 4, stat->data() + stat->size(), parent);
  return parent;
}

std::map<pid_t, pid_t> parents() {
  std::map<pid_t, pid_t> out;
  std::error_code error;
  for (fs::directory_iterator entry("/proc", error), end; !error && entry != end; entry.increment(error)) {
    const auto name = entry->path().filename().string();
    pid_t pid = 0;
    const auto [rest, wrong] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (wrong != std::errc() || rest != name.data() + name.size()) continue;
    if (const auto parent = parent_of(pid); parent > 0) out.emplace(pid, parent);
  }
  return out;
}

std::set<pid_t> leftovers(std::string_view marker, pid_t root) {
  const auto all = parents();
  std::set<pid_t> found;
  for (const auto& [pid, parent] : all) {
    if (is_marked(pid, marker)) found.insert(pid);
  }
  for (bool grows = true; grows;) {
    grows = false;
    for (const auto& [pid, parent] : all) {
      if ((parent == root && root > 0) || found.count(parent) > 0) grows = found.insert(pid).second || grows;
    }
  }
  found.erase(root);
  found.erase(::getpid());
  return found;
}

void kill_one(pid_t pid) {
  const runtime::Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  // Asked again: the number may be another process's by now, but not any more while pidfd is open.
  if (pidfd && parent_of(pid) > 0) ::syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);
}

}  // namespace

void kill_leftovers(std::string_view marker, pid_t root) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  bool was_clean = true;
  for (;;) {
    const auto found = leftovers(marker, root);
    // One that was just starting a program shows no environment: after a kill, look twice.
    if (found.empty() && was_clean) return;
    was_clean = found.empty();
    for (const auto pid : found) kill_one(pid);
    if (std::chrono::steady_clock::now() >= deadline) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

}  // namespace kiln::actions
