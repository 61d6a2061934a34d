// What the API needs of whoever keeps images and rolls them out, as an interface. Thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/storage.h"
#include "base/json.h"
#include "base/result.h"
#include "rollout/rows.h"

namespace kiln::api {

class Updates {
 public:
  virtual ~Updates() = default;

  [[nodiscard]] virtual std::vector<rollout::Image> images() = 0;  // newest first
  // The size of that content, which may be no image yet; nullopt: not here.
  [[nodiscard]] virtual std::optional<std::uint64_t> content_size(const std::string& digest) = 0;
  [[nodiscard]] virtual std::uint64_t partial_size(const std::string& digest) = 0;  // of an unfinished upload
  // As Storage::put_blob. What was finished is no image until it is added.
  virtual Result<std::unique_ptr<Upload>> put_image(const std::string& digest, std::uint64_t offset,
                                                    std::uint64_t total) = 0;
  // Its size and time are filled in. Errors: not_found while its content is not here.
  virtual Result<rollout::Image> add_image(rollout::Image image) = 0;
  // Errors: not_found, io.
  virtual Result<Stored> open_image(const std::string& digest) = 0;
  // Errors: not_found; conflict while a rollout is under way with it.
  virtual Status remove_image(const std::string& digest) = 0;

  [[nodiscard]] virtual std::vector<rollout::Rollout> rollouts() = 0;  // newest first
  // `plan`: all but version, machine and bytes, which are the image's. Errors: not_found; conflict while
  // another is under way, or nothing is to be done.
  virtual Result<rollout::Rollout> start(rollout::Plan plan) = 0;
  enum class Steer : std::uint8_t { pause, resume, stop };
  // Number 0: the newest. Errors: not_found; conflict when its state forbids that.
  virtual Result<rollout::Rollout> steer(std::uint64_t number, Steer how, const std::string& by) = 0;
};

// What openapi.yaml calls Image and Rollout. `with_members`: each node's step as well.
Json to_json(const rollout::Image& image);
Json to_json(const rollout::Rollout& rollout, bool with_members);

}  // namespace kiln::api
