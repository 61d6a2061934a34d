#include "box/kiln_toml.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <functional>

#include "base/text.h"
#include "identity/key.h"
#include "payloads/messages.h"
#include "runtime/files.h"
#include "runtime/settings.h"

namespace kiln::box {

namespace fs = std::filesystem;
using runtime::Settings;
using runtime::text_setting;
using runtime::texts_setting;

namespace {

constexpr std::size_t max_file_bytes = 64UL * 1024;
constexpr std::size_t max_mistakes = 100;  // named; a file with more is no kiln.toml
constexpr std::size_t max_text_bytes = 1024;

bool only_of(std::string_view text, std::string_view letters) {
  return text.find_first_not_of(letters) == text.npos;
}

// "farm", "farm:8780", "https://[fd00::1]:8780": what kiln-agent takes too, which ends at anything else.
bool is_controller(std::string_view text) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (text.starts_with(scheme)) text.remove_prefix(scheme.size());
  }
  const auto close = text.find(']');
  const auto colon = text.find(':', text.starts_with('[') && close != text.npos ? close : 0);
  const auto host = text.substr(0, colon);
  constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
  if (text.starts_with('[')) {
    if (close == text.npos || close + 1 != host.size() ||
        !only_of(host.substr(1, close - 1), "abcdefABCDEF0123456789:."))
      return false;
  } else if (host.empty() || !only_of(host, letters)) {
    return false;
  }
  if (colon == text.npos) return true;
  const auto port = text.substr(colon + 1);
  unsigned number = 0;
  const auto [stop, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  return error == std::errc() && stop == port.data() + port.size() && number >= 1 && number <= 65535;
}

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= 32 && only_of(text, "abcdefghijklmnopqrstuvwxyz0123456789-") &&
         text.front() != '-' && text.back() != '-';
}

// AF_INET or AF_INET6; 0: no address.
int family_of(const std::string& text) {
  unsigned char bytes[16];
  for (const int family : {AF_INET, AF_INET6}) {
    if (::inet_pton(family, text.c_str(), bytes) == 1) return family;
  }
  return 0;
}

bool is_address_with_prefix(const std::string& text) {
  const auto slash = text.find('/');
  if (slash == std::string::npos) return false;
  const int family = family_of(text.substr(0, slash));
  unsigned prefix = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + slash + 1, end, prefix);
  return family != 0 && error == std::errc() && stop == end && prefix >= 1 &&
         prefix <= (family == AF_INET ? 32U : 128U);
}

bool is_key(const std::string& text) {
  static constexpr std::string_view kinds[] = {"ssh-ed25519 ",
                                               "ssh-rsa ",
                                               "ecdsa-sha2-nistp256 ",
                                               "ecdsa-sha2-nistp384 ",
                                               "ecdsa-sha2-nistp521 ",
                                               "sk-ssh-ed25519@openssh.com ",
                                               "sk-ecdsa-sha2-nistp256@openssh.com "};
  return std::any_of(std::begin(kinds), std::end(kinds), [&](auto kind) { return text.starts_with(kind); });
}

// A text that `is_right` likes, or what would be.
runtime::Setter checked(std::string& out, std::function<bool(const std::string&)> is_right,
                        std::string expected) {
  return text_setting(
      [&out, is_right = std::move(is_right), expected](const std::string& text) -> Status {
        if (text.size() > max_text_bytes || !is_one_line(text) || !is_right(text)) {
          return fail(Code::invalid, fmt::format("'{}' is wrong: {}", text.substr(0, 60), expected));
        }
        out = text;
        return {};
      },
      expected);
}

Settings settings_of(BoxSettings& out, const fs::path& zoneinfo) {
  Settings known;
  known["controller"] =
      checked(out.controller, is_controller, "write the controller's address as \"https://farm:8780\"");
  known["ca_fingerprint"] = checked(
      out.ca_fingerprint,
      [](const std::string& text) { return identity::read_fingerprint(text).has_value(); },
      "copy the fingerprint of the farm's authority as its page shows it");
  known["join_token"] = checked(
      out.join_token,
      [](const std::string& text) {
        return text.starts_with("kiln-join-") &&
               only_of(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");
      },
      "copy the token as `kiln node token` shows it, \"kiln-join-…\"");
  known["name"] = checked(out.name, is_name, "a name has 1 to 32 of a-z, 0-9 and -, as in \"shelf-3\"");
  known["address"] =
      checked(out.address, is_address_with_prefix, "write address and prefix, as in \"192.168.1.50/24\"");
  known["gateway"] = checked(
      out.gateway, [](const std::string& text) { return family_of(text) != 0; },
      "write an address, as in \"192.168.1.1\"");
  known["dns"] = texts_setting(
      [&out](std::vector<std::string> texts) -> Status {
        for (const auto& text : texts) {
          if (family_of(text) == 0) {
            return fail(Code::invalid,
                        fmt::format("'{}' is no address: write [\"192.168.1.1\"]", text.substr(0, 60)));
          }
        }
        out.dns = std::move(texts);
        return {};
      },
      "a list of addresses is expected, as in [\"192.168.1.1\"]");
  known["ssh_key"] =
      checked(out.ssh_key, is_key, "copy the line of your .pub file, as in \"ssh-ed25519 AAAA… you\"");
  known["timezone"] = checked(
      out.timezone,
      [zoneinfo](const std::string& text) {
        std::error_code ignored;
        return !text.empty() && text.front() != '/' && text.find("..") == text.npos &&
               fs::is_regular_file(zoneinfo / text, ignored);
      },
      "write a region and a city, as in \"Europe/Berlin\"");
  known["tags"] = texts_setting(
      [&out](std::vector<std::string> texts) -> Status {
        if (texts.size() > payloads::max_tags || !std::all_of(texts.begin(), texts.end(), is_name)) {
          return fail(Code::invalid,
                      fmt::format("at most {} tags of a-z, 0-9 and - are expected", payloads::max_tags));
        }
        out.tags = std::move(texts);
        return {};
      },
      "a list of texts is expected, as in [\"basement\"]");
  known["factory_reset"] = checked(
      out.factory_reset, [](const std::string& text) { return !text.empty(); },
      "any text in quotes, as in \"today\"");
  return known;
}

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  for (std::size_t at = 0; at <= text.size();) {
    const auto end = std::min(text.find('\n', at), text.size());
    lines.emplace_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

std::string joined(const std::vector<std::string>& lines) {
  std::string out;
  for (const auto& line : lines) out += line + "\n";
  return out;
}

// "<scratch>:7: …" -> 7; 0 where there is no line.
std::size_t line_of(std::string_view message, const std::string& scratch) {
  if (!message.starts_with(scratch + ":")) return 0;
  std::size_t number = 0;
  const char* begin = message.data() + scratch.size() + 1;
  std::from_chars(begin, message.data() + message.size(), number);
  return number;
}

std::string toml_text(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

std::string list_of(const std::vector<std::string>& texts) {
  std::string out;
  for (const auto& text : texts) out += (out.empty() ? "" : ", ") + toml_text(text);
  return "[" + out + "]";
}

}  // namespace

ReadSettings read_kiln_toml(const fs::path& file, const fs::path& scratch, const fs::path& zoneinfo) {
  ReadSettings out;
  const auto name = file.filename().string();
  auto text = runtime::read_file(file, max_file_bytes);
  if (!text) {
    if (text.error().code != Code::not_found) out.problems.push_back(text.error().message);
    return out;
  }
  if (text->starts_with("\xEF\xBB\xBF")) text->erase(0, 3);  // Windows' editor writes it
  text->erase(std::remove(text->begin(), text->end(), '\r'), text->end());

  auto lines = lines_of(*text);
  while (true) {
    out.settings = {};
    if (auto written = runtime::write_file_atomically(scratch, joined(lines), 0600); !written) {
      out.problems.push_back(written.error().message);
      return out;
    }
    auto read = runtime::read_settings(scratch, settings_of(out.settings, zoneinfo));
    if (read) break;
    const auto number = line_of(read.error().message, scratch.string());
    if (read.error().message.starts_with(scratch.string())) {
      read.error().message.replace(0, scratch.string().size(), name);
    }
    out.problems.push_back(read.error().message);
    // Whom to trust is what this line says: without it the box would believe whoever answers first.
    if (number > 0 && number <= lines.size() && lines[number - 1].find("ca_fingerprint") != std::string::npos)
      out.may_join = false;
    // A mistake that no line can be blamed for, or that making the line empty does not heal, ends it: with
    // what a parser in the middle of a text across lines cannot see.
    if (number == 0 || number > lines.size() || lines[number - 1].empty() ||
        out.problems.size() >= max_mistakes) {
      out.settings = {};
      out.may_join = false;
      break;
    }
    lines[number - 1].clear();
  }
  if (!out.settings.gateway.empty() && out.settings.address.empty()) {
    out.problems.push_back(name + ": gateway without address: write address = \"192.168.1.50/24\" too");
  }
  return out;
}

std::string agent_toml(const BoxSettings& settings, const std::string& name) {
  std::string out = "# Written at every boot from kiln.toml on the partition kiln-config.\n";
  const auto line = [&](std::string_view key, const std::string& value) {
    if (!value.empty()) out += fmt::format("{} = {}\n", key, toml_text(value));
  };
  line("controller", settings.controller);
  line("ca_fingerprint", settings.ca_fingerprint);
  line("join_token", settings.join_token);
  line("name", name);
  if (!settings.tags.empty()) out += fmt::format("tags = {}\n", list_of(settings.tags));
  // What the box shows on its screen, and what root does for an agent that has no rights (path units of the
  // image).
  line("status_file", "/run/kiln-agent/status.json");
  out += "\n[power]\nreboot = \"touch /run/kiln-agent/reboot\"\nsleep = \"touch /run/kiln-agent/suspend\"\n";
  return out;
}

std::string network_file(const BoxSettings& settings) {
  if (settings.address.empty() && settings.dns.empty()) return {};
  std::string out =
      "# Written at every boot from kiln.toml on the partition "
      "kiln-config.\n[Match]\nType=ether\nKind=!*\n\n[Network]\n";
  out += "LLMNR=no\nMulticastDNS=no\n";
  out += settings.address.empty() ? "DHCP=yes\n" : fmt::format("Address={}\n", settings.address);
  if (!settings.address.empty() && !settings.gateway.empty())
    out += fmt::format("Gateway={}\n", settings.gateway);
  for (const auto& server : settings.dns) out += fmt::format("DNS={}\n", server);
  return out;
}

}  // namespace kiln::box
