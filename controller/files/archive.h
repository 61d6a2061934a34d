// All output of a job as one ZIP, streamed: stored, not deflated (frames are compressed already), its size
// known before the first byte.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "files/results.h"

namespace kiln::files {

class Archive {
 public:
  using Open = std::function<Result<OpenFile>(const std::string& path)>;
  using Sink = std::function<Status(std::string_view bytes)>;

  // Of these files, which `open` opens one after another while it is written. Each keeps its path as its name
  // and its time. Errors: not_found when there is no file.
  static Result<Archive> plan(std::vector<OutputFile> files, Open open);

  // Bytes of the ZIP.
  [[nodiscard]] std::uint64_t size() const { return size_; }
  // Reads every file twice, for the checksum that stands before its bytes and for the bytes; holds 256 KiB.
  // Errors: those of the sink; conflict when a file changed its size since plan(), io. The ZIP is broken
  // then.
  [[nodiscard]] Status write(const Sink& sink) const;

 private:
  Archive(std::vector<OutputFile> files, Open open);
  std::vector<OutputFile> files_;
  Open open_;
  std::uint64_t size_ = 0;
};

}  // namespace kiln::files
