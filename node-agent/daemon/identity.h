// Who this box is, and the numbers it must never count backwards: kept in its data folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/result.h"
#include "identity/key.h"

namespace kiln::agent {

// This host's name, "box" where it has none.
std::string host_name();

// <data>/node.key: made at the first start; from it everything else follows.
inline constexpr const char* key_name = "node.key";
// <data>/ca.pem: the authority that is believed.
inline constexpr const char* ca_name = "ca.pem";

// The id in <data>/node-id, which boxes of before there were keys keep; else the one that follows from the
// key. Errors: invalid when the file holds no id (says what to do); io.
Result<NodeId> load_node_id(const std::filesystem::path& data, const identity::Key& key);
// The same for a box that may have no key yet: nullopt then.
Result<std::optional<NodeId>> find_node_id(const std::filesystem::path& data);

// <data>/state.json: the farm's id, the highest epoch seen of it (rule 2) and the last sid used (rule 4). On
// disk when a call returns. From any thread.
class StateFile {
 public:
  // A file that cannot be understood is set aside as state.json.bad and said in the log: the broker's
  // retained status brings the sid back, the controller's next command the epoch. Errors: io.
  static Result<StateFile> open(const std::filesystem::path& file);
  StateFile(StateFile&& other) noexcept;

  [[nodiscard]] std::string farm() const;
  [[nodiscard]] std::uint64_t epoch() const;
  // Errors: io, full. The new value counts in memory even then.
  Status set_farm(const std::string& farm);  // another farm counts its epochs from 0
  Status set_epoch(std::uint64_t epoch);
  // The next sid, above every one used so far. Not an error when it cannot be stored: it is logged, and a sid
  // used twice is repaired by the planner's rule.
  std::uint64_t raise_sid();
  // Sids up to this one are used up.
  void skip_sid(std::uint64_t sid);

 private:
  struct Values {
    std::string farm;
    std::uint64_t epoch = 0;
    std::uint64_t sid = 0;
  };
  StateFile(std::filesystem::path file, Values values) : file_(std::move(file)), values_(std::move(values)) {}
  Status save();  // with mutex_ held

  std::filesystem::path file_;
  mutable std::mutex mutex_;
  Values values_;
};

}  // namespace kiln::agent
