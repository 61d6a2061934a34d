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
  std::string server, blender, token;
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

const char* const job_or_task = "A job: all its held frames; or a task's id, as `kiln job` shows it";

void add_type_options(CLI::App& sub, SubmitOptions& options) {
  const char* group = "Job types and templates";
  auto* type = sub.add_option("-t,--type", options.type, "A job type, as `kiln types` lists them")
                   ->type_name("NAME")
                   ->group(group);
  sub.add_option("--template", options.job_template, "A job template of Open Job Description, YAML or JSON")
      ->type_name("FILE")
      ->excludes(type)
      ->group(group);
  sub.add_option(
         "-p,--param", options.parameters,
         "NAME=VALUE of a parameter, or file://FILE with many; files and folders of this machine are sent "
         "along, node:/path is one that every node has")
      ->type_name("NAME=VALUE")
      ->allow_extra_args(false)
      ->group(group);
  sub.add_option("--env", options.environments, "An environment template around the job; again for more")
      ->type_name("FILE")
      ->allow_extra_args(false)
      ->group(group);
  sub.add_option("--frame-by-frame", options.frame_by_frame,
                 "Task i of STEP waits for task i of step ON alone, not for all of them")
      ->type_name("STEP:ON")
      ->allow_extra_args(false)
      ->group(group);
  sub.add_flag("--film", options.film, "Of a plain scene: a film of its frames when all are done")
      ->group(group);
}

// What every job may ask for.
void add_wish_options(CLI::App& sub, SubmitOptions& options) {
  const char* group = "When and where";
  sub.add_option("--after", options.after, "Not before this job is done; again for more")
      ->type_name("JOB")
      ->allow_extra_args(false)
      ->group(group);
  sub.add_option("--start", options.start, "Not before: \"2026-11-27 22:00\", 22:00, +2h")
      ->type_name("TIME")
      ->group(group);
  sub.add_option("--tag", options.tags, "Only on nodes with this tag; again for more")
      ->type_name("TAG")
      ->allow_extra_args(false)
      ->group(group);
  sub.add_option("--max-slots", options.slot_limit, "Tasks at once [no limit]")->type_name("N")->group(group);
  sub.add_option("--max-nodes", options.node_limit, "Nodes at once [no limit]")->type_name("N")->group(group);
  sub.add_option("--limit", options.limits, "Each task takes N (1) of this counted limit; again for more")
      ->type_name("NAME[=N]")
      ->allow_extra_args(false)
      ->group(group);
  sub.add_option("--project", options.production.project, "Where it belongs")->group(group);
  sub.add_option("--sequence", options.production.sequence, "…in the project")->group(group);
  sub.add_option("--shot", options.production.shot, "…in the sequence")->group(group);
}

void add_types(CLI::App& app, Command& command) {
  auto* types = app.add_subcommand("types", "List the job types that this farm knows");
  auto name = std::make_shared<std::string>();
  auto* show = types->add_subcommand("show", "Print a type's template, to read, copy and change");
  show->add_option("name", *name, "As `kiln types` lists it")->required()->type_name("NAME");
  types->callback([=, &command] {
    if (show->parsed())
      command = [=](Context& context) { return show_type(context, *name); };
    else
      command = [](Context& context) { return list_types(context); };
  });
}

// Each adds its subcommands; the parsed one leaves what is to be done in `command`.
void add_submit(CLI::App& app, Command& command) {
  auto options = std::make_shared<SubmitOptions>();
  auto* sub = app.add_subcommand("submit", "Send a scene and have it rendered, or a job of any type");
  auto* files =
      sub->add_option("files", options->files,
                      "The .blend file; with --type or --template, files and folders to bring along")
          ->type_name("FILE");
  sub->add_option("-f,--frames", options->frames,
                  "Frames, as in 1-24, 1,5,9 or 1-100x10 [the scene's own range]");
  sub->add_option("-n,--name", options->name, "Name of the job [the scene's file name]");
  sub->add_option("--priority", options->priority, "0 to 100, higher goes first")
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
  files->excludes(noop);
  add_type_options(*sub, *options);
  add_wish_options(*sub, *options);
  sub->callback([options, &command] {
    const bool has_type = !options->type.empty() || !options->job_template.empty();
    if (options->files.empty() && options->noop == 0 && !has_type)
      throw CLI::ValidationError("which scene? kiln submit SCENE.blend");
    if (!has_type && !options->parameters.empty()) {
      const bool is_priority =
          options->parameters.front().find_first_not_of("0123456789") == std::string::npos;
      throw CLI::ValidationError(is_priority ? "-p is a parameter now: write --priority " +
                                                   options->parameters.front()
                                             : "-p goes with --type or --template");
    }
    if (has_type && (options->film || options->autoexec || !options->format.empty()))
      throw CLI::ValidationError(
          "--film, --autoexec and --format are for plain scenes: a type has parameters (-p)");
    if (options->files.size() > 1 && !has_type)
      throw CLI::ValidationError("one scene is a job: more files go with --type or --template");
    command = [options](Context& context) { return submit(context, *options); };
  });
}

void add_jobs(CLI::App& app, Command& command) {
  auto filter = std::make_shared<Client::JobFilter>();
  auto* list = app.add_subcommand("jobs", "List jobs, the newest first");
  list->add_option("-s,--state", filter->state, "Only these")
      ->check(CLI::IsMember({"queued", "running", "paused", "done", "failed", "cancelled"}));
  list->add_option("--project", filter->project, "Only of this project")->type_name("P");
  list->add_option("--sequence", filter->sequence, "Only of this sequence")->type_name("S");
  list->add_option("--shot", filter->shot, "Only of this shot")->type_name("S");
  list->add_option("-l,--limit", filter->limit, "At most this many")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  list->callback([=, &command] { command = [=](Context& context) { return list_jobs(context, *filter); }; });

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
  one("why", "Say why a job's tasks wait", show_why);
  one("wait", "Wait until a job has ended", wait_job);
  one("cancel", "End a job; frames that are done stay", action(JobAction::cancel));
  one("pause", "Start no more of its tasks", action(JobAction::pause));
  one("resume", "Go on with a paused job", action(JobAction::resume));
  one("retry", "Render again what failed or was cancelled", action(JobAction::retry));
  auto accepted = std::make_shared<std::string>();
  auto* accept = app.add_subcommand("accept", "Say that frames held for a look are right");
  accept->add_option("what", *accepted, job_or_task)->required()->type_name("JOB|TASK");
  accept->callback(
      [=, &command] { command = [=](Context& context) { return judge(context, *accepted, Look::accept); }; });
  auto again = std::make_shared<RequeueOptions>();
  auto* requeued = app.add_subcommand("requeue", "Render again: held frames, one task, or many of a job");
  requeued->add_option("what", again->what, job_or_task)->required()->type_name("JOB|TASK");
  requeued->add_flag("--failed", again->only_failed, "All tasks of the job that failed");
  requeued->add_flag("--all", again->all, "All tasks of the job that have ended");
  requeued->add_option("-f,--frames", again->frames, "Only tasks that hold one of these, as in 1-10");
  requeued->add_option("--step", again->step, "Only of this step")->type_name("STEP");
  requeued->callback([=, &command] { command = [=](Context& context) { return requeue(context, *again); }; });
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
  sub->add_flag("--zip", options->zip, "All as one archive; DIR is its name then");
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

void add_steering(CLI::App& app, Command& command) {
  auto job = std::make_shared<std::string>();
  auto settings = std::make_shared<JobSettings>();
  auto* set = app.add_subcommand("set", "Change a job while it lives");
  set->add_option("job", *job, "Number or id")->required()->type_name("JOB");
  set->add_option("--priority", settings->priority, "0 to 100, higher goes first")
      ->check(CLI::Range(0, 100))
      ->type_name("N");
  set->add_option("--max-slots", settings->slot_limit, "Tasks at once; 0: no limit")->type_name("N");
  set->add_option("--max-nodes", settings->node_limit, "Nodes at once; 0: no limit")->type_name("N");
  set->add_option("--tag", settings->tags, "A node must have it; may stand several times; \"\": none")
      ->take_all()
      ->expected(1)
      ->type_name("TAG");
  set->add_option("--after", settings->after, "A job that must be done before; several times; \"\": none")
      ->take_all()
      ->expected(1)
      ->type_name("JOB");
  set->add_option("--start", settings->start, "Not before: now, +2h, 20:00 or \"2026-11-27 20:00\"")
      ->type_name("TIME");
  set->callback(
      [=, &command] { command = [=](Context& context) { return set_job(context, *job, *settings); }; });

  auto options = std::make_shared<FarmOptions>();
  auto* whole = app.add_subcommand("farm", "Show the farm, or change its settings");
  whole->add_option("--fair-share", options->fair_share, "Jobs of one priority take turns between users")
      ->check(CLI::IsMember({"on", "off"}));
  whole->add_option("--limit", options->limits, "How much there is of something, as in nuke=4; 0 removes it")
      ->take_all()
      ->expected(1)
      ->type_name("NAME=N");
  whole->callback([=, &command] { command = [=](Context& context) { return farm(context, *options); }; });

  auto project = std::make_shared<std::string>();
  auto sequence = std::make_shared<std::string>();
  auto* productions = app.add_subcommand("productions", "Totals of projects, their sequences and shots");
  productions->add_option("--project", *project, "The sequences of this one")->type_name("P");
  productions->add_option("--sequence", *sequence, "…the shots of this one")->type_name("S");
  productions->callback([=, &command] {
    command = [=](Context& context) { return list_productions(context, *project, *sequence); };
  });

  auto stats = std::make_shared<StatsOptions>();
  auto* times = app.add_subcommand("stats", "How long a job's tasks took; what the nodes did");
  auto* of = times->add_option("job", stats->job, "Number or id [the nodes]")->type_name("JOB");
  times->add_option("--step", stats->step, "Only of this step")->needs(of)->type_name("STEP");
  times->add_option("--hours", stats->hours, "So far back")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str()
      ->excludes(of);
  times->callback(
      [=, &command] { command = [=](Context& context) { return show_statistics(context, *stats); }; });
}

void add_trust(CLI::App& app, Command& command) {
  auto words = std::make_shared<std::pair<std::string, std::string>>();
  auto* trust = app.add_subcommand("trust", "Believe a controller over the network from now on");
  trust->add_option("server", words->first, "As in https://farm:8780")->required()->type_name("URL");
  trust->add_option("fingerprint", words->second,
                    "As the page shows it on the controller; without: only look");
  trust->callback([=, &command] {
    command = [=](Context& context) { return trust_server(context, words->first, words->second); };
  });
  app.add_subcommand("viewer", "User and password for watching the live MQTT tree")->callback([&command] {
    command = [](Context& context) { return show_viewer(context); };
  });
}

// `kiln node VERB NODE …`
void add_node(CLI::App& app, Command& command) {
  auto* node = app.add_subcommand("node", "Show or change one box");
  node->require_subcommand(1);
  auto id = std::make_shared<std::string>();
  const auto verb = [&](const char* name, const char* what, std::function<Result<Exit>(Context&)> act) {
    auto* sub = node->add_subcommand(name, what);
    sub->add_option("node", *id, "Id, as `kiln nodes` shows it")->required()->type_name("NODE");
    sub->callback([act = std::move(act), &command] { command = act; });
    return sub;
  };
  const auto action = [&](const char* name, const char* what, NodeAction act) {
    verb(name, what, [=](Context& context) { return act_on_node(context, *id, act); });
  };
  verb("show", "Show it with its settings", [=](Context& context) { return show_node(context, *id); });
  action("enable", "Let it take part", NodeAction::enable);
  action("disable", "Give it nothing, count it nowhere", NodeAction::disable);
  verb("drain", "Let it finish and take nothing new",
       [=](Context& context) { return drain_node(context, *id, true); });
  verb("resume", "Let it work again after a drain",
       [=](Context& context) { return drain_node(context, *id, false); });
  verb("forgive", "End its quarantine", [=](Context& context) { return forgive_node(context, *id); });
  action("wake", "Wake it over the network", NodeAction::wake);
  action("sleep", "Send it to sleep; refused while it has work", NodeAction::sleep);
  action("reboot", "Restart it as soon as it is idle", NodeAction::reboot);
  action("forget", "Remove one that is offline from the list", NodeAction::forget);
  const auto decide = [&](const char* name, const char* what, KeyAction act) {
    verb(name, what, [=](Context& context) { return decide_on_key(context, *id, act); });
  };
  decide("approve", "Let a box in that asks; compare its fingerprint first", KeyAction::approve);
  decide("reject", "Say no to a box that asks", KeyAction::reject);
  decide("revoke", "Shut one out at once; its work goes elsewhere", KeyAction::revoke);
  decide("rotate", "Give it a new secret; it renders on", KeyAction::rotate);
  node->add_subcommand("keys", "List the boxes that asked to join, with their fingerprints")
      ->callback([&command] { command = [](Context& context) { return list_keys(context); }; });
  auto token = std::make_shared<JoinTokenOptions>();
  auto* make = node->add_subcommand("token", "Make a token that lets boxes in without a person");
  make->add_option("--label", token->label, "What it is for");
  make->add_option("--uses", token->uses, "Boxes that it lets in [1]")
      ->check(CLI::Range(1, 10'000))
      ->type_name("N");
  make->add_option("--days", token->days, "Until it ends [7]")->check(CLI::Range(1, 3'650))->type_name("N");
  make->callback(
      [=, &command] { command = [=](Context& context) { return make_join_token(context, *token); }; });
  node->add_subcommand("tokens", "List the join tokens that are good")->callback([&command] {
    command = [](Context& context) { return list_join_tokens(context); };
  });
  auto* drop = node->add_subcommand("remove-token", "Make a join token void");
  drop->add_option("token", *id, "Id, as `kiln node tokens` shows it")->required()->type_name("TOKEN");
  drop->callback(
      [=, &command] { command = [=](Context& context) { return remove_join_token(context, *id); }; });
  auto prints = std::make_shared<std::vector<std::string>>();
  auto* expect = node->add_subcommand("expect", "Let boxes with these fingerprints in when they ask");
  expect->add_option("fingerprints", *prints, "As on the boxes' screens")
      ->required()
      ->type_name("FINGERPRINT");
  expect->callback(
      [=, &command] { command = [=](Context& context) { return expect_boxes(context, *prints); }; });
  auto tags = std::make_shared<std::vector<std::string>>();
  verb("tag", "Say what it is called; without a tag: nothing any more",
       [=](Context& context) { return tag_node(context, *id, *tags); })
      ->add_option("tags", *tags, "Tags that it has from now on, beside its own")
      ->type_name("TAG");
  auto words = std::make_shared<std::vector<std::string>>();
  verb("schedule", "When it may render, in the controller's local time",
       [=](Context& context) { return schedule_node(context, *id, *words); })
      ->add_option("hours", *words, "As in mon-fri 20:00-07:00 sat,sun; or always")
      ->required()
      ->type_name("HOURS");
  auto limits = std::make_shared<NodeLimits>();
  auto* limit = verb("limits", "How hot its GPUs may be, and when it sleeps",
                     [=](Context& context) { return limit_node(context, *id, *limits); });
  limit->add_option("--soft", limits->soft_c, "No new work above so many °C; farm: as everywhere")
      ->type_name("C");
  limit->add_option("--hard", limits->hard_c, "Its task goes elsewhere above; farm: as everywhere")
      ->type_name("C");
  limit->add_option("--sleep-after", limits->sleep_after_min, "Minutes without work; 0: never")
      ->check(CLI::Range(0, 10'080))
      ->type_name("MIN");
}

void add_login(CLI::App& app, Command& command) {
  auto options = std::make_shared<LoginOptions>();
  auto* in = app.add_subcommand("login", "Log in at the controller; keeps a token for this user here");
  auto* name = in->add_option("name", options->name, "Who you are there [asked for]")->type_name("NAME");
  in->add_option("--use", options->token, "Keep this token, made with `kiln token add` or on the page")
      ->excludes(name)
      ->type_name("TOKEN");
  in->add_option("--days", options->days, "How long it lasts")
      ->check(CLI::Range(1, 3650))
      ->capture_default_str();
  in->callback([=, &command] { command = [=](Context& context) { return log_in(context, *options); }; });
  app.add_subcommand("logout", "Remove the token, here and at the controller")->callback([&command] {
    command = log_out;
  });
  app.add_subcommand("whoami", "Say who the controller takes you for")->callback([&command] {
    command = who_am_i;
  });
}

const auto is_role = [] { return CLI::IsMember({"viewer", "artist", "operator", "administrator"}); };

void add_users(CLI::App& app, Command& command) {
  auto* user = app.add_subcommand("user", "Who may use the farm");
  user->require_subcommand(1);
  auto name = std::make_shared<std::string>();
  auto options = std::make_shared<UserOptions>();
  user->add_subcommand("list", "List them")->callback([&command] { command = list_users; });
  auto* add = user->add_subcommand("add", "Add one; asks for the password, or reads a line");
  add->add_option("name", *name, "1 to 32 of a-z, 0-9 and -")->required()->type_name("NAME");
  add->add_option("--role", options->role, "What the user may do")->required()->check(is_role());
  add->add_flag("--no-password", options->no_password, "Only tokens of the user will do");
  add->callback(
      [=, &command] { command = [=](Context& context) { return add_user(context, *name, *options); }; });
  auto* set = user->add_subcommand("set", "Change one");
  set->add_option("name", *name, "As `kiln user list` shows it")->required()->type_name("NAME");
  set->add_option("--role", options->role, "What the user may do from now on")->check(is_role());
  set->add_flag("--password", options->password, "Ask for a new password; anybody may change the own one");
  auto* enable = set->add_flag("--enable", options->enable, "Let the user in again");
  set->add_flag("--disable", options->disable, "Keep the name, but let it do nothing")->excludes(enable);
  set->callback(
      [=, &command] { command = [=](Context& context) { return set_user(context, *name, *options); }; });
  auto* remove = user->add_subcommand("remove", "Remove one with all tokens");
  remove->add_option("name", *name, "As `kiln user list` shows it")->required()->type_name("NAME");
  remove->callback(
      [=, &command] { command = [=](Context& context) { return remove_user(context, *name); }; });
}

void add_tokens(CLI::App& app, Command& command) {
  auto* token = app.add_subcommand("token", "Keys for scripts");
  token->require_subcommand(1);
  auto options = std::make_shared<TokenOptions>();
  auto* list = token->add_subcommand("list", "List yours; an administrator's are everybody's");
  list->add_option("--user", options->user, "Only of this user")->type_name("NAME");
  list->callback(
      [=, &command] { command = [=](Context& context) { return list_tokens(context, options->user); }; });
  auto* add = token->add_subcommand("add", "Make one; it is shown once");
  add->add_option("label", options->label, "What it is for")->required()->type_name("LABEL");
  add->add_option("--user", options->user, "Whose it is [yours]")->type_name("NAME");
  add->add_option("--role", options->role, "At most the user's [the user's]")->check(is_role());
  add->add_option("--days", options->days,
                  "How long it lasts; 0: for ever [a year; made by a token, no longer than that]")
      ->check(CLI::Range(0, 7300));
  add->callback([=, &command] { command = [=](Context& context) { return add_token(context, *options); }; });
  auto id = std::make_shared<std::string>();
  auto* remove = token->add_subcommand("remove", "Remove one: it is refused from then on");
  remove->add_option("id", *id, "As `kiln token list` shows it")->required()->type_name("ID");
  remove->callback([=, &command] { command = [=](Context& context) { return remove_token(context, *id); }; });

  auto wish = std::make_shared<AuditOptions>();
  auto* audit = app.add_subcommand("audit", "Who changed what, the newest first");
  audit->add_option("-l,--limit", wish->limit, "At most this many")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  audit->add_option("--user", wish->caller, "Only by this user, node, or local")->type_name("NAME");
  audit->callback([=, &command] { command = [=](Context& context) { return show_audit(context, *wish); }; });
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
  for (const auto* sub : app.get_subcommands()) {
    where += " " + sub->get_name();
    for (const auto* inner : sub->get_subcommands()) where += " " + inner->get_name();
  }
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
  app.add_option(
         "--token", globals.token,
         "Who asks [$KILN_TOKEN, else what `kiln login` kept]; other users of this machine see it here")
      ->type_name("TOKEN");
  app.add_flag("--json", globals.json, "One JSON document on stdout (watch: one a line)");
  add_submit(app, command);
  add_types(app, command);
  add_jobs(app, command);
  add_watching(app, command);
  add_nodes(app, command);
  add_forgiving(app, command);
  add_node(app, command);
  add_trust(app, command);
  add_steering(app, command);
  add_fetching(app, command);
  add_login(app, command);
  add_users(app, command);
  add_tokens(app, command);
  try {
    // CLI11 takes them from the back.
    app.parse(std::vector<std::string>(args.rbegin(), args.rend()));
  } catch (const CLI::CallForVersion& call) {
    out_terminal.line(call.what());
    return 0;
  } catch (const CLI::CallForHelp&) {
    const auto subs = app.get_subcommands();
    const auto inner = subs.empty() ? subs : subs.front()->get_subcommands();
    out_terminal.raw((!inner.empty() ? inner.front() : !subs.empty() ? subs.front() : &app)->help());
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
  const auto server = server_url(config->server);
  if (!globals.token.empty()) config->token = globals.token;
  if (config->token.empty()) {
    auto kept = kept_token(token_file(), server);
    if (!kept) return say_error(kept.error());
    config->token = std::move(*kept);
  }
  Context context{Client(server, user_name(login()), interrupted, config->token, config->ca_file),
                  out_terminal,
                  err_terminal,
                  globals.json,
                  config->blender,
                  cache_folder()};
  const auto exit = command(context);
  if (exit) return static_cast<int>(interrupted ? Exit::interrupted : *exit);
  context.err.end_status(false);
  const auto& problems = context.client.problems();
  const auto code = say_error(
      problems.size() > 1 ? Error{exit.error().code, fmt::format("{} things are wrong:", problems.size())}
                          : exit.error());
  if (problems.size() > 1) {
    for (const auto& problem : problems) context.err.line("  " + harmless(problem));
  }
  return code;
}

}  // namespace kiln::cli
