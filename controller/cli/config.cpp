#include "cli/config.h"

#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include <cstdlib>
#include <sstream>
#define TOML_EXCEPTIONS 0
// Without NDEBUG its parser asserts what a typing mistake breaks ("[:"); right after, it refuses that as an
// error.
#define TOML_ASSERT(expression) static_cast<void>(0)
#include <toml++/toml.h>

#include "base/json.h"
#include "runtime/files.h"
#include "runtime/http_client.h"

namespace kiln::cli {

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t max_file_bytes = 64ULL * 1024;
constexpr int default_port = 8780;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// `name` in the environment when it is an absolute path (the XDG rule), else ~/fallback.
fs::path base_folder(const char* name, const char* fallback) {
  const fs::path named = environment(name);
  if (named.is_absolute()) return named;
  fs::path home = environment("HOME");
  if (const passwd* user = home.empty() ? getpwuid(getuid()) : nullptr; user != nullptr) home = user->pw_dir;
  return home / fallback;
}

}  // namespace

Result<Config> load_config(const fs::path& file) {
  Config config;
  const auto text = runtime::read_file(file, max_file_bytes);
  if (!text && text.error().code != Code::not_found) return fail(text.error());
  if (text) {
    const auto parsed = toml::parse(std::string_view(*text), file.string());
    if (!parsed) {
      return fail(Code::invalid, fmt::format("{}:{}: {}", file.string(), parsed.error().source().begin.line,
                                             parsed.error().description()));
    }
    for (const auto& [key, value] : parsed.table()) {
      std::string* setting = key == "server"    ? &config.server
                             : key == "blender" ? &config.blender
                             : key == "ca_file" ? &config.ca_file
                                                : nullptr;
      const auto line = value.source().begin.line;
      if (setting == nullptr) {
        return fail(Code::invalid,
                    fmt::format("{}:{}: '{}' is no setting; there are server, blender and ca_file",
                                file.string(), line, std::string_view(key.str())));
      }
      const auto given = value.value<std::string>();
      if (!value.is_string() || !given || given->empty()) {
        return fail(Code::invalid, fmt::format("{}:{}: {} is a text in quotes", file.string(), line,
                                               std::string_view(key.str())));
      }
      *setting = *given;
    }
  }
  if (const auto server = environment("KILN_SERVER"); !server.empty()) config.server = server;
  if (const auto blender = environment("KILN_BLENDER"); !blender.empty()) config.blender = blender;
  if (const auto token = environment("KILN_TOKEN"); !token.empty()) config.token = token;
  if (const auto ca = environment("KILN_CA_FILE"); !ca.empty()) config.ca_file = ca;
  return config;
}

namespace {

Result<Json> read_tokens(const fs::path& file) {
  const auto text = runtime::read_file(file, max_file_bytes);
  if (!text && text.error().code == Code::not_found) return Json(Json::Object{});
  if (!text) return fail(text.error());
  auto json = Json::parse(*text, {.bytes = max_file_bytes});
  if (!json || json->as_object() == nullptr)
    return fail(Code::invalid,
                fmt::format("{}: this is no list of tokens; remove it and log in again", file.string()));
  return json;
}

}  // namespace

Result<std::string> kept_token(const fs::path& file, const std::string& server) {
  const auto tokens = read_tokens(file);
  if (!tokens) return fail(tokens.error());
  const Json* token = tokens->find(server);
  return token != nullptr && token->as_string() != nullptr ? *token->as_string() : std::string();
}

Status keep_token(const fs::path& file, const std::string& server, const std::string& token) {
  const auto tokens = read_tokens(file);
  if (!tokens) return fail(tokens.error());
  Json kept(Json::Object{});
  for (const auto& [url, value] : *tokens->as_object()) {
    if (url != server) kept.set(url, value);
  }
  if (!token.empty()) kept.set(server, token);
  if (auto made = runtime::make_folders(file.parent_path()); !made) return made;
  return runtime::write_file_atomically(file, kept.dump_pretty() + "\n", 0600);
}

std::string server_url(std::string_view text) {
  std::string url(text);
  while (!url.empty() && url.back() == '/') url.pop_back();
  if (url.find("://") != std::string::npos) return url;
  // A colon outside of [brackets] comes before a port.
  const auto colon = url.rfind(':');
  const bool has_port = colon != std::string::npos && url.find(']', colon) == std::string::npos;
  const bool is_here = runtime::is_this_machine(std::string_view(url).substr(0, has_port ? colon : url.npos));
  return (is_here ? "http://" : "https://") + url + (has_port ? "" : fmt::format(":{}", default_port));
}

fs::path trusted_file(const std::string& url) {
  auto name = url.substr(std::min(url.size(), std::string("https://").size()));
  for (char& c : name) {
    const bool is_plain =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
    if (!is_plain) c = '_';
  }
  return config_file().parent_path() / "trusted" / (name + ".pem");
}

fs::path config_file() {
  return base_folder("XDG_CONFIG_HOME", ".config") / "kiln/kiln.toml";
}
fs::path token_file() {
  return config_file().parent_path() / "tokens.json";
}
fs::path cache_folder() {
  return base_folder("XDG_CACHE_HOME", ".cache") / "kiln";
}

}  // namespace kiln::cli
