#include "box/install.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>

#include "box/command.h"
#include "box/verdict.h"
#include "runtime/files.h"
#include "runtime/log.h"
#include "runtime/process.h"

namespace kiln::box {

namespace fs = std::filesystem;

namespace {

constexpr std::chrono::minutes max_install{60};  // a slow stick takes minutes for 2 GB; after this it hangs
constexpr int connect_timeout_ms = 3000;
constexpr std::size_t max_request_bytes = 4096;

// Writes what RAUC is at.
class Progress {
 public:
  explicit Progress(const Places& places) : places_(places) {}
  void name(std::string version) { version_ = std::move(version); }
  void say(std::string_view state, unsigned percent, std::string_view message) const {
    const auto json =
        Json::object({{"state", state}, {"percent", percent}, {"version", version_}, {"message", message}});
    if (auto done = runtime::write_file_atomically(places_.run / "install.json", json.dump() + "\n"); !done) {
      log::error("box", "{}", done.error().message);
    }
  }

 private:
  const Places& places_;
  std::string version_;
};

Status write_trial(const Places& places, const Trial& trial) {
  return runtime::write_file_atomically(places.data / "trial.json", to_json(trial).dump() + "\n", 0600);
}

// Runs `rauc install`; its last line that speaks of an error.
Status run_rauc(const fs::path& bundle, const Progress& progress) {
  auto pipe = runtime::make_pipe();
  if (!pipe) return fail(std::move(pipe.error()));
  runtime::SpawnOptions options;
  options.argv = {"rauc", "install", bundle.string()};
  options.descriptors = {{pipe->write.get(), 1}, {pipe->write.get(), 2}};
  auto process = runtime::Process::spawn(options);
  if (!process) return fail(std::move(process.error()));
  pipe->write = runtime::Fd();
  std::string rest;
  std::string error;
  char buffer[4096];
  for (ssize_t got = 0; (got = ::read(pipe->read.get(), buffer, sizeof buffer)) > 0;) {
    rest.append(buffer, static_cast<std::size_t>(got));
    for (auto end = rest.find('\n'); end != rest.npos; end = rest.find('\n')) {
      const auto line = rest.substr(0, end);
      rest.erase(0, end + 1);
      if (const auto percent = progress_of(line)) progress.say("installing", *percent, "");
      // "LastError: …" is what went wrong; what follows it only repeats that it did
      if (const auto at = line.find("LastError: "); at != line.npos) error = line.substr(at + 11);
      log::info("box", "rauc: {}", line);
    }
  }
  const auto ended = process->wait(std::chrono::duration_cast<std::chrono::milliseconds>(max_install));
  if (ended && ended->ok()) return {};
  return fail(Code::invalid,
              error.empty() ? fmt::format("rauc install: {}", ended ? ended->str() : "no end") : error);
}

}  // namespace

Result<fs::path> requested_bundle(std::string_view request, const fs::path& allowed) {
  auto json = Json::parse(request, {.bytes = max_request_bytes, .depth = 2, .values = 16});
  if (!json) return fail(std::move(json.error()).with("install.json"));
  const fs::path path = text_of(*json, "bundle");
  std::error_code error;
  // Without its links and dots: what root opens lies where the agent may write, and nowhere else.
  const auto real = fs::canonical(path, error);
  if (path.empty() || error) {
    return fail(
        Code::not_found,
        fmt::format("install.json: there is no bundle '{}'; write {{\"bundle\": PATH}}", path.string()));
  }
  const auto root = fs::canonical(allowed, error);
  const auto [end, ignored] = std::mismatch(root.begin(), root.end(), real.begin(), real.end());
  if (error || end != root.end() || !fs::is_regular_file(real, error)) {
    return fail(Code::invalid,
                fmt::format("install.json: '{}' is no file below {}", path.string(), allowed.string()));
  }
  return real;
}

std::optional<unsigned> progress_of(std::string_view line) {
  const auto first = line.find_first_not_of(' ');
  if (first == line.npos) return std::nullopt;
  unsigned percent = 0;
  const char* end = line.data() + line.size();
  const auto [stop, error] = std::from_chars(line.data() + first, end, percent);
  if (error != std::errc() || stop == end || *stop != '%' || percent > 100) return std::nullopt;
  return percent;
}

Status install_requested(const Places& places, const BootSlots& slots) {
  const auto file = places.agent / "install.json";
  auto request = runtime::read_file(file, max_request_bytes);
  std::error_code ignored;
  fs::remove(file, ignored);  // first: a request that fails must not start us again and again
  Progress progress(places);
  const auto refused = [&](const Error& error) {
    log::error("box", "{}", error.message);
    progress.say("failed", 0, error.message);
    return fail(error);
  };
  if (!request) return refused(request.error());
  const auto bundle = requested_bundle(*request, places.agent_data);
  if (!bundle) return refused(bundle.error());

  Trial trial;
  trial.slot = other_slot(booted_slot());
  trial.boot = boot_id();
  trial.gpus_before = count_gpus(places.sysfs);
  trial.link_before = has_link(places.sysfs);
  trial.online_before = is_reachable(read_box_state(places).controller, connect_timeout_ms);
  if (const auto info = output_of({"rauc", "info", "--output-format=json", bundle->string()})) {
    // Warnings stand before the JSON.
    const auto begin = info->find('{');
    if (const auto json = Json::parse(begin == info->npos ? "" : std::string_view(*info).substr(begin))) {
      trial.version = text_of(*json, "version");
    }
  }
  progress.name(trial.version);
  progress.say("installing", 0, "");
  // Before RAUC makes the other slot the first: a power cut in between leads into a trial, never past it.
  if (auto done = write_trial(places, trial); !done) return refused(done.error());
  if (auto done = run_rauc(*bundle, progress); !done) {
    fs::remove(places.data / "trial.json", ignored);
    return refused(done.error());
  }
  trial.installed = true;
  if (auto done = write_trial(places, trial); !done) return refused(done.error());
  progress.say("installed", 100, "");
  const auto environment = slots.load();
  log::info("box", "{} is installed in slot {}; slot {} is the first", trial.version, trial.slot,
            environment ? environment->primary() : "?");
  return {};
}

Status do_requested(const Places& places, const std::string& what) {
  std::error_code ignored;
  fs::remove(places.agent / what, ignored);
  log::info("box", "the agent asks for {}", what);
  return run({"systemctl", "--no-block", what});
}

}  // namespace kiln::box
