#include "session/slot_cage.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "runtime/files.h"

namespace kiln::session {

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t mib = 1024UL * 1024;

// Another name for the file, or a copy where there can be none.
Status link_or_copy(const fs::path& from, const fs::path& to) {
  if (::link(from.c_str(), to.c_str()) == 0) return {};
  const int why = errno;
  std::error_code error;
  const bool copies = why == EXDEV || why == EMLINK || why == EPERM;
  if (copies) fs::copy_file(from, to, error);
  if (copies && !error) return {};
  return fail(runtime::os_error(copies ? error.value() : why, "laying out " + to.string()));
}

Status link_tree(const fs::path& from, const fs::path& to) {
  if (auto made = runtime::make_folders(to); !made) return made;
  std::error_code error;
  for (fs::recursive_directory_iterator at(from, error), end; !error && at != end; at.increment(error)) {
    const auto target = to / at->path().lexically_relative(from);
    std::error_code ignored;
    if (at->is_directory(ignored) && !at->is_symlink(ignored)) {
      if (auto made = runtime::make_folders(target); !made) return made;
    } else if (at->is_regular_file(ignored) && !at->is_symlink(ignored)) {
      if (auto linked = link_or_copy(at->path(), target); !linked) return linked;
    }
  }
  if (error) return fail(runtime::os_error(error.value(), "looking through " + from.string()));
  return {};
}

// Gone with its last holder.
struct Placed {
  fs::path folder;
  std::shared_ptr<const void> original;
  ~Placed() {
    std::error_code ignored;
    fs::remove_all(folder, ignored);
  }
};

}  // namespace

Status SlotFolders::make() const {
  for (const auto& one :
       {work(), blender(), trees(), scripts(), program(), bin(), socket(), accounts(), staging()}) {
    if (auto made = runtime::make_folders(one); !made) return made;
  }
  return {};
}

SlotCage::SlotCage(const Config& config, int slot, SlotFolders folders)
    : config_(config), slot_(static_cast<std::size_t>(slot)), folders_(std::move(folders)) {}

Result<cage::Plan> SlotCage::plan() const {
  if (auto made = folders_.make(); !made) return fail(std::move(made.error()));
  if (auto written = cage::write_accounts(folders_.accounts()); !written)
    return fail(std::move(written.error()));
  auto warden = cage::find_warden();
  if (!warden) return fail(std::move(warden.error()));
  const auto space = runtime::disk_space(folders_.root);
  if (!space) return fail(Error(space.error()));
  const auto& box = *config_.cage;
  cage::Plan plan;
  plan.bwrap = box.bwrap;
  plan.service = box.service;
  plan.warden = std::move(*warden);
  plan.layout = cage::look_at_layout();
  plan.bounds = cage::bounds_of(box.settings, box.memory_mib, box.cores, space->free_bytes / mib);
  plan.data = box.data;
  plan.programs = box.programs;
  plan.read_only = box.settings.read_only;
  plan.work = {folders_.work()};
  plan.inputs = {folders_.scripts()};
  plan.accounts = folders_.accounts();
  if (slot_ < box.slot_devices.size()) plan.devices = box.slot_devices[slot_];
  return plan;
}

Result<std::unique_ptr<cage::Cage>> SlotCage::open_for_blender() const {
  auto made = plan();
  if (!made) return fail(std::move(made.error()));
  made->work.push_back(folders_.blender());
  made->inputs.push_back(folders_.trees());
  made->inputs.push_back(folders_.program());
  return cage::Cage::open(*made);
}

Result<std::unique_ptr<cage::Cage>> SlotCage::open_for_session(const fs::path& tree) const {
  auto made = plan();
  if (!made) return fail(std::move(made.error()));
  if (!config_.kiln_resident.empty()) made->programs.push_back(config_.kiln_resident);
  if (!tree.empty()) made->inputs.push_back(tree);
  made->inputs.push_back(folders_.bin());
  made->inputs.push_back(folders_.socket());
  return cage::Cage::open(*made);
}

std::vector<std::pair<std::string, std::string>> SlotCage::environment() const {
  std::vector<std::pair<std::string, std::string>> out;
  if (slot_ < config_.slot_environment.size()) out = config_.slot_environment[slot_];
  if (is_wanted()) {
    for (const auto* name : {"USER", "LOGNAME"}) out.emplace_back(name, "render");
    out.emplace_back("HOME", "/tmp/home");
  }
  return out;
}

Result<JobTree> SlotCage::place(JobTree tree) {
  if (!is_wanted() || tree.root.empty()) return tree;
  auto placed = std::make_shared<Placed>();
  placed->original = std::move(tree.hold);
  placed->folder = folders_.trees() / std::to_string(++placed_);
  if (auto linked = link_tree(tree.root, placed->folder); !linked) return fail(std::move(linked.error()));
  tree.root = placed->folder;
  tree.hold = std::move(placed);
  return tree;
}

Stop no_cage(const Error& error) {
  return {false, {"no-cage", error.message, payloads::FailureScope::attempt}};
}

}  // namespace kiln::session
