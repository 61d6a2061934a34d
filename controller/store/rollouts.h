// Images and rollouts, in a database file of their own: they are about the boxes of this place, not about its
// jobs, and the farm thread's handle is not shared.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "rollout/rows.h"
#include "store/database.h"

namespace kiln::store {

class Rollouts final : public rollout::Book {
 public:
  // The file is made if missing. Errors: conflict for another program's file; unsupported when it is newer
  // than this program; invalid when damaged; io, full.
  static Result<std::unique_ptr<Rollouts>> open(const std::filesystem::path& file);

  Result<std::vector<rollout::Image>> images() override;
  Status save(const rollout::Image& image) override;
  Status erase_image(const std::string& digest) override;
  Result<std::vector<rollout::Rollout>> rollouts(std::size_t limit) override;
  Status save(const rollout::Rollout& rollout, const std::vector<rollout::Member>& members) override;

 private:
  explicit Rollouts(Database database) : database_(std::move(database)) {}
  Status read_members(rollout::Rollout& rollout);
  // Prepared anew: some a minute while a rollout runs.
  template <class... Args>
  Status run(std::string_view sql, const Args&... args);

  Database database_;
};

}  // namespace kiln::store
