#include "cage/cgroup.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include "runtime/files.h"

namespace kiln::cage {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t max_bytes = 64UL * 1024;
constexpr std::array needed = {"memory", "pids"};

Status write_value(const fs::path& file, std::string_view value) {
  auto fd = runtime::open_file(file, O_WRONLY);
  if (!fd) return fail(std::move(fd.error()));
  return runtime::write_all(fd->get(), value, fmt::format("while writing '{}' to {}", value, file.native()));
}

bool has_word(std::string_view text, std::string_view word) {
  for (std::size_t begin = 0; begin < text.size();) {
    const auto end = std::min(text.find_first_of(" \n", begin), text.size());
    if (text.substr(begin, end - begin) == word) return true;
    begin = end + 1;
  }
  return false;
}

}  // namespace

Result<fs::path> take_over(const fs::path& root, const std::string& self) {
  auto text = self.empty() ? runtime::read_file("/proc/self/cgroup", max_bytes) : Result<std::string>(self);
  if (!text) return fail(std::move(text.error()));
  // "0::/system.slice/kiln-agent.service": the line of version 2.
  const auto at = text->starts_with("0::") ? 0 : text->find("\n0::");
  if (at == std::string::npos) return fail(Code::not_found, "this system has no control groups of version 2");
  const auto begin = text->find("0::", at) + 3;
  const auto path = text->substr(begin, text->find('\n', begin) - begin);
  const auto own = path == "/" ? root : root / path.substr(1);

  auto controllers = runtime::read_file(own / "cgroup.controllers", max_bytes);
  if (!controllers)
    return fail(Code::not_found, fmt::format("there are no control groups of version 2 in {}", own.native()));
  for (const auto* one : needed) {
    if (has_word(*controllers, one)) continue;
    return fail(Code::denied,
                fmt::format("{} is not delegated: it has no '{}'; Delegate=memory pids would be right",
                            own.native(), one));
  }
  if (path == "/" || ::access((own / "cgroup.subtree_control").c_str(), W_OK) != 0)
    return fail(Code::denied, fmt::format("{} is not ours", own.native()));
  std::error_code error;
  fs::create_directory(own / "agent", error);
  if (error) return fail(runtime::os_error(error.value(), fmt::format("making {}/agent", own.native())));
  if (auto moved = write_value(own / "agent/cgroup.procs", "0"); !moved)
    return fail(std::move(moved.error()));
  for (const auto* one : needed) {
    auto passed = write_value(own / "cgroup.subtree_control", fmt::format("+{}", one));
    if (!passed) return fail(std::move(passed.error()));
  }
  return own;
}

Result<Group> Group::make(const fs::path& folder, std::uint64_t memory_bytes, std::uint64_t processes) {
  Group out;
  std::error_code error;
  fs::remove(folder, error);  // of an agent that was killed
  if (!fs::create_directory(folder, error) && error)
    return fail(
        runtime::os_error(error.value(), fmt::format("making the control group {}", folder.native())));
  out.folder_ = folder;
  if (auto set = write_value(folder / "memory.max", std::to_string(memory_bytes)); !set)
    return fail(set.error());
  if (auto set = write_value(folder / "pids.max", std::to_string(processes)); !set) return fail(set.error());
  // Where there is swap and its accounting: swapping out in place of failing would slow all slots.
  if (fs::exists(folder / "memory.swap.max", error))
    static_cast<void>(write_value(folder / "memory.swap.max", "0"));
  auto join = runtime::open_file(folder / "cgroup.procs", O_WRONLY);
  if (!join) return fail(std::move(join.error()));
  out.join_ = std::move(*join);
  return out;
}

Group::~Group() {
  if (folder_.empty()) return;
  kill();
  // The killed leave the group when they are gone, not when they are told.
  for (int i = 0; i < 500 && ::rmdir(folder_.c_str()) != 0 && errno == EBUSY; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
}

Group::Group(Group&& other) noexcept
    : folder_(std::exchange(other.folder_, {})), join_(std::move(other.join_)) {}

Group& Group::operator=(Group&& other) noexcept {
  std::swap(folder_, other.folder_);
  std::swap(join_, other.join_);
  return *this;
}

std::uint64_t Group::out_of_memory() const {
  if (folder_.empty()) return 0;
  const auto text = runtime::read_file(folder_ / "memory.events", max_bytes).value_or("");
  constexpr std::string_view name = "oom_kill ";
  const auto at = text.find(name);
  std::uint64_t count = 0;
  if (at != std::string::npos)
    std::from_chars(text.data() + at + name.size(), text.data() + text.size(), count);
  return count;
}

void Group::kill() const {
  if (!folder_.empty()) static_cast<void>(write_value(folder_ / "cgroup.kill", "1"));
}

}  // namespace kiln::cage
