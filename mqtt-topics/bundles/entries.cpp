#include "bundles/entries.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "payloads/http_bodies.h"

namespace kiln::bundles {

namespace {

constexpr std::size_t shown_bytes = 200;  // of a path, in a message

std::string shown(std::string_view path) {
  return fmt::format("'{}'", clip(to_utf8(path), shown_bytes));
}

tl::unexpected<Error> refuse(std::string_view path, std::string_view why) {
  return fail(Code::invalid, fmt::format("{} in the archive {}", shown(path), why));
}

// "./a/b/" -> "a/b"
std::string plain(std::string_view path) {
  while (path.starts_with("./")) {
    path.remove_prefix(2);
    while (path.starts_with('/')) path.remove_prefix(1);
  }
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  return path == "." ? std::string() : std::string(path);
}

// Goes up first, no further than the root, and then only down. See README.md.
bool stays_inside(std::string_view link, std::string_view path) {
  if (link.empty() || link.starts_with('/') || link.find('\0') != std::string_view::npos) return false;
  auto left = std::count(path.begin(), path.end(), '/');
  bool is_down = false;
  for (std::size_t begin = 0; begin <= link.size();) {
    const auto end = std::min(link.find('/', begin), link.size());
    const auto part = link.substr(begin, end - begin);
    begin = end + 1;
    if (part.empty() || part == ".") continue;
    if (part != "..") {
      is_down = true;
      continue;
    }
    if (is_down || left-- == 0) return false;
  }
  return true;
}

}  // namespace

Status Entries::take_parents(const std::string& path) {
  for (auto slash = path.find('/'); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    const auto parent = path.substr(0, slash);
    const auto [at, is_new] = seen_.emplace(parent, std::pair(Kind::folder, false));
    if (!is_new && at->second.first != Kind::folder)
      return refuse(path, fmt::format("lies below {}, which is no folder", shown(parent)));
  }
  return {};
}

Result<std::string> Entries::take(const Entry& entry) {
  auto path = plain(entry.path);
  if (path.empty()) {
    if (entry.kind == Kind::folder) return path;
    return refuse(entry.path, "has no name");
  }
  if (!payloads::is_safe_path(path)) {
    return refuse(entry.path,
                  path.starts_with('/') || path.find("..") != std::string::npos
                      ? "would lie outside of its folder: paths in it must be relative, without '..'"
                      : "is no path that Kiln unpacks: at most 1024 bytes of UTF-8 are, without "
                        "control characters and backslashes");
  }
  if (entry.kind == Kind::other)
    return refuse(entry.path, "is a device, a FIFO or a socket: a renderer has none of them");
  if (auto fine = take_parents(path); !fine) return fail(std::move(fine.error()));
  if (entry.kind == Kind::link && !stays_inside(entry.link, path)) {
    return refuse(entry.path,
                  fmt::format("is a link to {}, which leads out of the archive or may do so: links "
                              "must be relative, and '..' stand at their beginning only",
                              shown(entry.link)));
  }
  bool is_executable = entry.is_executable;
  if (!entry.hard_link.empty()) {
    const auto target = seen_.find(plain(entry.hard_link));
    if (target == seen_.end() || target->second.first != Kind::file)
      return refuse(entry.path,
                    fmt::format("is the same file as {}, which is no file before it in the archive",
                                shown(entry.hard_link)));
    is_executable = target->second.second;
  }
  const auto [at, is_new] = seen_.emplace(path, std::pair(entry.kind, is_executable));
  if (!is_new && (entry.kind != Kind::folder || at->second.first != Kind::folder))
    return refuse(entry.path, "stands there twice");
  if (seen_.size() > bounds_.max_entries)
    return fail(Code::too_large, fmt::format("the archive has more than {} entries", bounds_.max_entries));
  return path;
}

Status Entries::add_bytes(std::uint64_t count) {
  bytes_ += count;
  if (bytes_ <= bounds_.max_bytes) return {};
  return fail(Code::too_large,
              fmt::format("the archive holds more than the {} MiB that a renderer may have unpacked",
                          bounds_.max_bytes >> 20U));
}

Result<std::string> Entries::program(std::string_view name) const {
  const std::string* best = nullptr;
  bool is_plain_file = false;
  bool is_windows = false;
  const auto depth = [](const std::string& path) { return std::count(path.begin(), path.end(), '/'); };
  for (const auto& [path, what] : seen_) {
    const std::string_view last = std::string_view(path).substr(path.rfind('/') + 1);
    is_windows = is_windows || last == fmt::format("{}.exe", name);
    if (last != name || what.first != Kind::file) continue;
    is_plain_file = is_plain_file || !what.second;
    if (what.second && (best == nullptr || depth(path) < depth(*best))) best = &path;
  }
  if (best != nullptr) return *best;
  if (is_windows) {
    return fail(Code::not_found,
                fmt::format("the archive holds {}.exe: it is a build for Windows, nodes need "
                            "the one for Linux",
                            name));
  }
  return fail(Code::not_found,
              is_plain_file ? fmt::format("the archive's {} is not executable: pack it with its modes", name)
                            : fmt::format("the archive holds no executable '{}'", name));
}

}  // namespace kiln::bundles
