#include "bundles/names.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/text.h"
#include "payloads/messages.h"

namespace kiln::bundles {

namespace {

constexpr std::array<std::string_view, 10> endings = {".tar.xz", ".tar.zst", ".tar.gz", ".tar.bz2", ".tgz",
                                                      ".txz",    ".tzst",    ".tbz2",   ".tar",     ".zip"};
constexpr std::array<std::string_view, 7> foreign = {"windows", "macos", "darwin", "arm64",
                                                     "aarch64", ".dmg",  ".msi"};
constexpr std::array<std::string_view, 4> stages = {"alpha", "beta", "candidate", "rc"};

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return out;
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

std::string quoted_name(std::string_view text) {
  constexpr std::size_t shown = 100;
  return fmt::format("'{}'", clip(to_utf8(text), shown));
}

}  // namespace

Result<Name> name_of_file(std::string_view file) {
  const auto full = lower(file.substr(file.rfind('/') + 1));
  for (const auto word : foreign) {
    if (full.find(word) == std::string::npos) continue;
    return fail(Code::invalid,
                fmt::format("{} is a build for another system: nodes need the one for Linux on "
                            "x86-64, as in blender-4.2.1-linux-x64.tar.xz",
                            quoted_name(file)));
  }
  const auto wrong = [&] {
    return fail(Code::invalid,
                fmt::format("{} tells no name and version, as in blender-4.2.1-linux-x64.tar.xz: "
                            "say them with --name and --version",
                            quoted_name(file)));
  };
  std::string_view text = full;
  for (const auto ending : endings) {
    if (!text.ends_with(ending)) continue;
    text.remove_suffix(ending.size());
    break;
  }
  std::size_t dash = text.find('-');
  while (dash != std::string_view::npos && (dash + 1 == text.size() || !is_digit(text[dash + 1])))
    dash = text.find('-', dash + 1);
  if (dash == std::string_view::npos || dash == 0) return wrong();
  Name out{std::string(text.substr(0, dash)), {}};
  auto rest = text.substr(dash + 1);
  const auto end = std::min(rest.find_first_not_of("0123456789."), rest.size());
  out.version = rest.substr(0, end);
  while (out.version.ends_with('.')) out.version.pop_back();
  rest.remove_prefix(end);
  for (const auto stage : stages) {
    if (!rest.starts_with('-') || !rest.substr(1).starts_with(stage)) continue;
    const auto stage_end =
        std::min(rest.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789", 1), rest.size());
    out.version += rest.substr(0, stage_end);
    break;
  }
  if (!check_name(out)) return wrong();
  return out;
}

Status check_name(const Name& name) {
  const bool has_version = !name.version.empty() && is_digit(name.version.front());
  if (!name.name.empty() && has_version && payloads::is_bundle_name(name.str())) return {};
  return fail(Code::invalid,
              fmt::format("{} is no renderer's name and version: small letters, digits, '.' and '-' are "
                          "expected, a version that begins with a digit, and {} characters at most, as in "
                          "blender-4.2.1",
                          quoted_name(name.str()), payloads::max_bundle_name_bytes));
}

}  // namespace kiln::bundles
