#include "daemon/maintenance.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <set>
#include <vector>

#include "base/ids.h"
#include "fleet/broker_accounts.h"
#include "identity/authority.h"
#include "identity/key.h"
#include "runtime/clock.h"
#include "runtime/files.h"
#include "store/backup.h"

namespace kiln::controller {
namespace {

namespace fs = std::filesystem;

constexpr double mib = 1024.0 * 1024.0;

fs::path data_of(const Config& config) {
  return fs::absolute(config.data).lexically_normal();
}

Error with_data_hint(Error error, const Config& config) {
  if (error.code == Code::not_found) {
    error.message +=
        fmt::format("; the data folder is {}: name another with --data, or the settings with --config",
                    data_of(config).string());
  }
  return error;
}

// Folders of jobs that the database does not know; their unfinished uploads are kept from the next start's
// broom by having such a folder.
Result<std::vector<std::string>> unknown_jobs(const files::Layout& layout, const files::Results& results,
                                              const store::Reader& reader) {
  const auto incoming = results.incoming();
  if (!incoming) return fail(incoming.error());
  for (const auto& attempt : *incoming) {
    if (reader.job(attempt.task.job.str())) continue;
    if (auto made = runtime::make_folders(layout.job(attempt.task.job)); !made) return fail(made.error());
  }
  std::vector<std::string> unknown;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(layout.jobs(), error)) {
    const auto name = entry.path().filename().string();
    const auto job = JobId::parse(name);
    if (job && !reader.job(name)) unknown.push_back(name);
  }
  if (error) return fail(runtime::os_error(error.value(), "cannot list the jobs' folders"));
  std::sort(unknown.begin(), unknown.end());
  return unknown;
}

// Calls for every result of a job until it returns false.
Status each_result_of(const store::Reader& reader, const JobId& job,
                      const std::function<bool(const scheduler::ResultRow&)>& on_result) {
  for (std::uint32_t from = 0;; from += store::max_rows) {
    const auto page = reader.results({.job = job, .from = from, .limit = store::max_rows});
    if (!page) return fail(page.error());
    for (const auto& result : *page) {
      if (!on_result(result)) return {};
    }
    if (page->size() < store::max_rows) return {};
  }
}

// Calls for every result, job by job, until it returns false.
Status each_result(
    const store::Reader& reader, const std::function<bool(const scheduler::JobRow&)>& wanted,
    const std::function<bool(const scheduler::JobRow&, const scheduler::ResultRow&)>& on_result) {
  for (std::uint64_t before = 0;;) {
    const auto jobs = reader.jobs({.state = {}, .user = {}, .limit = store::max_rows, .before = before});
    if (!jobs) return fail(jobs.error());
    if (jobs->empty()) return {};
    for (const auto& job : *jobs) {
      before = job.number;
      if (!wanted(job)) continue;
      bool goes_on = true;
      auto read = each_result_of(reader, job.id,
                                 [&](const auto& result) { return goes_on = on_result(job, result); });
      if (!read || !goes_on) return read;
    }
    if (before <= 1) return {};
  }
}

// Frames below a job's output that no result names: made after the backup. Their names must be free for the
// frames to come, so they go to a folder beside the output. Returns how many.
Result<std::size_t> move_unknown_frames(const files::Layout& layout, const files::Results& results,
                                        const store::Reader& reader, const std::string& folder) {
  std::size_t moved = 0;
  Status status;
  const auto look = [&](const scheduler::JobRow& job) {
    if (!status || (job.state != scheduler::JobState::active && job.state != scheduler::JobState::paused))
      return false;
    const auto listed = results.list(job.id);
    if (!listed) {
      status = fail(listed.error());
      return false;
    }
    std::set<std::string> known;
    status = each_result_of(reader, job.id, [&](const auto& result) {
      known.insert(result.file.path);
      return true;
    });
    if (!status) return false;
    for (const auto& file : *listed) {
      if (known.contains(file.path)) continue;
      const auto target = layout.job(job.id) / folder / file.path;
      if (status = runtime::make_folders(target.parent_path()); !status) return false;
      std::error_code error;
      fs::rename(layout.output(job.id) / file.path, target, error);
      if (error) {
        status = fail(
            runtime::os_error(error.value(), fmt::format("moving {} to {}", file.path, target.string())));
        return false;
      }
      ++moved;
    }
    return false;
  };
  if (auto done = each_result(reader, look, [](const auto&, const auto&) { return true; }); !done)
    status = done;
  if (!status) return fail(status.error());
  return moved;
}

}  // namespace

Status run_certificate(const Config& config) {
  const auto tls = data_of(config) / "tls";
  std::error_code ignored;
  if (!fs::exists(tls / "ca.key", ignored)) {
    return fail(with_data_hint(
        Error{Code::not_found, fmt::format("{}: the farm has no authority yet; start its controller once",
                                           (tls / "ca.key").string())},
        config));
  }
  if (!config.client_name.empty() &&
      (config.client_name == fleet::controller_name || !is_id(config.client_name))) {
    return fail(Code::invalid, fmt::format("--client: 1 to 32 of a-z, 0-9 and - are expected, and not the "
                                           "controller's own name: '{}'",
                                           config.client_name));
  }
  const auto authority = identity::Authority::open(tls);
  if (!authority) return fail(authority.error());
  if (auto made = runtime::make_folders(config.file); !made) return made;
  const auto key = identity::Key::load_or_make(config.file / "key.pem");
  if (!key) return fail(key.error());
  const auto pem = config.client_name.empty()
                       ? authority->issue_server(*key, config.server_names)
                       : authority->issue_client(key->public_key(), config.client_name);
  if (auto written = runtime::write_file_atomically(config.file / "certificate.pem", pem); !written)
    return written;
  if (auto written = runtime::write_file_atomically(config.file / "ca.pem", authority->certificate());
      !written)
    return written;
  fmt::print("{0}/key.pem, {0}/certificate.pem and {0}/ca.pem: the key is its owner's alone\n",
             config.file.string());
  return {};
}

bool is_there(const files::Results& results, const scheduler::ResultRow& result) {
  const auto lies_in_output = [&] {
    const auto file = results.open(result.task.job, result.file.path);
    return file && file->size == result.file.size;
  };
  return lies_in_output() || results.has(result.task, result.attempt, result.file.path, result.file.digest) ||
         lies_in_output();  // it was moved in this moment
}

Result<MissingFiles> look_for_missing(const store::Reader& reader, const files::Results& results,
                                      const std::function<bool()>& is_stopping) {
  MissingFiles missing;
  const auto look = [&](const scheduler::JobRow& job, const scheduler::ResultRow& result) {
    if (is_there(results, result)) return !is_stopping();
    const bool is_open = job.state == scheduler::JobState::active || job.state == scheduler::JobState::paused;
    auto& count = is_open ? missing.of_open_jobs : missing.of_ended_jobs;
    if (++count == 1 && (is_open || missing.first.empty())) {
      missing.first = fmt::format("job {}: {}", job.number, result.file.path);
    }
    return !is_stopping();
  };
  const auto all = [](const scheduler::JobRow& job) { return job.counts.done > 0; };
  if (auto looked = each_result(reader, all, look); !looked) return fail(looked.error());
  return missing;
}

Status run_backup(const Config& config) {
  const auto begin = runtime::now();
  const files::Layout layout(data_of(config));
  const auto made = store::backup(layout.database(), config.file);
  if (!made) return fail(with_data_hint(made.error(), config));
  fmt::print("{}: the database of farm {} with {} jobs, {:.1f} MiB, checked, in {:.1f} s\n",
             config.file.string(), made->farm_id, made->jobs, static_cast<double>(made->bytes) / mib,
             static_cast<double>(runtime::now().mono_ms - begin.mono_ms) / 1000);
  return {};
}

Status run_restore(const Config& config) {
  const auto data = data_of(config);
  // A look at the backup comes before the first folder is made.
  if (const auto facts = store::examine(config.file); !facts) return fail(facts.error());
  if (auto made = runtime::make_folders(data); !made) return made;
  const files::Layout layout(data);
  if (auto created = layout.create(); !created) return created;
  const files::Results results(layout);

  const auto restored =
      store::restore(config.file, layout.database(),
                     [&](const scheduler::ResultRow& result) { return is_there(results, result); });
  if (!restored) return fail(restored.error());
  fmt::print("{}: farm {} with {} jobs is restored from it; its epoch is {} now\n",
             layout.database().string(), restored->backup.farm_id, restored->backup.jobs, restored->epoch);
  std::string folder = "before-restore";
  if (!restored->put_aside.empty()) {
    folder = restored->put_aside.filename().string().substr(layout.database().filename().string().size() + 1);
    fmt::print("the database that was there is kept as {}\n", restored->put_aside.string());
  }
  if (!restored->trouble_with_old.empty())
    fmt::print("it could not be read: {}\n", restored->trouble_with_old);
  if (restored->was_other_farm) fmt::print("it was another farm's: its jobs are not in this one\n");
  if (restored->tasks_requeued > 0) {
    fmt::print("{} tasks of unfinished jobs are done in the backup but lack files: they are queued again\n",
               restored->tasks_requeued);
  }
  if (restored->files_missing > 0) {
    fmt::print("{} files of jobs that have ended are missing: those jobs are left as they are\n",
               restored->files_missing);
  }

  const auto reader = store::Reader::open(layout.database());
  if (!reader) return fail(reader.error());
  const auto moved = move_unknown_frames(layout, results, *reader, folder);
  if (!moved) return fail(moved.error());
  if (*moved > 0) {
    fmt::print("{} frames that the backup does not know lie in jobs/<job>/{} now: their tasks render again\n",
               *moved, folder);
  }
  const auto unknown = unknown_jobs(layout, results, *reader);
  if (!unknown) return fail(unknown.error());
  for (const auto& job : *unknown) {
    fmt::print("{}: the backup does not know this job; its files are left alone\n",
               layout.jobs().string() + "/" + job);
  }
  return {};
}

}  // namespace kiln::controller
