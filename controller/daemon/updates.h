// Images and their rollout: keeps them, asks rollout/ once a second what is next, stores that, and tells the
// nodes.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "api/farm.h"
#include "api/updates.h"
#include "files/blobs.h"
#include "payloads/messages.h"
#include "rollout/advance.h"
#include "scheduler/events.h"

namespace kiln::controller {

// What the rest of the controller does for it. Thread-safe.
struct UpdatePorts {
  std::function<Result<std::vector<scheduler::NodeRow>>()> nodes;
  std::function<api::LiveNode(const NodeId&)> live;
  std::function<void(const NodeId&, payloads::Command)> send;
  std::function<void(scheduler::EditNode)> edit;
  // A rollout is another than it was; for whoever watches.
  std::function<void(const rollout::Rollout&)> on_change;
};

class Updates final : public api::Updates {
 public:
  // `folder`: of the images' contents. `reserve_bytes`: of its disk, for finished frames. Errors: those of
  // the book and the disk.
  static Result<std::unique_ptr<Updates>> open(const std::filesystem::path& folder, rollout::Book& book,
                                               std::uint64_t reserve_bytes, UpdatePorts ports);
  ~Updates() override;  // stops

  void start_thread();
  void stop_thread();
  // A node said something of its update: looked at soon.
  void poke();

  std::vector<rollout::Image> images() override;
  std::optional<std::uint64_t> content_size(const std::string& digest) override;
  std::uint64_t partial_size(const std::string& digest) override;
  Result<std::unique_ptr<api::Upload>> put_image(const std::string& digest, std::uint64_t offset,
                                                 std::uint64_t total) override;
  Result<rollout::Image> add_image(rollout::Image image) override;
  Result<api::Stored> open_image(const std::string& digest) override;
  Status remove_image(const std::string& digest) override;
  std::vector<rollout::Rollout> rollouts() override;
  Result<rollout::Rollout> start(rollout::Plan plan) override;
  Result<rollout::Rollout> steer(std::uint64_t number, Steer how, const std::string& by) override;

 private:
  Updates(std::filesystem::path folder, files::Blobs contents, rollout::Book& book,
          std::uint64_t reserve_bytes, UpdatePorts ports);
  Status load();
  void run();
  void round();
  void tell(const rollout::Advice& advice, std::int64_t mono_ms);
  [[nodiscard]] Result<rollout::NodeFacts> facts() const;
  // Stores what changed from `before` (null: all of it is new); mutex_ is held.
  Status keep(const rollout::Rollout* before, const rollout::Rollout& next);
  // True for the first time and then every `again_ms`.
  bool is_due(const std::string& what, std::int64_t mono_ms, std::int64_t again_ms);

  const std::filesystem::path folder_;
  files::Blobs contents_;
  rollout::Book& book_;
  const std::uint64_t reserve_bytes_;
  const UpdatePorts ports_;

  std::mutex mutex_;  // of what follows, and of the book
  std::vector<rollout::Image> images_;
  std::vector<rollout::Rollout> rollouts_;  // newest first
  std::string trouble_;                     // of the book, as it was logged last

  std::map<std::string, std::int64_t> said_ms_;  // the thread's own: mono, by what was said to whom
  std::mutex poke_mutex_;
  std::condition_variable poked_;
  bool is_poked_ = false;
  bool is_stopping_ = false;
  std::thread thread_;
};

}  // namespace kiln::controller
