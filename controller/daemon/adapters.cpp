#include "daemon/adapters.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "files/archive.h"
#include "web/assets.h"

namespace kiln::controller {

// ---- DatabaseReader ----

Result<std::vector<scheduler::JobRow>> DatabaseReader::jobs(const api::JobQuery& query) {
  return reader_.jobs({.state = query.state,
                       .user = query.user,
                       .project = query.project,
                       .sequence = query.sequence,
                       .shot = query.shot,
                       .limit = query.limit,
                       .before = query.before});
}
Result<scheduler::JobRow> DatabaseReader::job(const std::string& id_or_number) {
  return reader_.job(id_or_number);
}
Result<std::vector<scheduler::ProductionRow>> DatabaseReader::productions(const api::ProductionQuery& query) {
  return reader_.productions({query.project, query.sequence, query.from, query.limit});
}
Result<std::vector<scheduler::TaskRow>> DatabaseReader::tasks(const scheduler::JobRow& job,
                                                              const api::TaskQuery& query) {
  return reader_.tasks(job, {.step = query.step,
                             .state = query.state,
                             .held = query.held,
                             .from = query.from,
                             .limit = query.limit});
}
Result<scheduler::JobTimes> DatabaseReader::frame_times(const scheduler::JobRow& job,
                                                        const std::optional<std::uint32_t>& step) {
  return reader_.frame_times(job, step);
}
Result<std::vector<scheduler::AttemptRow>> DatabaseReader::attempts(const TaskId& task) {
  return reader_.attempts(task);
}
Result<std::vector<scheduler::ResultRow>> DatabaseReader::results(const api::ResultQuery& query) {
  return reader_.results({.job = query.job,
                          .from_task = query.from_task,
                          .to_task = query.to_task,
                          .from = query.from,
                          .limit = query.limit});
}
Result<std::vector<scheduler::NodeRow>> DatabaseReader::nodes() {
  return reader_.nodes();
}
Result<scheduler::NodeRow> DatabaseReader::node(const NodeId& id) {
  return reader_.node(id);
}
Result<std::vector<scheduler::UsageRow>> DatabaseReader::usage(const api::UsageQuery& query) {
  return reader_.usage({query.node, query.from_ms, query.to_ms, query.limit});
}
Result<scheduler::FarmSettings> DatabaseReader::settings() {
  return reader_.settings();
}

Result<std::vector<scheduler::RendererRow>> DatabaseReader::renderers() {
  return reader_.renderers();
}

// ---- DiskStorage ----

namespace {

// The size and time name a version well enough for a file that is replaced whole, never changed in place.
api::Stored stored(files::OpenFile file) {
  api::Stored out;
  out.version = fmt::format("{:x}-{:x}", file.modified_ns, file.size);
  out.file = {std::move(file.fd), file.size};
  return out;
}

// A files upload behind the API's interface.
template <class Inner>
class UploadOf final : public api::Upload {
 public:
  explicit UploadOf(Inner inner) : inner_(std::move(inner)) {}
  Status write(std::string_view bytes) override { return inner_.write(bytes); }
  Status finish() override { return inner_.finish(); }

 private:
  Inner inner_;
};

template <class Inner>
Result<std::unique_ptr<api::Upload>> wrapped(Result<Inner> inner) {
  if (!inner) return fail(std::move(inner.error()));
  return std::make_unique<UploadOf<Inner>>(std::move(*inner));
}

// A log is small: gathered, then written whole.
class LogUpload {
 public:
  LogUpload(files::Results& results, TaskId task, std::uint32_t attempt)
      : results_(&results), task_(std::move(task)), attempt_(attempt) {}
  Status write(std::string_view bytes) {
    text_ += bytes;
    return {};
  }
  Status finish() { return results_->write_log(task_, attempt_, text_); }

 private:
  files::Results* results_;
  TaskId task_;
  std::uint32_t attempt_;
  std::string text_;
};

constexpr std::uint64_t max_log_upload_bytes =
    4 * files::max_log_bytes;  // its end is kept; more is a mistake

}  // namespace

Result<std::unique_ptr<api::Upload>> upload_of(Result<files::Upload> upload) {
  return wrapped(std::move(upload));
}

Status check_room(const std::filesystem::path& folder, std::uint64_t reserve, std::uint64_t wanted) {
  const auto space = runtime::disk_space(folder);
  if (!space) return fail(space.error());
  if (space->free_bytes >= reserve && space->free_bytes - reserve >= wanted) return {};
  constexpr std::uint64_t mib = 1024UL * 1024;
  return fail(Code::full,
              fmt::format("the disk of {} has {} MiB left and {} MiB of it are kept for finished frames: "
                          "no room for this file of {} MiB; delete jobs or free space, or lower "
                          "farm.min_free_mib",
                          folder.string(), space->free_bytes / mib, reserve / mib, (wanted + mib - 1) / mib));
}

std::optional<std::uint64_t> DiskStorage::blob_size(const std::string& digest) {
  const auto file = blobs_.open(digest);
  if (!file) return std::nullopt;
  return file->size;
}

std::uint64_t DiskStorage::partial_size(const std::string& digest) {
  return blobs_.partial_size(digest);
}

Result<api::Stored> DiskStorage::open_blob(const std::string& digest) {
  auto file = blobs_.open(digest);
  if (!file) return fail(std::move(file.error()));
  return api::Stored{{std::move(file->fd), file->size}, digest};
}

Result<std::unique_ptr<api::Upload>> DiskStorage::put_blob(const std::string& digest, std::uint64_t offset,
                                                           std::uint64_t total) {
  if (auto room = check_room(layout_.data(), reserve_bytes_, total - std::min(offset, total)); !room)
    return fail(std::move(room.error()));
  return upload_of(blobs_.begin(digest, total, offset));
}

Status DiskStorage::remove_blob(const std::string& digest) {
  return blobs_.remove(digest);
}

Result<std::string> DiskStorage::put_text(std::string_view text) {
  return blobs_.put_bytes(text);
}

Result<std::unique_ptr<api::Upload>> DiskStorage::put_result(const TaskId& task, std::uint32_t attempt,
                                                             const std::string& path, std::uint64_t size,
                                                             const std::string& digest) {
  return wrapped(results_.begin(task, attempt, path, digest, size));
}

bool DiskStorage::has_result(const TaskId& task, std::uint32_t attempt, const std::string& path,
                             const std::string& digest) {
  return results_.has(task, attempt, path, digest);
}

std::string DiskStorage::placed(const TaskId& task, std::uint32_t attempt, const std::string& path) {
  return results_.placed(task, attempt, path);
}
Result<std::unique_ptr<api::Upload>> DiskStorage::put_log(const TaskId& task, std::uint32_t attempt,
                                                          std::uint64_t size) {
  if (size > max_log_upload_bytes) {
    return fail(Code::too_large, fmt::format("a log of {} bytes; at most {}", size, max_log_upload_bytes));
  }
  return std::make_unique<UploadOf<LogUpload>>(LogUpload(results_, task, attempt));
}

Result<api::Stored> DiskStorage::open_log(const TaskId& task, std::uint32_t attempt) {
  auto file = results_.open_log(task, attempt);
  if (!file) return fail(std::move(file.error()));
  return stored(std::move(*file));
}

Status DiskStorage::keep_boot_log(const NodeId& node, const std::string& boot, std::string_view text) {
  return boot_logs_.write(node, boot, text);
}

std::vector<api::BootLog> DiskStorage::boot_logs(const NodeId& node) {
  std::vector<api::BootLog> logs;
  for (auto& kept : boot_logs_.list(node)) logs.push_back({std::move(kept.boot), kept.bytes, kept.at_ms});
  return logs;
}

Result<api::Stored> DiskStorage::open_boot_log(const NodeId& node, const std::string& boot) {
  auto file = boot_logs_.open(node, boot);
  if (!file) return fail(std::move(file.error()));
  return stored(std::move(*file));
}

std::string DiskStorage::output_dir(const JobId& job) {
  return layout_.output(job).string();
}

Result<api::Stored> DiskStorage::open_output(const JobId& job, const std::string& path) {
  auto file = results_.open(job, path);
  if (!file) return fail(std::move(file.error()));
  return stored(std::move(*file));
}

Result<api::Stored> DiskStorage::open_thumbnail(const JobId& job, const std::string& path) {
  auto file = thumbnails_.open(job, path);
  if (!file) return fail(std::move(file.error()));
  return stored(std::move(*file));
}

Result<api::Archive> DiskStorage::archive(const JobId& job) {
  auto listed = results_.list(job);
  if (!listed) return fail(std::move(listed.error()));
  auto plan = files::Archive::plan(std::move(*listed),
                                   [this, job](const std::string& path) { return results_.open(job, path); });
  if (!plan) return fail(std::move(plan.error()));
  const auto shared = std::make_shared<const files::Archive>(std::move(*plan));
  return api::Archive{shared->size(), [shared](http::Sink& sink) {
                        return shared->write([&sink](std::string_view bytes) { return sink.write(bytes); });
                      }};
}

// ---- PageAssets ----

std::optional<api::Asset> PageAssets::find(std::string_view path) const {
  const auto& all = web::assets();
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const web::Asset& asset) { return asset.path == path; });
  if (found == all.end()) return std::nullopt;
  return api::Asset{found->gzip, found->content_type, true, found->etag};
}

}  // namespace kiln::controller
