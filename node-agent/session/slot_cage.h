// A slot's folders, and the cages that are made of them.
#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "cage/cage.h"
#include "session/runner.h"
#include "session/stop.h"

namespace kiln::session {

// Below <scratch>/slot-N. What a task writes is never trusted: it lies apart from what the agent writes.
struct SlotFolders {
  std::filesystem::path root;

  // Written by tasks: the session's, which the slot's Blender sees too.
  [[nodiscard]] std::filesystem::path work() const { return root / "work"; }
  [[nodiscard]] std::filesystem::path output() const { return work() / "output"; }
  [[nodiscard]] std::filesystem::path sessions() const { return work() / "sessions"; }
  [[nodiscard]] std::filesystem::path tmp() const { return work() / "tmp"; }
  // …and Blender's own.
  [[nodiscard]] std::filesystem::path blender() const { return root / "blender"; }
  // Read by tasks.
  [[nodiscard]] std::filesystem::path trees() const { return root / "trees"; }
  [[nodiscard]] std::filesystem::path scripts() const { return root / "scripts"; }  // embedded files
  [[nodiscard]] std::filesystem::path program() const {
    return root / "program";
  }  // Blender's half of this room
  [[nodiscard]] std::filesystem::path bin() const { return root / "bin"; }
  [[nodiscard]] std::filesystem::path socket() const { return root / "socket"; }
  [[nodiscard]] std::filesystem::path accounts() const { return root / "accounts"; }
  // The agent's: what is on its way in or out.
  [[nodiscard]] std::filesystem::path staging() const { return root / "staging"; }

  // Errors: io, full, denied.
  [[nodiscard]] Status make() const;
};

class SlotCage {
 public:
  // config outlives this object.
  SlotCage(const Config& config, int slot, SlotFolders folders);

  [[nodiscard]] const SlotFolders& folders() const { return folders_; }
  // False: tasks run as the agent does.
  [[nodiscard]] bool is_wanted() const { return config_.cage.has_value(); }
  // Errors: those of Cage::open and SlotFolders::make.
  [[nodiscard]] Result<std::unique_ptr<cage::Cage>> open_for_blender() const;
  // `tree`: the root of a placed one, or "".
  [[nodiscard]] Result<std::unique_ptr<cage::Cage>> open_for_session(const std::filesystem::path& tree) const;
  // What the slot's programs have besides in their environment.
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> environment() const;

  // The tree where a cage sees it, as hard links, gone with its last hold; the tree itself where no cage is
  // wanted. Errors: io, full.
  [[nodiscard]] Result<JobTree> place(JobTree tree);

 private:
  [[nodiscard]] Result<cage::Plan> plan() const;

  const Config& config_;
  const std::size_t slot_;
  const SlotFolders folders_;
  std::uint64_t placed_ = 0;
};

// Of a task that finds no cage.
Stop no_cage(const Error& error);

}  // namespace kiln::session
