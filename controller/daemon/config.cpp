#include "daemon/config.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <functional>
#include <map>

#include "base/version.h"
#include "runtime/settings.h"

namespace kiln::controller {

std::string Endpoint::str() const {
  return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port)
                                             : fmt::format("[{}]:{}", host, port);
}

Result<Endpoint> parse_endpoint(const std::string& text) {
  const auto colon = text.rfind(':');
  const auto wrong = [&] {
    return fail(Code::invalid,
                fmt::format("'{}' is no address: write host:port, as in 127.0.0.1:8780", text));
  };
  if (colon == std::string::npos) return wrong();
  Endpoint endpoint;
  endpoint.host = text.substr(0, colon);
  if (endpoint.host.starts_with('[') && endpoint.host.ends_with(']')) {
    endpoint.host = endpoint.host.substr(1, endpoint.host.size() - 2);
  } else if (endpoint.host.find(':') != std::string::npos) {
    return wrong();
  }
  if (endpoint.host.empty()) endpoint.host = "0.0.0.0";
  const auto port = text.substr(colon + 1);
  if (port.empty() || port.size() > 5 || port.find_first_not_of("0123456789") != std::string::npos)
    return wrong();
  const auto number = std::stoul(port);
  if (number > 65535) return wrong();
  endpoint.port = static_cast<std::uint16_t>(number);
  return endpoint;
}

namespace {

std::filesystem::path default_data() {
  if (const char* state = std::getenv("STATE_DIRECTORY")) return state;  // systemd's StateDirectory=
  if (const char* home = std::getenv("XDG_DATA_HOME")) return std::filesystem::path(home) / "kiln";
  if (const char* home = std::getenv("HOME")) return std::filesystem::path(home) / ".local/share/kiln";
  return "/var/lib/kiln";
}

using runtime::Setter;

Setter text(std::string& out) {
  return runtime::text_setting([&out](const std::string& value) -> Status {
    out = value;
    return {};
  });
}

Setter path(std::filesystem::path& out) {
  return runtime::text_setting(
      [&out](const std::string& value) -> Status {
        out = value;
        return {};
      },
      "a path in quotes is expected");
}

Setter address(Endpoint& out) {
  return runtime::text_setting(
      [&out](const std::string& value) -> Status {
        auto endpoint = parse_endpoint(value);
        if (!endpoint) return fail(std::move(endpoint.error()));
        out = *endpoint;
        return {};
      },
      R"(an address in quotes is expected, as in "127.0.0.1:8780")");
}

template <class Int>
Setter number(Int& out, std::int64_t min, std::int64_t max) {
  return runtime::number_setting(out, min, max);
}

Setter texts(std::vector<std::string>& out) {
  return runtime::texts_setting(
      [&out](std::vector<std::string> values) -> Status {
        out = std::move(values);
        return {};
      },
      R"(a list of texts is expected, as in ["farm.example"])");
}

std::map<std::string, Setter> settings(Config& config) {
  return {
      {"data", path(config.data)},
      {"http.listen", address(config.http)},
      {"http.names", texts(config.http_names)},
      {"mqtt.listen", address(config.mqtt)},
      {"mqtt.broker",
       [&config](const runtime::SettingValue& value) -> Status {
         config.embedded_broker = false;
         return address(config.mqtt)(value);
       }},
      {"mqtt.certificates", runtime::flag_setting(config.broker_knows_certificates)},
      {"nodes.admit_loopback", runtime::flag_setting(config.admits_loopback)},
      {"mqtt.username", text(config.mqtt_username)},
      {"mqtt.password_file", path(config.mqtt_password_file)},
      {"accounts.trust_loopback", runtime::flag_setting(config.trust_loopback)},
      {"farm.grace_s", number(config.grace_s, 1, 86'400)},
      {"farm.max_failures", number(config.max_failures, 1, 100)},
      {"farm.soft_c", runtime::amount_setting(config.soft_c, 30, 120)},
      {"farm.hard_c", runtime::amount_setting(config.hard_c, 30, 120)},
      {"farm.tail_factor", runtime::amount_setting(config.tail_factor, 1, 1000)},
      {"farm.max_file_mib", number(config.max_file_mib, 1, 1'000'000'000)},
      {"farm.min_free_mib", number(config.min_free_mib, 1, 1'000'000'000)},
      {"farm.types", path(config.types)},
  };
}

}  // namespace

Status read_file(const std::filesystem::path& file, Config& config) {
  if (auto read = runtime::read_settings(file, settings(config)); !read) return read;
  if (config.soft_c >= config.hard_c) {
    return fail(Code::invalid, fmt::format("{}: farm.soft_c ({} °C) must be below farm.hard_c ({} °C)",
                                           file.string(), config.soft_c, config.hard_c));
  }
  return {};
}

Result<Config> read_command_line(int argc, char** argv) {
  CLI::App app("kiln-controller: schedules frames, keeps the farm's truth, serves its page and API");
  std::string file;
  std::string data;
  std::string http;
  std::string mqtt;
  std::string broker;
  std::vector<std::string> server_names;
  std::string client_name;
  app.add_option("--config", file, "Settings file (TOML); flags win over it");
  app.add_option("--data", data, "Folder of the database, job files and frames");
  app.add_option("--http", http, "Address of the page and API [127.0.0.1:8780]");
  app.add_option("--mqtt", mqtt, "Address of the embedded broker [127.0.0.1:8783]");
  app.add_option("--broker", broker, "Use the broker at host:port instead of starting one");
  app.set_version_flag("--version", std::string(version));
  app.require_subcommand(0, 1);
  app.fallthrough();  // --data and --config also behind the command
  app.footer(
      "Without a command it serves until SIGTERM. A backup is the database only: the frames and job files "
      "lie beside\n"
      "it in the data folder, and are copied with any tool.");
  auto* backup = app.add_subcommand("backup", "Copy the database to FILE, also while a controller runs");
  auto* restore =
      app.add_subcommand("restore", "Put such a copy in the database's place; no controller may run");
  std::string copy;
  for (auto* command : {backup, restore}) command->add_option("FILE", copy, "The copy")->required();
  auto* certificate =
      app.add_subcommand("certificate",
                         "Make a key and a certificate of the farm's authority in FOLDER: for "
                         "another broker, or who watches on it");
  certificate->add_option("FOLDER", copy, "Made when it is missing; a key that is there is kept")->required();
  auto* kind = certificate->add_option_group("for");
  kind->add_option("--server", server_names, "Names and addresses under which that broker is reached");
  kind->add_option("--client", client_name,
                   "Who shows it, as the broker's access list says: viewer, or a user's name");
  kind->require_option(1);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) std::exit(app.exit(error));  // --help, --version
    return fail(Code::invalid, fmt::format("{}; see kiln-controller --help", error.what()));
  }

  Config config;
  config.data = default_data();
  config.file = copy;
  if (backup->parsed()) config.command = Command::backup;
  if (restore->parsed()) config.command = Command::restore;
  if (certificate->parsed()) config.command = Command::certificate;
  config.server_names = std::move(server_names);
  config.client_name = std::move(client_name);
  if (!file.empty()) {
    if (auto read = read_file(file, config); !read) return fail(std::move(read.error()));
  }
  if (!data.empty()) config.data = data;
  const auto endpoint = [](const std::string& flag, const std::string& value, Endpoint& out) -> Status {
    if (value.empty()) return {};
    auto parsed = parse_endpoint(value);
    if (!parsed) return fail(std::move(parsed.error()).with(flag));
    out = *parsed;
    return {};
  };
  if (auto set = endpoint("--http", http, config.http); !set) return fail(std::move(set.error()));
  if (auto set = endpoint("--mqtt", mqtt, config.mqtt); !set) return fail(std::move(set.error()));
  if (auto set = endpoint("--broker", broker, config.mqtt); !set) return fail(std::move(set.error()));
  if (!broker.empty()) config.embedded_broker = false;
  return config;
}

}  // namespace kiln::controller
