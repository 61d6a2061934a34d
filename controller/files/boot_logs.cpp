#include "files/boot_logs.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

namespace kiln::files {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t uuid_letters = 36;
constexpr std::string_view ending = ".log";
constexpr std::int64_t ns_per_ms = 1'000'000;

}  // namespace

bool is_boot_id(std::string_view text) {
  return text.size() == uuid_letters && text.find_first_not_of("0123456789abcdef-") == std::string_view::npos;
}

Status BootLogs::write(const NodeId& node, const std::string& boot, std::string_view text) const {
  if (!is_boot_id(boot))
    return fail(Code::invalid,
                fmt::format("'{}' is no boot's id, as in /proc/sys/kernel/random/boot_id", boot));
  if (text.size() > max_boot_log_bytes) {
    return fail(Code::too_large, fmt::format("{} bytes; of a boot's log send at most {}, the end of it",
                                             text.size(), max_boot_log_bytes));
  }
  const auto folder = layout_.boots(node);
  if (auto made = runtime::make_folders(folder); !made) return made;
  if (auto written = runtime::write_file_atomically(folder / (boot + std::string(ending)), text); !written)
    return written;
  const auto kept = list(node);
  std::error_code ignored;
  for (std::size_t i = max_boot_logs; i < kept.size(); ++i)
    fs::remove(folder / (kept[i].boot + std::string(ending)), ignored);
  return {};
}

std::vector<BootLogs::Kept> BootLogs::list(const NodeId& node) const {
  std::vector<Kept> kept;
  std::error_code error;
  for (fs::directory_iterator at(layout_.boots(node), error), end; !error && at != end; at.increment(error)) {
    const auto name = at->path().filename().string();
    if (!name.ends_with(ending)) continue;
    auto boot = name.substr(0, name.size() - ending.size());
    if (!is_boot_id(boot)) continue;
    const auto file = open(node, boot);
    if (file) kept.push_back({std::move(boot), file->size, file->modified_ns / ns_per_ms});
  }
  std::sort(kept.begin(), kept.end(), [](const Kept& a, const Kept& b) {
    return a.at_ms != b.at_ms ? a.at_ms > b.at_ms : a.boot < b.boot;
  });
  return kept;
}

Result<OpenFile> BootLogs::open(const NodeId& node, const std::string& boot) const {
  const auto missing = [&] {
    return fail(Code::not_found, fmt::format("node {} has delivered no log of boot '{}'", node.str(), boot));
  };
  if (!is_boot_id(boot)) return missing();
  auto file = open_regular(AT_FDCWD, (layout_.boots(node) / (boot + std::string(ending))).string());
  if (!file && file.error().code == Code::not_found) return missing();
  return file;
}

}  // namespace kiln::files
