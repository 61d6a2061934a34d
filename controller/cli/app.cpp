#include "cli/app.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <functional>
#include <memory>

#include "cli/commands.h"
#include "cli/config.h"
#include "cli/text.h"
#include "compiler/compile.h"
#include "payloads/http_bodies.h"

namespace kiln::cli {

namespace {

using Command = std::function<Result<Exit>(Context&)>;

struct Globals {
  std::string server, blender;
  bool json = false;
};

const char* const exit_codes =
    "Exit codes: 0 ok, 1 the job failed or was cancelled, 2 wrong input, 3 no controller answers,\n"
    "4 not found, 5 refused, 6 trouble on this machine, 130 interrupted. `man kiln` says more.";

// What Blender calls them, and what people type instead. Empty: fine.
std::string check_format(std::string& text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::toupper(c); });
  if (text == "EXR") text = "OPEN_EXR";
  if (text == "JPG") text = "JPEG";
  if (text == "TIF") text = "TIFF";
  if (text == "TGA") text = "TARGA";
  const auto& formats = compiler::image_formats();
  if (std::find(formats.begin(), formats.end(), text) != formats.end()) return "";
  if (text == "FFMPEG" || text.starts_with("AVI") || text == "MP4" || text == "MOVIE") {
    return fmt::format(
        "{} is a film and a farm renders frames: choose PNG, then make the film with `kiln film`", text);
  }
  return fmt::format("'{}' is no image format of Blender's: choose one of {}", text,
                     fmt::join(formats, ", "));
}

// Each adds its subcommands; the parsed one leaves what is to be done in `command`.
void add_submit(CLI::App& app, Command& command) {
  auto options = std::make_shared<SubmitOptions>();
  auto* sub = app.add_subcommand("submit", "Send a scene and have it rendered");
  auto* scene = sub->add_option("scene", options->scene, "The .blend file")->type_name("SCENE");
  sub->add_option("-f,--frames", options->frames,
                  "Frames, as in 1-24, 1,5,9 or 1-100x10 [the scene's own range]");
  sub->add_option("-n,--name", options->name, "Name of the job [the scene's file name]");
  sub->add_option("-p,--priority", options->priority, "0 to 100, higher goes first")
      ->check(CLI::Range(0, 100))
      ->capture_default_str();
  sub->add_option("--chunk", options->chunk, "Frames a task: more for frames of a second or less")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  sub->add_option("--format", options->format, "Image format [what the scene says]")
      ->check(CLI::Validator(check_format, "PNG|JPEG|OPEN_EXR|…", "format"));
  sub->add_flag("--autoexec", options->autoexec,
                "Run the scene's own Python (drivers, handlers); only for scenes you trust");
  sub->add_option("--device", options->device,
                  "any: what the scene says; gpu: without one it fails, not the CPU")
      ->check(CLI::IsMember({"any", "cpu", "gpu"}))
      ->capture_default_str();
  sub->add_option("--retries", options->retries, "Tries of a task after one that failed [the farm's]")
      ->check(CLI::Range(0U, payloads::max_retries))
      ->type_name("N");
  sub->add_option("--fail-pct", options->fail_pct,
                  "Give up when so many % of its tasks failed [25, at least 5 tasks]")
      ->check(CLI::Range(1, 100))
      ->type_name("N");
  sub->add_option("--max-run", options->max_run_s,
                  "Seconds that a task may render; longer is a failure [no limit]")
      ->check(CLI::Range(1U, payloads::max_limit_s))
      ->type_name("S");
  sub->add_option("--stall", options->stall_s,
                  "Seconds without a word from Blender, then it hangs [the node's]")
      ->check(CLI::Range(1U, payloads::max_limit_s))
      ->type_name("S");
  sub->add_flag("--paused", options->paused, "Do not start yet; `kiln resume` does");
  sub->add_flag("--no-pack", options->no_pack,
                "Send the scene alone, without asking Blender what it refers to");
  sub->add_flag("-w,--wait", options->wait, "Wait for the end, with a progress bar");
  sub->add_option("-d,--download", options->download, "Wait, then fetch the frames into this folder")
      ->type_name("DIR");
  auto* noop = sub->add_option("--noop", options->noop,
                               "No scene: this many tasks that render nothing, to test the farm")
                   ->check(CLI::Range(1, 1'000'000));
  scene->excludes(noop);
  sub->callback([options, &command] {
    if (options->scene.empty() && options->noop == 0)
      throw CLI::ValidationError("which scene? kiln submit SCENE.blend");
    command = [options](Context& context) { return submit(context, *options); };
  });
}

void add_jobs(CLI::App& app, Command& command) {
  auto state = std::make_shared<std::string>();
  auto limit = std::make_shared<std::uint32_t>(20);
  auto* list = app.add_subcommand("jobs", "List jobs, the newest first");
  list->add_option("-s,--state", *state, "Only these")
      ->check(CLI::IsMember({"queued", "running", "paused", "done", "failed", "cancelled"}));
  list->add_option("-l,--limit", *limit, "At most this many")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  list->callback(
      [=, &command] { command = [=](Context& context) { return list_jobs(context, *state, *limit); }; });

  const auto one = [&](const char* name, const char* what,
                       const std::function<Result<Exit>(Context&, const std::string&)>& act) {
    auto job = std::make_shared<std::string>();
    auto* sub = app.add_subcommand(name, what);
    sub->add_option("job", *job, "Number or id, as `kiln jobs` shows it")->required()->type_name("JOB");
    sub->callback([=, &command] { command = [=](Context& context) { return act(context, *job); }; });
  };
  const auto action = [](JobAction what) {
    return [what](Context& context, const std::string& job) { return act_on_job(context, job, what); };
  };
  one("job", "Show one job, and why its tasks failed", show_job);
  one("wait", "Wait until a job has ended", wait_job);
  one("cancel", "End a job; frames that are done stay", action(JobAction::cancel));
  one("pause", "Start no more of its tasks", action(JobAction::pause));
  one("resume", "Go on with a paused job", action(JobAction::resume));
  one("retry", "Render again what failed or was cancelled", action(JobAction::retry));
  const auto judging = [&](const char* name, const char* what, Look look) {
    auto named = std::make_shared<std::string>();
    auto* sub = app.add_subcommand(name, what);
    sub->add_option("what", *named, "A job: all its held frames; or a task's id, as `kiln job` shows it")
        ->required()
        ->type_name("JOB|TASK");
    sub->callback(
        [=, &command] { command = [=](Context& context) { return judge(context, *named, look); }; });
  };
  judging("accept", "Say that frames held for a look are right", Look::accept);
  judging("requeue", "Render frames again that are held, or one task", Look::requeue);
  one("delete", "Remove a job and its frames from the farm", action(JobAction::erase));

  auto job = std::make_shared<std::string>();
  auto value = std::make_shared<int>();
  auto* priority = app.add_subcommand("priority", "Change a job's priority");
  priority->add_option("job", *job, "Number or id")->required()->type_name("JOB");
  priority->add_option("value", *value, "0 to 100, higher goes first")
      ->required()
      ->check(CLI::Range(0, 100))
      ->type_name("N");
  priority->callback(
      [=, &command] { command = [=](Context& context) { return set_priority(context, *job, *value); }; });
}

void add_watching(CLI::App& app, Command& command) {
  auto job = std::make_shared<std::string>();
  auto* sub = app.add_subcommand("watch", "Watch the farm, or one job to its end, live");
  sub->add_option("job", *job, "Number or id [the whole farm]")->type_name("JOB");
  sub->callback([=, &command] { command = [=](Context& context) { return watch(context, *job); }; });

  auto options = std::make_shared<LogOptions>();
  auto* logs = app.add_subcommand("logs", "Show what the renderer said");
  logs->add_option("job", options->job, "Number or id")->required()->type_name("JOB");
  auto* frame =
      logs->add_option("--frame", options->frame, "Of the task that holds this frame")->type_name("N");
  auto* task = logs->add_option("--task", options->task,
                                "Of this task: its index or id [one that failed, else the latest]")
                   ->type_name("T");
  frame->excludes(task);
  logs->add_flag("--follow", options->follow, "Wait for logs: they come as tasks end");
  logs->callback([=, &command] { command = [=](Context& context) { return show_logs(context, *options); }; });
}

void add_nodes(CLI::App& app, Command& command) {
  app.add_subcommand("nodes", "List the boxes of the farm")->callback([&command] {
    command = [](Context& context) { return list_nodes(context); };
  });
  for (const bool drained : {true, false}) {
    auto node = std::make_shared<std::string>();
    auto* sub = drained ? app.add_subcommand("drain", "Let a node finish and take nothing new")
                        : app.add_subcommand("undrain", "Let a drained node work again");
    sub->add_option("node", *node, "Id, as `kiln nodes` shows it")->required()->type_name("NODE");
    sub->callback(
        [=, &command] { command = [=](Context& context) { return drain_node(context, *node, drained); }; });
  }
}

void add_forgiving(CLI::App& app, Command& command) {
  auto node = std::make_shared<std::string>();
  auto* sub = app.add_subcommand("forgive", "End a node's quarantine");
  sub->add_option("node", *node, "Id, as `kiln nodes` shows it")->required()->type_name("NODE");
  sub->callback([=, &command] { command = [=](Context& context) { return forgive_node(context, *node); }; });
}

void add_fetching(CLI::App& app, Command& command) {
  auto options = std::make_shared<DownloadOptions>();
  auto* sub = app.add_subcommand("download", "Fetch a job's frames; what is here already stays");
  sub->add_option("job", options->job, "Number or id")->required()->type_name("JOB");
  sub->add_option("folder", options->folder, "Where to [<name>-<number>]")->type_name("DIR");
  sub->add_option("-f,--frames", options->frames, "Only these, as in 1-24 [all that are done]");
  sub->callback([=, &command] { command = [=](Context& context) { return download(context, *options); }; });

  auto film = std::make_shared<FilmOptions>();
  auto* make = app.add_subcommand("film", "Make an MP4 of a job's frames");
  make->add_option("job", film->job, "Number or id")->required()->type_name("JOB");
  make->add_option("file", film->file, "The film, FILE.mp4")->required()->type_name("FILE");
  make->add_option("--fps", film->fps, "Frames a second")
      ->check(CLI::Range(0.1, 1000.0))
      ->capture_default_str();
  make->add_option("-f,--frames", film->frames, "Only these, as in 1-24 [all that are done]");
  make->add_option("--folder", film->folder, "Where the frames are, or go [a cache]")->type_name("DIR");
  make->callback([=, &command] { command = [=](Context& context) { return make_film(context, *film); }; });
}

std::string login() {
  for (const char* name : {"USER", "LOGNAME"}) {
    if (const char* value = std::getenv(name); value != nullptr && *value != '\0') return value;
  }
  return "";
}

// One line: what CLI11 found wrong, and where to read on.
int say_usage_error(const CLI::App& app, const std::vector<std::string>& args, const CLI::ParseError& error,
                    Terminal& err) {
  std::string where = "kiln";
  for (const auto* sub : app.get_subcommands()) where += " " + sub->get_name();
  std::string text = harmless(error.what());
  if (app.get_subcommands().empty()) {
    const auto named =
        std::find_if(args.begin(), args.end(), [](const auto& arg) { return !arg.starts_with('-'); });
    const auto all = app.get_subcommands([](const CLI::App*) { return true; });
    const bool is_known = named != args.end() && std::any_of(all.begin(), all.end(), [&](auto* sub) {
                            return sub->get_name() == *named;
                          });
    if (named == args.end()) text = "what should be done? For one, kiln submit SCENE.blend";
    if (named != args.end() && !is_known) text = fmt::format("'{}' is no command", harmless(*named));
  }
  if (const auto end = text.find_last_not_of(". "); end != std::string::npos) text.resize(end + 1);
  err.line(fmt::format("kiln: {} (`{} --help` shows what goes)", text, where));
  return static_cast<int>(Exit::usage);
}

}  // namespace

int run(const std::vector<std::string>& args, std::FILE* out, std::FILE* err,
        const std::atomic<bool>& interrupted) {
  Terminal out_terminal(out), err_terminal(err);
  Globals globals;
  Command command;
  CLI::App app("Kiln: the command line of a render farm", "kiln");
  app.footer(exit_codes);
  app.require_subcommand(1);
  app.fallthrough();  // --json and --server may stand behind the command, too
  app.set_version_flag("--version", "kiln " KILN_VERSION);
  app.add_option("--server", globals.server,
                 "The controller: http://host:8780 [$KILN_SERVER, else kiln.toml, else this machine]")
      ->type_name("URL");
  app.add_option("--blender", globals.blender,
                 "Blender program that looks into scenes [$KILN_BLENDER, else kiln.toml, else blender]")
      ->type_name("PROGRAM");
  app.add_flag("--json", globals.json, "One JSON document on stdout (watch: one a line)");
  add_submit(app, command);
  add_jobs(app, command);
  add_watching(app, command);
  add_nodes(app, command);
  add_forgiving(app, command);
  add_fetching(app, command);
  try {
    // CLI11 takes them from the back.
    app.parse(std::vector<std::string>(args.rbegin(), args.rend()));
  } catch (const CLI::CallForVersion& call) {
    out_terminal.line(call.what());
    return 0;
  } catch (const CLI::CallForHelp&) {
    const auto subs = app.get_subcommands();
    out_terminal.raw(subs.empty() ? app.help() : subs.front()->help());
    return 0;
  } catch (const CLI::ParseError& error) {
    return say_usage_error(app, args, error, err_terminal);
  }

  auto config = load_config(config_file());
  const auto say_error = [&](const Error& error) {
    err_terminal.line(styled("kiln: ", Style::red, err_terminal.color()) + harmless(error.message));
    return static_cast<int>(interrupted ? Exit::interrupted : exit_of(error.code));
  };
  if (!config) return say_error(config.error());
  if (!globals.server.empty()) config->server = globals.server;
  if (!globals.blender.empty()) config->blender = globals.blender;
  Context context{Client(server_url(config->server), user_name(login()), interrupted),
                  out_terminal,
                  err_terminal,
                  globals.json,
                  config->blender,
                  cache_folder()};
  const auto exit = command(context);
  if (exit) return static_cast<int>(interrupted ? Exit::interrupted : *exit);
  context.err.end_status(false);
  return say_error(exit.error());
}

}  // namespace kiln::cli
