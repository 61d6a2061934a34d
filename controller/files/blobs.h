// Job files by content: `blobs/ab/<hex>`, verified before they get that name, never changed after.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "files/layout.h"

namespace kiln::files {

// One blob on its way in; for one thread. Left without finish(), what arrived stays as a partial that a later
// upload may continue.
class Upload {
 public:
  // Errors: too_large past the declared size; conflict when a newer connection has taken this upload over;
  // full, io.
  Status write(std::string_view bytes);
  // The blob is there and durable. Errors: invalid (too few bytes: the partial stays; another digest: the
  // partial is removed), conflict, full, io.
  Status finish();
  // Bytes held, those of earlier connections included.
  [[nodiscard]] std::uint64_t offset() const;

  ~Upload();
  Upload(Upload&&) noexcept;
  Upload& operator=(Upload&&) noexcept;

 private:
  friend class Blobs;
  struct State;
  explicit Upload(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Thread-safe. A digest is "sha256:<hex>"; another text is `invalid`, or a blob that is not there.
class Blobs {
 public:
  explicit Blobs(Layout layout);
  ~Blobs();
  Blobs(Blobs&&) noexcept;
  Blobs& operator=(Blobs&&) noexcept;

  [[nodiscard]] bool has(std::string_view digest) const;
  // Those of the list that are not here, in its order, each once.
  [[nodiscard]] std::vector<std::string> missing(const std::vector<std::string>& digests) const;
  // Errors: not_found, io.
  [[nodiscard]] Result<OpenFile> open(std::string_view digest) const;
  // The whole content. Errors: not_found, too_large, io.
  [[nodiscard]] Result<std::string> read(std::string_view digest, std::uint64_t max_bytes) const;

  // Bytes of an unfinished upload that begin() would continue; 0 for none.
  [[nodiscard]] std::uint64_t partial_size(std::string_view digest) const;
  // Begins an upload of `total` bytes at `offset`, which is at most partial_size(): the bytes before it are
  // read again to hash them. Two connections that both begin at 0 do not disturb each other; one that
  // continues a partial takes it over from a connection that still holds it (a dead one, most likely).
  // Errors: invalid; conflict when less than `offset` is held (says how much); full, io.
  Result<Upload> begin(std::string_view digest, std::uint64_t total, std::uint64_t offset = 0);
  // Stores a text of ours (a manifest). Returns its digest. Errors: full, io.
  Result<std::string> put_bytes(std::string_view bytes);

  // It is not here any more; what has it open goes on. Errors: io.
  Status remove(std::string_view digest);

  // Removes partials untouched for so long, and those that cannot be continued once nobody writes them: at
  // start and now and then. Returns how many.
  Result<std::size_t> sweep_partials(std::int64_t now_unix_s, std::int64_t max_age_s);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace kiln::files
