#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <optional>
#include <set>

#include "cli/commands.h"
#include "cli/digest_cache.h"
#include "cli/fields.h"
#include "cli/frames_on_disk.h"
#include "cli/text.h"
#include "payloads/frames.h"
#include "payloads/http_bodies.h"
#include "runtime/files.h"

namespace kiln::cli {

namespace fs = std::filesystem;

namespace {

constexpr std::uint32_t page = 1000;
constexpr int tries = 5;

struct Wanted {
  std::int32_t frame = 0;
  std::string path, digest;
  std::uint64_t size = 0;
};

Result<std::vector<Wanted>> wanted_files(Context& context, const Json& job, const std::string& frames) {
  std::optional<std::set<std::int32_t>> only;
  if (!frames.empty()) {
    const auto set = payloads::FrameSet::parse(frames);
    if (!set) return fail(Error(set.error()).with("--frames"));
    only.emplace();
    for (std::size_t i = 0; i < set->size(); ++i) only->insert(set->at(i));
  }
  std::vector<Wanted> files;
  for (std::uint32_t from = 0;; from += page) {
    const auto answer = context.client.results(text_of(job, "id"), from, page);
    if (!answer) return fail(answer.error());
    const auto& results = array_of(*answer, "results");
    for (const auto& result : results) {
      Wanted file{static_cast<std::int32_t>(integer_of(result, "frame")), text_of(result, "path"),
                  text_of(result, "digest"), static_cast<std::uint64_t>(integer_of(result, "size"))};
      if (only && !only->contains(file.frame)) continue;
      // The names come from the network: none may leave the folder.
      if (!payloads::is_safe_path(file.path) || !is_digest(file.digest)) {
        return fail(Code::internal,
                    fmt::format("the controller names a file that is none: '{}'", harmless(file.path)));
      }
      files.push_back(std::move(file));
    }
    if (results.size() < page) break;
  }
  std::sort(files.begin(), files.end(), [](const Wanted& a, const Wanted& b) {
    return std::tie(a.frame, a.path) < std::tie(b.frame, b.path);
  });
  return files;
}

// Fetches one file: continued after a break, checked, renamed into place.
Status fetch(Context& context, const std::string& job, const Wanted& wanted, const fs::path& file,
             DigestCache& digests) {
  if (auto made = runtime::make_folders(file.parent_path()); !made) return made;
  const fs::path part = file.string() + ".part";
  std::error_code error;
  for (int i = 1;; ++i) {
    const auto size = context.client.get_file(job, wanted.path, part, wanted.size);
    if (size) {
      const auto digest = digests.digest(part, [&] { return context.client.interrupted(); });
      if (digest && digest->digest == wanted.digest) break;
      if (!digest && digest.error().code != Code::conflict) return fail(digest.error());
      fs::remove(part, error);
      if (i == tries)
        return fail(
            Code::internal,
            fmt::format("{} arrives damaged: its content is not what the controller says", wanted.path));
      continue;
    }
    const bool may_pass = size.error().code == Code::unavailable;
    if (!may_pass || i == tries || !context.pause_ms(250 << i))
      return fail(Error(size.error()).with(wanted.path));
  }
  fs::rename(part, file, error);
  if (error) return fail(runtime::os_error(error.value(), fmt::format("while naming {}", file.string())));
  return {};
}

}  // namespace

std::string folder_name(const Json& job) {
  std::string name;
  for (const char c : text_of(job, "name")) {
    const bool is_plain =
        std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' || c == '.';
    name += is_plain ? c : '-';
  }
  // Neither hidden nor an option.
  name.erase(0, std::min(name.find_first_not_of(".-"), name.size()));
  return fmt::format("{}-{}", name.empty() ? "job" : name.substr(0, 100), integer_of(job, "number"));
}

Result<Fetched> fetch_frames(Context& context, const Json& job, const fs::path& folder,
                             const std::string& frames) {
  const auto files = wanted_files(context, job, frames);
  if (!files) return fail(files.error());
  if (files->empty()) {
    return fail(Code::not_found,
                frames.empty()
                    ? fmt::format("job {} has no frame done yet; `kiln watch {}` shows how far it is",
                                  job_label(job), integer_of(job, "number"))
                    : fmt::format("none of the frames {} of job {} is done", frames, job_label(job)));
  }
  const auto id = text_of(job, "id");
  DigestCache digests(context.cache / "digests");
  Fetched fetched;
  std::uint64_t bytes_seen = 0, bytes_all = 0;
  for (const auto& file : *files) bytes_all += file.size;
  for (const auto& wanted : *files) {
    const fs::path file = folder / wanted.path;
    std::error_code error;
    bool is_here = fs::file_size(file, error) == wanted.size && !error;
    if (is_here) {
      const auto digest = digests.digest(file, [&] { return context.client.interrupted(); });
      is_here = digest && digest->digest == wanted.digest;
    }
    if (context.client.interrupted())
      return fail(Code::timeout, "stopped; the same command again goes on from here");
    if (!is_here) {
      if (auto done = fetch(context, id, wanted, file, digests); !done) {
        context.err.end_status(false);
        return fail(std::move(done.error()));
      }
      ++fetched.fetched;
      fetched.bytes += wanted.size;
    }
    fetched.frames.push_back({wanted.frame, file});
    bytes_seen += wanted.size;
    Progress progress{
        "download",
        100.0 * static_cast<double>(bytes_seen) / static_cast<double>(std::max<std::uint64_t>(1, bytes_all)),
        fmt::format("{}/{} files  {}", fetched.frames.size(), files->size(), bytes_text(bytes_seen)),
        {}};
    context.err.status(progress_line(progress, context.err.width() - 1, true));
  }
  context.err.end_status(false);
  (void)digests.save();  // a cache that cannot be kept costs time, nothing else
  return fetched;
}

namespace {

Result<Exit> download_archive(Context& context, const Json& job, const DownloadOptions& options) {
  if (!options.frames.empty())
    return fail(Code::invalid, "--zip fetches all that is done: leave out --frames, or fetch one by one");
  fs::path file = options.folder.empty() ? fs::path(folder_name(job) + ".zip") : options.folder;
  std::error_code error;
  if (fs::is_directory(file, error)) file /= folder_name(job) + ".zip";
  if (auto made = runtime::make_folders(fs::absolute(file).parent_path()); !made)
    return fail(std::move(made.error()));
  const fs::path part = file.string() + ".part";
  context.client.on_moving([&](std::uint64_t, std::uint64_t received) {
    context.err.status(fmt::format("download  {}", bytes_text(received)));
  });
  const auto size = context.client.get_archive(text_of(job, "id"), part);
  context.client.on_moving({});
  context.err.end_status(false);
  if (!size) {
    fs::remove(part, error);
    return fail(size.error());
  }
  fs::rename(part, file, error);
  if (error) return fail(runtime::os_error(error.value(), fmt::format("while naming {}", file.string())));
  if (context.json) {
    context.print(
        Json::object({{"job", text_of(job, "id")}, {"file", fs::absolute(file).string()}, {"size", *size}}));
  }
  context.say(
      fmt::format("the results of job {} in {} ({})", job_label(job), file.string(), bytes_text(*size)));
  return Exit::ok;
}

}  // namespace

Result<Exit> download(Context& context, const DownloadOptions& options) {
  const auto job = find_job(context, options.job);
  if (!job) return fail(job.error());
  if (options.zip) return download_archive(context, *job, options);
  const fs::path folder = options.folder.empty() ? fs::path(folder_name(*job)) : options.folder;
  const auto fetched = fetch_frames(context, *job, folder, options.frames);
  if (!fetched) return fail(fetched.error());
  if (context.json) {
    Json files(Json::Array{});
    for (const auto& frame : fetched->frames) {
      files.push(Json::object({{"frame", frame.frame}, {"file", frame.file.string()}}));
    }
    context.print(Json::object({{"job", text_of(*job, "id")},
                                {"folder", fs::absolute(folder).string()},
                                {"fetched", fetched->fetched},
                                {"files", std::move(files)}}));
    return Exit::ok;
  }
  context.say(fmt::format("{} file{} of job {} in {} ({} new, {})", fetched->frames.size(),
                          fetched->frames.size() == 1 ? "" : "s", job_label(*job), folder.string(),
                          fetched->fetched, bytes_text(fetched->bytes)));
  return Exit::ok;
}

}  // namespace kiln::cli
