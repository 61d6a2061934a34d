// The disk side of the cache: blobs by digest, downloads not yet complete, and the trees of hard links made
// of them; how much of the bound they take, and what goes first when it is reached.
//
//   blobs/<hex>         whole, verified, synced, mode 0444, mtime `untouched`
//   partial/<hex>       the beginning of a download
//   trees/<hex>/…       the files of the manifest of that digest; complete, because renamed into place
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "payloads/http_bodies.h"
#include "transfer/cache.h"

namespace kiln::transfer {

// Every method may be called from any thread. `hex` is a digest without "sha256:".
class BlobStore {
 public:
  // Recovers what an earlier run left: unfinished trees go, the sizes are counted again.
  BlobStore(std::filesystem::path folder, std::uint64_t max_bytes);
  BlobStore(const BlobStore&) = delete;
  BlobStore& operator=(const BlobStore&) = delete;

  // Why the folder cannot be used, if so.
  [[nodiscard]] const Status& ready() const { return ready_; }
  [[nodiscard]] std::uint64_t bytes() const;
  [[nodiscard]] std::uint64_t max_bytes() const { return max_bytes_; }

  [[nodiscard]] std::filesystem::path blob(const std::string& hex) const { return folder_ / "blobs" / hex; }
  [[nodiscard]] std::filesystem::path partial(const std::string& hex) const {
    return folder_ / "partial" / hex;
  }

  // True when the blob is there as it was stored. One whose size or time of writing is another was damaged or
  // written to, and is dropped. size: as the manifest says, unless it is the manifest itself.
  bool has(const std::string& hex, std::optional<std::uint64_t> size);

  // Keeps blobs from eviction while it lives: a job's, from its fetch's beginning until the tree holds them.
  class Pins {
   public:
    Pins(BlobStore& store, std::set<std::string> blobs);
    ~Pins();
    Pins(const Pins&) = delete;
    Pins& operator=(const Pins&) = delete;

   private:
    BlobStore& store_;
    const std::set<std::string> blobs_;
  };

  // Counts `bytes` more as used, evicting to get below the bound. Errors: full, saying what is missing.
  Status reserve(std::uint64_t bytes);
  // A download ended early, or told its size only at its end: `counted` bytes of it were counted as used, of
  // which `actual` are on disk.
  void settle(std::uint64_t counted, std::uint64_t actual);
  // Frees `bytes` if it can, least recently used first; what it freed. For a disk that is full before the
  // bound is reached.
  std::uint64_t evict(std::uint64_t bytes);

  // Turns the complete partial download into a blob: synced, read-only, renamed. Its bytes are reserved.
  Status adopt(const std::string& hex);

  // The tree when it is held by someone already: nothing is read from disk.
  std::optional<Tree> held(const std::string& manifest_hex);
  // The tree when it is complete on disk, every file as it was stored; one that is not is removed.
  std::optional<Tree> find_tree(const std::string& manifest_hex, const payloads::Manifest& manifest);
  // Makes the tree; all its blobs are there and pinned. Errors: invalid (paths that exclude each other),
  // unsupported (no hard links on this filesystem), full, io.
  Result<Tree> build_tree(const std::string& manifest_hex, const payloads::Manifest& manifest);

 private:
  struct Candidate;
  struct Held {
    std::weak_ptr<const void> hold;
    std::vector<payloads::PathMapping> mappings;
  };

  [[nodiscard]] std::filesystem::path tree(const std::string& hex) const { return folder_ / "trees" / hex; }
  Status recover();
  Tree hold(const std::string& manifest_hex, const std::vector<payloads::PathMapping>& mappings);
  bool has_locked(const std::string& hex, std::optional<std::uint64_t> size);
  std::uint64_t evict_locked(std::uint64_t bytes);
  std::vector<Candidate> candidates() const;
  std::uint64_t remove_tree(const std::string& hex);
  std::uint64_t remove_if_unused(const std::string& hex);
  std::uint64_t remove_file(const std::filesystem::path& path);

  const std::filesystem::path folder_;
  const std::uint64_t max_bytes_;
  Status ready_;
  mutable std::mutex mutex_;
  std::uint64_t used_ = 0;            // blobs, partial downloads and reservations
  std::map<std::string, int> pins_;   // how many fetches want the blob
  std::map<std::string, Held> held_;  // by manifest
};

// "sha256:<hex>" without its prefix.
std::string hex_of(std::string_view digest);
// "1.5 GiB", for people.
std::string human_bytes(std::uint64_t bytes);

}  // namespace kiln::transfer
