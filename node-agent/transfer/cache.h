// Job files on this box, by content: fetched once, verified, shared by every job that names them, evicted
// oldest first when the bound is reached. Trees are hard links into the blob folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "payloads/http_bodies.h"
#include "runtime/http_client.h"

namespace kiln::transfer {

struct Tree {
  std::filesystem::path root;  // the manifest's files under their paths, read-only
  std::vector<payloads::PathMapping> mappings;
  std::shared_ptr<const void> hold;  // not evicted while a copy of this lives
};

// What earlier steps of a job made for one of its tasks.
struct Inputs {
  payloads::Manifest manifest;
  Tree tree;
};

class Cache {
 public:
  // folder: created if missing. Fetches once set_url said where from.
  Cache(std::filesystem::path folder, std::uint64_t max_bytes);
  ~Cache();
  // The controller's base ("https://host:port"), which may change; whom to trust there does not.
  void set_url(const std::string& url, runtime::HttpTrust trust = {});

  // The tree of that manifest, fetching what is missing (resumed by Range, verified by digest, retried with
  // back-off until `cancelled` returns true). Thread-safe; two callers of one manifest share the work.
  // Errors: full (disk or bound: says how many bytes are missing), not_found (the controller does not have a
  // blob), io, timeout when cancelled.
  Result<Tree> fetch(const std::string& manifest, const std::function<bool()>& cancelled);

  // The bytes of one blob (a job's document), fetched in the same way. Errors: the same; too_large over
  // max_bytes.
  Result<std::string> fetch_blob(const std::string& digest, std::size_t max_bytes,
                                 const std::function<bool()>& cancelled);

  // What the controller lists for that task (GET tasks/{task}/inputs) and a tree of those files, which come
  // from the job's results and not from the blobs; else as fetch(). Errors: the same; not_found also when the
  // controller does not know the task, invalid when it answers with what is no manifest.
  Result<Inputs> fetch_inputs(const TaskId& task, const std::function<bool()>& cancelled);

  [[nodiscard]] std::uint64_t bytes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace kiln::transfer
