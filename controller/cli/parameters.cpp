#include "cli/parameters.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/ids.h"
#include "base/text.h"
#include "cli/fields.h"
#include "openjd/value.h"
#include "runtime/files.h"

namespace kiln::cli {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view file_prefix = "file://";
constexpr std::size_t max_values_bytes = 1024ULL * 1024;

Status read_values(const fs::path& file, Values& out) {
  const auto text = runtime::read_file(file, max_values_bytes);
  if (!text) return fail(text.error());
  const auto document = openjd::parse_document(*text, openjd::syntax_of(file.string()));
  if (!document) return fail(Error(document.error()).with(to_utf8(file.string())));
  using Kind = openjd::Value::Kind;
  if (document->kind != Kind::map)
    return fail(Code::invalid,
                fmt::format("{}: names with their values are expected", to_utf8(file.string())));
  for (std::size_t i = 0; i < document->items.size(); ++i) {
    const auto& value = document->items[i];
    if (value.kind != Kind::string && value.kind != Kind::integer && value.kind != Kind::floating) {
      return fail(Code::invalid, fmt::format("{}: {}: a text or a number is expected", to_utf8(file.string()),
                                             document->keys[i]));
    }
    out[document->keys[i]] = value.text;
  }
  return {};
}

// Digits only, at most 9999.
std::optional<int> small_number(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool is_number = error == std::errc{} && end == text.data() + text.size() && !text.empty();
  return is_number && value >= 0 && value <= 9999 ? std::optional(value) : std::nullopt;
}

}  // namespace

Result<Values> read_parameters(const std::vector<std::string>& given) {
  Values out;
  for (const auto& one : given) {
    if (one.starts_with(file_prefix)) {
      if (auto read = read_values(one.substr(file_prefix.size()), out); !read)
        return fail(std::move(read.error()).with("-p"));
      continue;
    }
    const auto equals = one.find('=');
    if (equals == std::string::npos || equals == 0) {
      const bool is_number = !one.empty() && one.find_first_not_of("0123456789") == one.npos;
      return fail(Code::invalid,
                  fmt::format("-p '{}': a parameter is written NAME=VALUE, or file://FILE for many{}",
                              to_utf8(one), is_number ? "; a priority goes with --priority" : ""));
    }
    out[one.substr(0, equals)] = one.substr(equals + 1);
  }
  return out;
}

std::vector<InputParameter> input_parameters(const Json& type) {
  std::vector<InputParameter> out;
  for (const auto& one : array_of(type, "parameters")) {
    if (text_of(one, "type") != "PATH" || text_of(one, "data_flow") != "IN") continue;
    out.push_back({text_of(one, "name"), text_of(one, "object_type") == "DIRECTORY"});
  }
  return out;
}

Status Luggage::put(const std::string& path, const fs::path& source) {
  if (!payloads::is_safe_path(path)) {
    return fail(Code::invalid, fmt::format("'{}' cannot travel: rename it without backslashes and control "
                                           "characters, in UTF-8 and at most 1000 bytes",
                                           to_utf8(source.string())));
  }
  const auto [known, is_new] = files_.emplace(path, source);
  if (!is_new && known->second != source) {
    return fail(Code::invalid, fmt::format("{} and {} would both be {} in the job: rename one",
                                           to_utf8(known->second.string()), to_utf8(source.string()), path));
  }
  if (files_.size() > payloads::max_manifest_files)
    return fail(Code::too_large,
                fmt::format("a job holds {} files, and these are more", payloads::max_manifest_files));
  return {};
}

Status Luggage::add(const fs::path& source, const std::string& to) {
  std::error_code error;
  const auto status = fs::status(source, error);
  if (fs::is_regular_file(status)) return put(to, source);
  if (!fs::is_directory(status))
    return fail(Code::invalid, fmt::format("{}: no such file or folder", to_utf8(source.string())));
  // Links are followed to files, not to folders: those may lead in circles.
  std::size_t count = 0;
  for (fs::recursive_directory_iterator at(source, error), end; !error && at != end; at.increment(error)) {
    std::error_code unreadable;
    if (!at->is_regular_file(unreadable)) continue;
    ++count;
    const auto inside = at->path().lexically_relative(source).generic_string();
    if (auto done = put(to.empty() ? inside : to + "/" + inside, at->path()); !done) return done;
  }
  if (error)
    return fail(
        runtime::os_error(error.value(), fmt::format("while looking into {}", to_utf8(source.string()))));
  if (count == 0)
    return fail(Code::invalid, fmt::format("{}: there is no file in it", to_utf8(source.string())));
  return {};
}

Status Luggage::add(const Pack& pack) {
  for (const auto& file : pack.files) {
    if (auto done = put(file.path, file.source); !done) return done;
  }
  mappings_.insert(mappings_.end(), pack.mappings.begin(), pack.mappings.end());
  return {};
}

Pack Luggage::take() {
  Pack pack;
  for (auto& [path, source] : files_) pack.files.push_back({path, std::move(source)});
  pack.mappings = std::move(mappings_);
  return pack;
}

Result<payloads::LimitUse> read_limit(const std::string& text) {
  payloads::LimitUse use;
  const auto equals = text.find('=');
  use.name = text.substr(0, equals);
  const auto count = equals == text.npos ? std::optional(1) : small_number(text.substr(equals + 1));
  if (!is_id(use.name) || !count || *count == 0)
    return fail(Code::invalid,
                fmt::format("--limit '{}': write NAME or NAME=N, as in nuke=2", to_utf8(text)));
  use.count = static_cast<std::uint32_t>(*count);
  return use;
}

Result<payloads::FrameByFrame> read_pair(const std::string& text) {
  const auto colon = text.find(':');
  if (colon == text.npos || colon == 0 || colon + 1 == text.size()) {
    return fail(Code::invalid,
                fmt::format("--frame-by-frame '{}': write STEP:ON, as in Composite:Render", to_utf8(text)));
  }
  return payloads::FrameByFrame{text.substr(0, colon), text.substr(colon + 1)};
}

}  // namespace kiln::cli
