// kiln-agent: the daemon on a render box.
#include <fmt/format.h>

#include <cstdio>

#include "daemon/agent.h"
#include "daemon/check.h"
#include "daemon/config.h"
#include "daemon/identity.h"
#include "runtime/files.h"
#include "telemetry/nvml.h"

namespace {

int refuse(const kiln::Error& error) {
  fmt::print(stderr, "kiln-agent: {}\n", error.message);
  return 1;
}

int serve(kiln::agent::Config config, int signal_fd) {
  if (auto made = kiln::runtime::make_folders(config.data); !made) return refuse(made.error());
  const auto lock = kiln::runtime::lock_folder(config.data, "kiln-agent");
  if (!lock) return refuse(lock.error());
  auto key = kiln::identity::Key::load_or_make(config.data / kiln::agent::key_name);
  if (!key) return refuse(key.error());
  auto node =
      config.id ? kiln::Result<kiln::NodeId>(*config.id) : kiln::agent::load_node_id(config.data, *key);
  if (!node) return refuse(node.error());
  auto state = kiln::agent::StateFile::open(config.data / "state.json");
  if (!state) return refuse(state.error());
  kiln::agent::Agent agent(std::move(config), std::move(*node), std::move(*key), std::move(*state));
  agent.run(signal_fd);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  // The same program, started by telemetry as the child that talks to NVIDIA's driver and may hang in it.
  if (kiln::telemetry::is_nvml_probe(argc, argv)) return kiln::telemetry::nvml_probe_main(argc, argv);
  auto config = kiln::agent::read_command_line(argc, argv);
  if (!config) return refuse(config.error());
  if (config->check) return kiln::agent::check_box(*config) ? 0 : 1;
  return serve(std::move(*config), kiln::agent::block_stop_signals());
}
