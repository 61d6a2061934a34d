// What the API needs from the disk, as an interface. The daemon implements it with the files room.
// Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "http/message.h"

namespace kiln::api {

struct Stored {
  http::File file;
  std::string version;  // changes with the content; letters, digits, ':', '-' and '.'; becomes the ETag
};

// Bytes on their way to the disk. Destroyed before finish(): a blob keeps what it has, so that the upload can
// be continued; anything else vanishes.
class Upload {
 public:
  virtual ~Upload() = default;
  // Errors: full, io.
  virtual Status write(std::string_view bytes) = 0;
  // Verifies, syncs and puts the file in its place. Errors: invalid when the content is not what its digest
  // says (then nothing is kept); full, io.
  virtual Status finish() = 0;
};

// All output files of a job as one ZIP.
struct Archive {
  std::uint64_t size = 0;  // of the ZIP, known beforehand because nothing is compressed
  std::function<Status(http::Sink&)> write;
};

// Of a boot of a flashed box that failed.
struct BootLog {
  std::string boot;  // the kernel's id of it
  std::uint64_t bytes = 0;
  std::int64_t at_ms = 0;  // when it came
};

class Storage {
 public:
  virtual ~Storage() = default;

  // ---- blobs -------------------------------------------------------------------------------------------
  [[nodiscard]] virtual std::optional<std::uint64_t> blob_size(
      const std::string& digest) = 0;  // nullopt: not here
  [[nodiscard]] virtual std::uint64_t partial_size(
      const std::string& digest) = 0;                               // held of an unfinished upload
  virtual Result<Stored> open_blob(const std::string& digest) = 0;  // Errors: not_found, io
  // `offset`: where this upload goes on; 0 begins anew. Errors: conflict when the partial blob does not end
  // there (says where it does) or another upload of it is under way; full when `total` does not fit; io.
  virtual Result<std::unique_ptr<Upload>> put_blob(const std::string& digest, std::uint64_t offset,
                                                   std::uint64_t total) = 0;
  // It is gone; what reads it at this moment goes on. Errors: io.
  virtual Status remove_blob(const std::string& digest) = 0;
  // Stores a small text of ours and gives its digest. Errors: full, io.
  virtual Result<std::string> put_text(std::string_view text) = 0;

  // ---- attempts ----------------------------------------------------------------------------------------
  // Errors: full, io.
  virtual Result<std::unique_ptr<Upload>> put_result(const TaskId& task, std::uint32_t attempt,
                                                     const std::string& path, std::uint64_t size,
                                                     const std::string& digest) = 0;
  // True when that file was PUT for the attempt, whole, and lies in its incoming folder.
  [[nodiscard]] virtual bool has_result(const TaskId& task, std::uint32_t attempt, const std::string& path,
                                        const std::string& digest) = 0;
  virtual Result<std::unique_ptr<Upload>> put_log(const TaskId& task, std::uint32_t attempt,
                                                  std::uint64_t size) = 0;
  virtual Result<Stored> open_log(const TaskId& task, std::uint32_t attempt) = 0;  // Errors: not_found, io

  // What that file of an accepted attempt is called in the output: another name than its path while another
  // task's file has that and the database does not say so yet.
  [[nodiscard]] virtual std::string placed(const TaskId& task, std::uint32_t attempt,
                                           const std::string& path) = 0;

  // ---- boots -------------------------------------------------------------------------------------------
  // Errors: invalid (no boot's id), too_large, full, io.
  virtual Status keep_boot_log(const NodeId& node, const std::string& boot, std::string_view text) = 0;
  [[nodiscard]] virtual std::vector<BootLog> boot_logs(const NodeId& node) = 0;  // the newest first
  virtual Result<Stored> open_boot_log(const NodeId& node,
                                       const std::string& boot) = 0;  // Errors: not_found, io

  // ---- output ------------------------------------------------------------------------------------------
  [[nodiscard]] virtual std::string output_dir(const JobId& job) = 0;                 // absolute
  virtual Result<Stored> open_output(const JobId& job, const std::string& path) = 0;  // Errors: not_found, io
  // A JPEG of at most 320 pixels width, made when it is first asked for. Errors: not_found; unsupported when
  // that format cannot be shown; unavailable when too many are being made; io.
  virtual Result<Stored> open_thumbnail(const JobId& job, const std::string& path) = 0;
  virtual Result<Archive> archive(const JobId& job) = 0;  // Errors: not_found when there is no file yet; io
};

}  // namespace kiln::api
