// Job files on this box, by content: fetched once, verified, shared by every job that names them, evicted
// oldest first when the bound is reached. Trees are hard links into the blob folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "payloads/http_bodies.h"

namespace kiln::transfer {

struct Tree {
  std::filesystem::path root;  // the manifest's files under their paths, read-only
  std::vector<payloads::PathMapping> mappings;
  std::shared_ptr<const void> hold;  // not evicted while a copy of this lives
};

class Cache {
 public:
  // folder: created if missing; url: the controller's base ("http://host:port"), may change (set_url).
  Cache(std::filesystem::path folder, std::uint64_t max_bytes);
  ~Cache();
  void set_url(const std::string& url);

  // The tree of that manifest, fetching what is missing (resumed by Range, verified by digest, retried with
  // back-off until `cancelled` returns true). Thread-safe; two callers of one manifest share the work.
  // Errors: full (disk or bound: says how many bytes are missing), not_found (the controller does not have a
  // blob), io, timeout when cancelled.
  Result<Tree> fetch(const std::string& manifest, const std::function<bool()>& cancelled);

  [[nodiscard]] std::uint64_t bytes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace kiln::transfer
