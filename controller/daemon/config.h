// kiln-controller's settings: the defaults, then the file, then the flags.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"

namespace kiln::controller {

struct Endpoint {
  std::string host;
  std::uint16_t port = 0;
  [[nodiscard]] std::string str() const;  // IPv6 in brackets
};

// "127.0.0.1:8780", "[::1]:8780", ":8780" (every address). Errors: invalid, saying what would be right.
Result<Endpoint> parse_endpoint(const std::string& text);

enum class Command : std::uint8_t { serve, backup, restore, certificate };

struct Config {
  Command command = Command::serve;
  std::filesystem::path file;             // of a backup; the folder of certificates
  std::vector<std::string> server_names;  // of a server's certificate…
  std::string client_name;                // …or of a client's
  std::filesystem::path data;
  Endpoint http{"127.0.0.1", 8780};
  std::vector<std::string> http_names;
  Endpoint mqtt{"127.0.0.1", 8783};        // where the embedded broker listens…
  bool embedded_broker = true;             // …or, when false, where somebody else's broker is…
  bool broker_knows_certificates = false;  // …which speaks TLS and knows nodes by the farm's certificates
  bool admits_loopback = true;             // boxes on this very machine join by themselves
  std::string mqtt_username;
  std::filesystem::path mqtt_password_file;
  bool trust_loopback = true;  // whoever asks from this machine is an administrator
  std::uint32_t grace_s = 60;
  std::uint32_t max_failures = 3;
  double soft_c = 84;  // these three as scheduler::Policy explains them
  double hard_c = 93;
  double tail_factor = 1.5;
  std::uint64_t min_free_mib = 1024;
  std::uint64_t max_file_mib = 65'536;
  std::filesystem::path types;  // folder of the studio's own job types; "" = none
};

// Reads a settings file over `config`. Errors: invalid with file, line, what is wrong and what would be
// right; an unknown key is an error too, since it is most often a misspelt one.
Status read_file(const std::filesystem::path& file, Config& config);

// The command line, which may name a settings file. Prints help or version and exits for those flags.
// Errors: as read_file, and those of the flags.
Result<Config> read_command_line(int argc, char** argv);

}  // namespace kiln::controller
