// The API's interfaces, met with the rooms that do the work. Nothing is decided here.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/assets.h"
#include "api/farm.h"
#include "api/storage.h"
#include "files/blobs.h"
#include "files/boot_logs.h"
#include "files/layout.h"
#include "files/results.h"
#include "files/thumbnails.h"
#include "store/reader.h"

namespace kiln::controller {

class DatabaseReader final : public api::Reader {
 public:
  explicit DatabaseReader(const store::Reader& reader) : reader_(reader) {}
  Result<std::vector<scheduler::JobRow>> jobs(const api::JobQuery& query) override;
  Result<scheduler::JobRow> job(const std::string& id_or_number) override;
  Result<std::vector<scheduler::ProductionRow>> productions(const api::ProductionQuery& query) override;
  Result<std::vector<scheduler::TaskRow>> tasks(const scheduler::JobRow& job,
                                                const api::TaskQuery& query) override;
  Result<scheduler::JobTimes> frame_times(const scheduler::JobRow& job,
                                          const std::optional<std::uint32_t>& step) override;
  Result<std::vector<scheduler::AttemptRow>> attempts(const TaskId& task) override;
  Result<std::vector<scheduler::ResultRow>> results(const api::ResultQuery& query) override;
  Result<std::vector<scheduler::NodeRow>> nodes() override;
  Result<scheduler::NodeRow> node(const NodeId& id) override;
  Result<std::vector<scheduler::UsageRow>> usage(const api::UsageQuery& query) override;
  Result<scheduler::FarmSettings> settings() override;
  Result<std::vector<scheduler::RendererRow>> renderers() override;

 private:
  const store::Reader& reader_;
};

// Frames may use the disk to its end; what people upload stops before, so that no finished frame finds it
// full.
class DiskStorage final : public api::Storage {
 public:
  DiskStorage(files::Layout layout, files::Blobs& blobs, files::Results& results,
              files::Thumbnails& thumbnails, std::uint64_t reserve_bytes)
      : boot_logs_(layout),
        layout_(std::move(layout)),
        blobs_(blobs),
        results_(results),
        thumbnails_(thumbnails),
        reserve_bytes_(reserve_bytes) {}

  std::optional<std::uint64_t> blob_size(const std::string& digest) override;
  std::uint64_t partial_size(const std::string& digest) override;
  Result<api::Stored> open_blob(const std::string& digest) override;
  Result<std::unique_ptr<api::Upload>> put_blob(const std::string& digest, std::uint64_t offset,
                                                std::uint64_t total) override;
  Status remove_blob(const std::string& digest) override;
  Result<std::string> put_text(std::string_view text) override;
  Result<std::unique_ptr<api::Upload>> put_result(const TaskId& task, std::uint32_t attempt,
                                                  const std::string& path, std::uint64_t size,
                                                  const std::string& digest) override;
  bool has_result(const TaskId& task, std::uint32_t attempt, const std::string& path,
                  const std::string& digest) override;
  std::string placed(const TaskId& task, std::uint32_t attempt, const std::string& path) override;
  Result<std::unique_ptr<api::Upload>> put_log(const TaskId& task, std::uint32_t attempt,
                                               std::uint64_t size) override;
  Result<api::Stored> open_log(const TaskId& task, std::uint32_t attempt) override;
  Status keep_boot_log(const NodeId& node, const std::string& boot, std::string_view text) override;
  std::vector<api::BootLog> boot_logs(const NodeId& node) override;
  Result<api::Stored> open_boot_log(const NodeId& node, const std::string& boot) override;
  std::string output_dir(const JobId& job) override;
  Result<api::Stored> open_output(const JobId& job, const std::string& path) override;
  Result<api::Stored> open_thumbnail(const JobId& job, const std::string& path) override;
  Result<api::Archive> archive(const JobId& job) override;

 private:
  files::BootLogs boot_logs_;
  files::Layout layout_;
  files::Blobs& blobs_;
  files::Results& results_;
  files::Thumbnails& thumbnails_;
  std::uint64_t reserve_bytes_;  // job files leave so much free for frames that are being rendered
};

// A files upload behind the API's interface.
Result<std::unique_ptr<api::Upload>> upload_of(Result<files::Upload> upload);
// Errors: full when `wanted` bytes more would leave less than `reserve` on that disk.
Status check_room(const std::filesystem::path& folder, std::uint64_t reserve, std::uint64_t wanted);

// What controller/web's build put into the binary.
class PageAssets final : public api::Assets {
 public:
  [[nodiscard]] std::optional<api::Asset> find(std::string_view path) const override;
};

}  // namespace kiln::controller
