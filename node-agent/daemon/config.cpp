#include "daemon/config.h"

#include <fmt/core.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <functional>
#include <map>

#include "base/ids.h"
#include "base/text.h"
#include "base/version.h"
#include "identity/key.h"
#include "payloads/messages.h"
#include "runtime/http_client.h"
#include "runtime/settings.h"

namespace kiln::agent {

namespace fs = std::filesystem;

namespace {

constexpr std::uint16_t default_http_port = 8780;
constexpr std::uint16_t default_mqtt_port = 8783;
constexpr std::int64_t max_cache_gib = 1'000'000;
constexpr std::int64_t max_cage_mib = 1'000'000'000;
constexpr std::int64_t max_cage_processes = 1'000'000;
const char* const default_file = "/etc/kiln/agent.toml";

bool is_host(std::string_view text) {
  return !text.empty() && text.size() <= 253 &&
         text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:") ==
             text.npos;
}

// host, [v6], host:port, [v6]:port
std::optional<Endpoint> split_host_port(std::string_view text, std::uint16_t default_port) {
  Endpoint endpoint{.host = {}, .port = default_port};
  std::string_view port;
  if (text.starts_with('[')) {
    const auto end = text.find(']');
    if (end == text.npos) return std::nullopt;
    endpoint.host = text.substr(1, end - 1);
    if (endpoint.host.find(':') == std::string::npos) return std::nullopt;
    port = text.substr(end + 1);
    if (!port.empty() && port.front() != ':') return std::nullopt;
  } else {
    const auto colon = text.find(':');
    if (colon != text.npos && text.find(':', colon + 1) != text.npos) return std::nullopt;
    endpoint.host = text.substr(0, colon);
    if (colon != text.npos) port = text.substr(colon);
  }
  if (!is_host(endpoint.host)) return std::nullopt;
  if (port.empty()) return endpoint;
  port.remove_prefix(1);
  if (port.empty() || port.size() > 5 || port.find_first_not_of("0123456789") != port.npos)
    return std::nullopt;
  const auto number = std::stoul(std::string(port));
  if (number == 0 || number > 65535) return std::nullopt;
  endpoint.port = static_cast<std::uint16_t>(number);
  return endpoint;
}

}  // namespace

std::string Endpoint::str() const {
  return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port)
                                             : fmt::format("[{}]:{}", host, port);
}

Result<Endpoint> parse_endpoint(const std::string& text) {
  const auto endpoint = split_host_port(text, default_mqtt_port);
  if (endpoint) return *endpoint;
  return fail(Code::invalid, fmt::format("'{}' is no broker's address: write host:port, as in 127.0.0.1:{}",
                                         text, default_mqtt_port));
}

Result<std::string> parse_controller(const std::string& text) {
  const auto wrong = [&](std::string_view why) {
    return fail(Code::invalid, fmt::format("'{}' is no controller's address{}: write https://host:{}", text,
                                           why, default_http_port));
  };
  std::string_view rest = text;
  std::string scheme;
  std::uint16_t default_port = default_http_port;
  if (const auto end = rest.find("://"); end != rest.npos) {
    scheme = rest.substr(0, end);
    if (scheme != "http" && scheme != "https") return wrong(" (http and https are spoken)");
    rest.remove_prefix(end + 3);
    default_port = scheme == "http" ? 80 : 443;
  }
  while (rest.ends_with('/')) rest.remove_suffix(1);
  if (rest.find_first_of("/?#@") != rest.npos) return wrong(" (no path and no user belong there)");
  const auto endpoint = split_host_port(rest, default_port);
  if (!endpoint) return wrong("");
  // On this machine nobody reads along; over the network the controller answers TLS alone.
  if (scheme.empty()) scheme = runtime::is_this_machine(endpoint->host) ? "http" : "https";
  return scheme + "://" + endpoint->str();
}

std::string host_of(const std::string& url) {
  const auto endpoint = split_host_port(std::string_view(url).substr(url.find("://") + 3), 80);
  return endpoint ? endpoint->host : std::string();
}

fs::path default_data() {
  if (const char* state = std::getenv("STATE_DIRECTORY")) {  // systemd's StateDirectory=, a list
    return std::string_view(state).substr(0, std::string_view(state).find(':'));
  }
  if (::geteuid() == 0) return "/var/lib/kiln-agent";
  if (const char* home = std::getenv("XDG_DATA_HOME")) return fs::path(home) / "kiln-agent";
  if (const char* home = std::getenv("HOME")) return fs::path(home) / ".local/share/kiln-agent";
  return "/var/lib/kiln-agent";
}

namespace {

// ---- one text each, the same in the file and on the command line ---------------------------------

Status set_controller(Config& config, const std::string& value) {
  auto url = parse_controller(value);
  if (!url) return fail(std::move(url.error()));
  config.controller = std::move(*url);
  return {};
}
Status set_fingerprint(Config& config, const std::string& value) {
  config.ca_fingerprint.clear();
  if (value.empty()) return {};
  auto fingerprint = identity::read_fingerprint(value);
  if (!fingerprint) return fail(std::move(fingerprint.error()));
  config.ca_fingerprint = std::move(*fingerprint);
  return {};
}
Status set_mqtt(Config& config, const std::string& value) {
  config.mqtt.reset();
  if (value.empty()) return {};
  auto endpoint = parse_endpoint(value);
  if (!endpoint) return fail(std::move(endpoint.error()));
  config.mqtt = std::move(*endpoint);
  return {};
}
Status set_token(Config& config, const std::string& value) {
  if (!value.empty() && !value.starts_with("kiln-join-"))
    return fail(Code::invalid, "a join token is expected, as `kiln node token` prints it: kiln-join-…");
  config.join_token = value;
  return {};
}
Status set_id(Config& config, const std::string& value) {
  config.id.reset();
  if (value.empty()) return {};
  auto id = NodeId::parse(value);
  if (!id) return fail(std::move(id.error()));
  config.id = std::move(*id);
  return {};
}
Status set_name(Config& config, const std::string& value) {
  if (value.size() > payloads::max_name_bytes || !is_one_line(value)) {
    return fail(Code::invalid,
                fmt::format("one line of at most {} bytes is expected", payloads::max_name_bytes));
  }
  config.name = value;
  return {};
}
Status set_path(fs::path& out, const std::string& value) {
  if (!value.starts_with('/')) return fail(Code::invalid, fmt::format("'{}' does not start with '/'", value));
  out = value;
  return {};
}
Status set_program(std::string& out, const std::string& value) {
  if (value.empty())
    return fail(Code::invalid, "a program is expected, as in \"blender\" or \"/opt/blender/blender\"");
  out = value;
  return {};
}

// "auto", or a number up to max.
Error no_slots(std::uint32_t max) {
  return {Code::invalid, fmt::format("\"auto\" or a whole number from 0 to {} is expected", max)};
}
Status set_slots(std::optional<std::uint32_t>& out, const std::string& value, std::uint32_t max) {
  out.reset();
  if (value == "auto") return {};
  constexpr std::size_t max_digits = 4;  // more is too much
  if (value.empty() || value.size() > max_digits ||
      value.find_first_not_of("0123456789") != std::string::npos || std::stoul(value) > max) {
    return fail(no_slots(max));
  }
  out = static_cast<std::uint32_t>(std::stoul(value));
  return {};
}
runtime::Setter slots_setting(std::optional<std::uint32_t>& out, std::uint32_t max) {
  return [&out, max](const runtime::SettingValue& value) -> Status {
    const auto* number = std::get_if<std::int64_t>(&value);
    const auto* word = std::get_if<std::string>(&value);
    if (word != nullptr && *word == "auto") {
      out.reset();
    } else if (number != nullptr && *number >= 0 && *number <= max) {
      out = static_cast<std::uint32_t>(*number);
    } else {
      return fail(no_slots(max));
    }
    return {};
  };
}
Status set_tags(Config& config, std::vector<std::string> values) {
  if (values.size() > payloads::max_tags)
    return fail(Code::invalid, fmt::format("at most {} tags are expected", payloads::max_tags));
  for (const auto& tag : values) {
    if (!is_id(tag))
      return fail(Code::invalid, fmt::format("'{}' is no tag: 1 to 32 of a-z, 0-9 and - are expected", tag));
  }
  config.tags = std::move(values);
  return {};
}
Status set_programs(Config& config, std::vector<std::string> values) {
  constexpr std::size_t most = payloads::max_renderers - 1;  // beside Blender
  constexpr std::size_t max_bytes = 200;
  if (values.size() > most) return fail(Code::invalid, fmt::format("at most {} programs are expected", most));
  for (const auto& program : values) {
    const auto name = program.substr(program.rfind('/') + 1);
    if (name.empty() || program.size() > max_bytes || !is_one_line(program) ||
        (program.find('/') != std::string::npos && !program.starts_with('/'))) {
      return fail(Code::invalid,
                  fmt::format("'{}' is no program: a name or a path is expected, as in \"povray\" or "
                              "\"/opt/tools/oiiotool\"",
                              clip(to_utf8(program), max_bytes)));
    }
  }
  config.programs = std::move(values);
  return {};
}
// No shell: words between blanks.
Status set_command(std::vector<std::string>& out, const std::string& value) {
  if (!is_one_line(value))
    return fail(Code::invalid, "a program and its arguments are expected, as in \"systemctl suspend\"");
  out.clear();
  std::string word;
  for (const char c : value + ' ') {
    if (c != ' ') {
      word += c;
    } else if (!word.empty()) {
      out.push_back(std::exchange(word, {}));
    }
  }
  return {};
}

runtime::Setter flag_setting(bool& out) {
  return [&out](const runtime::SettingValue& value) -> Status {
    const auto* flag = std::get_if<bool>(&value);
    if (flag == nullptr) return fail(Code::invalid, "true or false is expected");
    out = *flag;
    return {};
  };
}
Status set_read_only(Config& config, const std::vector<std::string>& values) {
  config.cage.read_only.clear();
  for (const auto& value : values) {
    const auto path = fs::path(value).lexically_normal();
    if (!value.starts_with('/') || path == "/") {
      return fail(Code::invalid,
                  fmt::format("'{}' is no folder to let tasks read: a path as in \"/mnt/assets\" is expected",
                              value));
    }
    config.cage.read_only.push_back(path);
  }
  return {};
}

runtime::Settings settings(Config& config) {
  using runtime::number_setting;
  using runtime::text_setting;
  using runtime::texts_setting;
  return {
      {"controller", text_setting([&](const auto& value) { return set_controller(config, value); })},
      {"ca_fingerprint", text_setting([&](const auto& value) { return set_fingerprint(config, value); })},
      {"join_token", text_setting([&](const auto& value) { return set_token(config, value); })},
      {"status_file", text_setting([&](const auto& value) { return set_path(config.status_file, value); })},
      {"name", text_setting([&](const auto& value) { return set_name(config, value); })},
      {"id", text_setting([&](const auto& value) { return set_id(config, value); })},
      {"data", text_setting([&](const auto& value) { return set_path(config.data, value); })},
      {"slots", slots_setting(config.slots, payloads::max_slots)},
      {"gpu_slots", slots_setting(config.gpu_slots, payloads::max_gpus)},
      {"tags", texts_setting([&](auto values) { return set_tags(config, std::move(values)); },
                             R"(a list of texts is expected, as in ["basement", "rtx"])")},
      {"programs.extra", texts_setting([&](auto values) { return set_programs(config, std::move(values)); },
                                       R"(a list of texts is expected, as in ["ffmpeg", "povray"])")},
      {"power.reboot", text_setting([&](const auto& value) { return set_command(config.reboot, value); })},
      {"power.sleep", text_setting([&](const auto& value) { return set_command(config.sleep, value); })},
      {"cage.enabled", flag_setting(config.cage.enabled)},
      {"cage.memory_mib", number_setting(config.cage.memory_mib, 0, max_cage_mib)},
      {"cage.max_processes", number_setting(config.cage.max_processes, 0, max_cage_processes)},
      {"cage.scratch_gib", number_setting(config.cage.scratch_gib, 1, max_cache_gib)},
      {"cage.read_only", texts_setting([&](const auto& values) { return set_read_only(config, values); },
                                       R"(a list of paths is expected, as in ["/mnt/assets"])")},
      {"blender", text_setting([&](const auto& value) { return set_program(config.blender, value); })},
      {"cache_gib", number_setting(config.cache_gib, 1, max_cache_gib)},
      {"sysfs", text_setting([&](const auto& value) { return set_path(config.sysfs, value); })},
      {"mqtt", text_setting([&](const auto& value) { return set_mqtt(config, value); })},
  };
}

}  // namespace

Status read_file(const fs::path& file, Config& config) {
  return runtime::read_settings(file, settings(config));
}

Result<Config> read_command_line(int argc, const char* const* argv) {
  CLI::App app("kiln-agent: renders what the farm's controller asks this box to");
  std::string file;
  std::map<std::string, std::string> given;  // flag -> value
  Config config;
  config.data = default_data();
  std::uint64_t cache_gib = 0;

  app.add_option("--config", file,
                 fmt::format("Settings file (TOML) [{} where it exists]; flags win over it", default_file));
  const auto option = [&](const std::string& flag, const std::string& help) {
    app.add_option(flag, given[flag], help)->option_text("TEXT");
  };
  option("--controller", "Address of the controller [http://127.0.0.1:8780]");
  option("--mqtt", "Address of the broker, host:port, instead of asking the controller");
  option("--name", "This box's name for people [the host name]");
  option("--id", "This box's id for machines [follows from its key, DATA/node.key]");
  option("--join-token", "Lets this box into the farm without a person: `kiln node token`");
  option("--ca-fingerprint", "Of the farm's authority, as the controller's page shows it");
  option("--data", "Folder of everything this box keeps [" + config.data.string() + "]");
  option("--blender", "Blender's program [blender]");
  option("--sysfs", "Where sensors are read [/sys]");
  option("--slots", "Tasks at a time without a GPU [auto: none, or one where there would be no slot at all]");
  option("--gpu-slots", "Tasks at a time with a GPU each [auto: one for each GPU]");
  const auto* cache_option =
      app.add_option("--cache-size", cache_gib, "Bound of the job files kept, in GiB [50]")
          ->check(CLI::Range(std::int64_t{1}, max_cache_gib));
  app.add_flag("--check", config.check, "Say what this box has and whether it reaches the farm, and exit");
  app.set_version_flag("--version", "kiln-agent " + std::string(version));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) std::exit(app.exit(error));  // --help, --version
    return fail(Code::invalid, fmt::format("{}; see kiln-agent --help", error.what()));
  }

  std::error_code ignored;
  if (app.count("--config") == 0 && fs::exists(default_file, ignored)) file = default_file;
  if (!file.empty()) {
    if (auto read = read_file(file, config); !read) return fail(std::move(read.error()));
  }
  const auto apply = [&](const std::string& flag,
                         const std::function<Status(const std::string&)>& set) -> Status {
    if (app.count(flag) == 0) return {};
    auto done = set(given[flag]);
    if (!done) return fail(std::move(done.error()).with(flag));
    return {};
  };
  const auto absolute = [](const std::string& value) {
    return value.empty() ? value : fs::absolute(value).string();
  };
  for (auto done :
       {apply("--controller", [&](const auto& value) { return set_controller(config, value); }),
        apply("--mqtt", [&](const auto& value) { return set_mqtt(config, value); }),
        apply("--name", [&](const auto& value) { return set_name(config, value); }),
        apply("--join-token", [&](const auto& value) { return set_token(config, value); }),
        apply("--ca-fingerprint", [&](const auto& value) { return set_fingerprint(config, value); }),
        apply("--id", [&](const auto& value) { return set_id(config, value); }),
        apply("--data", [&](const auto& value) { return set_path(config.data, absolute(value)); }),
        apply("--slots",
              [&](const auto& value) { return set_slots(config.slots, value, payloads::max_slots); }),
        apply("--gpu-slots",
              [&](const auto& value) { return set_slots(config.gpu_slots, value, payloads::max_gpus); }),
        apply("--blender", [&](const auto& value) { return set_program(config.blender, value); }),
        apply("--sysfs", [&](const auto& value) { return set_path(config.sysfs, absolute(value)); })}) {
    if (!done) return fail(std::move(done.error()));
  }
  if (cache_option->count() > 0) config.cache_gib = cache_gib;
  return config;
}

}  // namespace kiln::agent
