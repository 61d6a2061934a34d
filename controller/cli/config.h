// Where the controller is and what else a user set once.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "base/result.h"

namespace kiln::cli {

struct Config {
  std::string server = "http://127.0.0.1:8780";
  std::string blender = "blender";
  std::string token;    // of KILN_TOKEN; "" = the one that `kiln login` kept for the server, if any
  std::string ca_file;  // whom to trust over https; "" = the system's
};

// From the file (`server = "http://farm:8780"`, `blender = "/opt/blender/blender"`), which may be absent;
// then from KILN_SERVER, KILN_BLENDER, KILN_TOKEN and KILN_CA_FILE. Errors: invalid, with file and line.
Result<Config> load_config(const std::filesystem::path& file);

// "farm" and "farm:8780" become "https://farm:8780", this machine's own names http; a URL stays, without a
// slash at its end.
std::string server_url(std::string_view text);

// What `kiln login` got, by server: a file that only its owner can read. Errors: io; invalid when it is none.
std::filesystem::path token_file();  // beside config_file()
Result<std::string> kept_token(const std::filesystem::path& file, const std::string& server);  // "" = none
Status keep_token(const std::filesystem::path& file, const std::string& server, const std::string& token);

std::filesystem::path config_file();  // $XDG_CONFIG_HOME/kiln/kiln.toml, else ~/.config/…
// The authority of an https server that was trusted with `kiln trust`, beside config_file().
std::filesystem::path trusted_file(const std::string& url);
std::filesystem::path cache_folder();  // $XDG_CACHE_HOME/kiln, else ~/.cache/kiln

}  // namespace kiln::cli
