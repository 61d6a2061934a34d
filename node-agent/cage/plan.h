// What a cage is: who may see what, and how much of it. Pure.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace kiln::cage {

// What the box's owner says ([cage] in agent.toml).
struct Settings {
  bool enabled = true;
  std::uint64_t memory_mib = 0;                  // of each slot's cage; 0: nine tenths of the box's
  std::uint32_t max_processes = 0;               // with their threads; 0: 1024 and 16 for each core
  std::uint64_t scratch_gib = 100;               // of files that it may have on disk at a time
  std::vector<std::filesystem::path> read_only;  // what tasks may read beside the system: /mnt/assets
};

struct Bounds {
  std::uint64_t memory_mib = 0;
  std::uint64_t processes = 0;
  std::uint64_t scratch_mib = 0;
};
// Of a box with that much, where tasks' folders have that much room left.
Bounds bounds_of(const Settings& settings, std::uint64_t memory_mib, std::uint32_t cores,
                 std::uint64_t free_mib);

// How the system's top folders are laid out here: "/bin" -> "usr/bin", or "" for a folder.
using Layout = std::vector<std::pair<std::string, std::string>>;

struct Plan {
  std::filesystem::path bwrap = "bwrap";
  std::filesystem::path service;  // a socket of whoever starts bwrap for us; "": we do
  std::filesystem::path warden;
  Layout layout;
  Bounds bounds;
  std::filesystem::path data;                   // the agent's: nothing of it but what is named below
  std::vector<std::filesystem::path> programs;  // files and folders that tasks run beside those of the system
  std::vector<std::filesystem::path> read_only;  // each may be absent
  std::vector<std::filesystem::path> inputs;     // read-only; they are there
  std::vector<std::filesystem::path> work;       // theirs to write; they are there
  std::vector<std::filesystem::path> devices;    // the slot's GPU; each may be absent
  std::filesystem::path accounts;                // folder with the cage's own passwd and group
};

// The command that becomes the cage, up to the warden's own arguments.
std::vector<std::string> arguments(const Plan& plan);

// Of the agent's variables, those that a task gets: language, paths of libraries, what steers renderers and
// GPU drivers. Not: whatever else it was started with.
bool passes_on(std::string_view variable);

// The path is that folder or in it, by their names alone.
bool is_below(const std::filesystem::path& path, const std::filesystem::path& folder);

// Which of these device nodes belong to a slot: those of its GPU and what all GPUs of its kind share; see
// gpu_devices.
struct Gpu {
  std::string vendor;  // "nvidia" | "amd" | "intel"
  std::string minor;   // NVIDIA's number of it: /dev/nvidia<minor>; "" where unknown
  std::string render;  // of the kernel: "renderD128"; "" where it has none
  std::string card;    // "card0"
};
std::vector<std::filesystem::path> device_nodes(const Gpu& gpu);

}  // namespace kiln::cage
