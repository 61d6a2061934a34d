#include "openjd/run.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/signalfd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <thread>

#include "actions/session.h"
#include "openjd/create_job.h"
#include "runtime/clock.h"
#include "runtime/event_fd.h"
#include "runtime/files.h"

namespace kiln::openjd {

namespace fs = std::filesystem;

namespace {

constexpr int exit_failed = 1;
constexpr int exit_interrupted = 130;
constexpr std::string_view file_scheme = "file://";

// ---- what is asked for

Result<Value> read_document(const fs::path& file) {
  const DocumentLimits limits;
  const auto text = runtime::read_file(file, limits.bytes);
  if (!text) return fail(text.error());
  auto value = parse_document(*text, syntax_of(file.string()), limits);
  if (!value) return fail(std::move(value.error()).with(file.string()));
  return value;
}

struct Assignment {
  std::string name;
  std::string value;
};

Result<Assignment> parse_assignment(const std::string& text, std::string_view option) {
  const auto equals = text.find('=');
  if (equals == text.npos || equals == 0)
    return fail(Code::invalid, fmt::format("{} {}: must be NAME=VALUE", option, text));
  return Assignment{text.substr(0, equals), text.substr(equals + 1)};
}

Status add_parameters(const std::string& text, ParameterInput& out) {
  const bool is_file = text.starts_with(file_scheme);
  if (!is_file && !text.starts_with('{')) {
    auto one = parse_assignment(text, "-p");
    if (!one) return fail(std::move(one.error()));
    out[one->name] = Value::of(std::move(one->value));
    return {};
  }
  const auto read =
      is_file ? read_document(text.substr(file_scheme.size())) : parse_document(text, Syntax::json);
  if (!read) return fail(Error(read.error()).with("-p"));
  if (read->kind != Value::Kind::map) {
    return fail(Code::invalid, fmt::format("-p {}: must hold an object of parameter values, not {}", text,
                                           describe(read->kind)));
  }
  for (std::size_t i = 0; i < read->keys.size(); ++i) out[read->keys[i]] = read->items[i];
  return {};
}

Result<actions::PathMapping> read_path_mapping(const std::string& text) {
  if (text.empty()) return actions::PathMapping();
  constexpr std::size_t max_bytes = 4UL * 1024 * 1024;
  const bool is_file = text.starts_with(file_scheme);
  const auto json =
      is_file ? runtime::read_file(text.substr(file_scheme.size()), max_bytes) : Result<std::string>(text);
  if (!json) return fail(Error(json.error()).with("--path-mapping-rules"));
  return actions::PathMapping::parse(*json);
}

void print(std::FILE* err, std::string_view where, const Problems& problems) {
  for (const auto& problem : problems.list()) fmt::print(err, "{}: {}\n", where, problem.to_text());
  if (const auto more = problems.left_out(); more > 0)
    fmt::print(err, "{}: {} more are not listed\n", where, more);
}

// Everything that a run needs, read and checked.
class Input {
 public:
  // Prints what is wrong.
  static std::optional<Input> read(const RunOptions& options, std::FILE* err) {
    Input out;
    if (const auto status = out.read_all(options, err); !status) {
      fmt::print(err, "openjd: {}\n", status.error().message);
      return std::nullopt;
    }
    if (!out.is_valid_) return std::nullopt;
    return out;
  }

  Job job;
  std::vector<Extensions> extensions;  // of each of job.environments
  actions::PathMapping path_mapping;
  std::vector<std::size_t> steps;  // to be run, in this order
  std::vector<Assignment> task_values;

 private:
  Status read_all(const RunOptions& options, std::FILE* err) {
    ParameterInput parameters;
    for (const auto& text : options.parameters) {
      if (auto added = add_parameters(text, parameters); !added) return added;
    }
    auto mapping = read_path_mapping(options.path_mapping_rules);
    if (!mapping) return fail(std::move(mapping.error()));
    path_mapping = std::move(*mapping);

    const auto definition = read_template<JobTemplate>(options.file, "a job template", err);
    std::vector<EnvironmentTemplate> environments;
    for (const auto& file : options.environments) {
      auto environment = read_template<EnvironmentTemplate>(file, "an environment template", err);
      if (environment) environments.push_back(std::move(*environment));
    }
    if (!definition || environments.size() != options.environments.size()) {
      is_valid_ = false;
      return {};
    }
    if (auto created = create(options, *definition, environments, parameters, err); !created || !is_valid_)
      return created;
    return choose_steps(options);
  }

  template <class T>
  static std::optional<T> read_template(const fs::path& file, std::string_view what, std::FILE* err) {
    const DocumentLimits limits;
    const auto text = runtime::read_file(file, limits.bytes);
    if (!text) {
      fmt::print(err, "openjd: {}\n", text.error().message);
      return std::nullopt;
    }
    auto parsed = parse_template(*text, syntax_of(file.string()), limits);
    if (!parsed) {
      print(err, file.native(), parsed.error());
      return std::nullopt;
    }
    if (!std::holds_alternative<T>(*parsed)) {
      fmt::print(err, "{}: is not {}\n", file.native(), what);
      return std::nullopt;
    }
    return std::get<T>(std::move(*parsed));
  }

  Status create(const RunOptions& options, const JobTemplate& definition,
                const std::vector<EnvironmentTemplate>& environments, ParameterInput& parameters,
                std::FILE* err) {
    std::error_code error;
    const auto file = fs::absolute(options.file, error);
    const auto here = error ? fs::path() : fs::current_path(error);
    if (error) return fail(runtime::os_error(error.value(), "finding the current folder"));
    Submission submission;
    submission.job = &definition;
    for (const auto& environment : environments) {
      submission.environments.push_back(&environment);
      extensions.push_back(environment.extensions);
    }
    submission.parameters = std::move(parameters);
    submission.base = {file.parent_path().native(), here.native()};
    auto created = create_job(submission);
    if (created) {
      job = std::move(*created);
      extensions.resize(job.environments.size(), job.extensions);
    } else {
      print(err, options.file.native(), created.error());
      is_valid_ = false;
    }
    return {};
  }

  void add_step(std::size_t index, bool with_dependencies) {
    if (std::find(steps.begin(), steps.end(), index) != steps.end()) return;
    if (with_dependencies) {
      for (const auto one : job.steps[index].dependencies) add_step(one, true);
    }
    steps.push_back(index);
  }

  Status choose_steps(const RunOptions& options) {
    if (options.step.empty()) {
      if (!options.task_parameters.empty())
        return fail(Code::invalid, "--task-param needs --step: the step whose tasks are meant");
      for (std::size_t i = 0; i < job.steps.size(); ++i) add_step(i, true);
      return {};
    }
    const auto found = std::find_if(job.steps.begin(), job.steps.end(),
                                    [&](const Step& step) { return step.name == options.step; });
    if (found == job.steps.end()) {
      std::vector<std::string_view> names;
      for (const auto& step : job.steps) names.push_back(step.name);
      return fail(Code::not_found, fmt::format("--step {}: the job has no such step; it has {}", options.step,
                                               listed(names, "and")));
    }
    add_step(static_cast<std::size_t>(found - job.steps.begin()), options.with_dependencies);
    const auto known = found->space.at(0);
    for (const auto& text : options.task_parameters) {
      auto one = parse_assignment(text, "--task-param");
      if (!one) return fail(std::move(one.error()));
      if (std::none_of(known.begin(), known.end(),
                       [&](const auto& value) { return value.name == one->name; })) {
        return fail(Code::not_found, fmt::format("--task-param {}: the step '{}' has no such task parameter",
                                                 one->name, options.step));
      }
      task_values.push_back(std::move(*one));
    }
    return {};
  }

  bool is_valid_ = true;
};

// ---- Ctrl-C

// A thread that turns signals into wishes to cancel.
class Interrupts {
 public:
  explicit Interrupts(actions::Session& session) {
    sigset_t signals;
    ::sigemptyset(&signals);
    ::sigaddset(&signals, SIGINT);
    ::sigaddset(&signals, SIGTERM);
    ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    fd_.reset(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
    thread_ = std::thread([this, &session] { listen(session); });
  }
  ~Interrupts() {
    stop_.set();
    thread_.join();
  }
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;

 private:
  void listen(actions::Session& session) {
    for (bool is_first = true;;) {
      std::array<pollfd, 2> fds{{{fd_.get(), POLLIN, 0}, {stop_.fd(), POLLIN, 0}}};
      if (::poll(fds.data(), fds.size(), -1) < 0) continue;
      if (fds[1].revents != 0) return;
      signalfd_siginfo info{};
      if (::read(fd_.get(), &info, sizeof info) != sizeof info) continue;
      session.cancel(is_first ? actions::Cancel::as_the_action_says : 0);
      is_first = false;
    }
  }

  runtime::Fd fd_;
  runtime::EventFd stop_;
  std::thread thread_;
};

// ---- the run

class Run {
 public:
  Run(const Input& input, actions::Session& session, const std::function<void(std::string_view)>& say)
      : input_(input), session_(session), say_(say) {}

  actions::ActionResult run() {
    auto result = run_all();
    auto left = session_.leave_all();
    return result.ok() ? left : result;
  }
  [[nodiscard]] std::uint64_t tasks() const { return tasks_; }

 private:
  actions::ActionResult run_all() {
    const auto& environments = input_.job.environments;
    for (std::size_t i = 0; i < environments.size(); ++i) {
      auto result = session_.enter(environments[i], input_.extensions[i]);
      if (!result.ok()) return result;
    }
    for (const auto index : input_.steps) {
      // The values chosen are of the last one; those before it are what it depends on.
      auto result = run_step(input_.job.steps[index], index == input_.steps.back());
      if (!result.ok()) return result;
    }
    return {};
  }

  actions::ActionResult run_step(const Step& step, bool is_chosen) {
    say_(fmt::format("Step: {}", step.name));
    const auto depth = session_.depth();
    for (const auto& environment : step.environments) {
      auto result = session_.enter(environment, input_.job.extensions);
      if (!result.ok()) return result;
    }
    auto result = run_tasks(step, is_chosen);
    if (!result.ok()) return result;
    return session_.leave_all(depth);
  }

  actions::ActionResult run_tasks(const Step& step, bool is_chosen) {
    const auto before = tasks_;
    for (std::uint64_t i = 0; i < step.space.size(); ++i) {
      const auto values = step.space.at(i);
      if (is_chosen && !is_wanted(values)) continue;
      std::string text;
      for (const auto& one : values)
        text += fmt::format("{}{}={}", text.empty() ? "" : ", ", one.name, one.value);
      say_(text.empty() ? "Task" : fmt::format("Task: {}", text));
      auto result = session_.run(step.script, input_.job.extensions, values);
      if (!result.ok()) return result;
      ++tasks_;
    }
    if (tasks_ > before) return {};
    return {actions::Ending::failed,
            fmt::format("the step '{}' has no task with these --task-param", step.name),
            {},
            0};
  }

  [[nodiscard]] bool is_wanted(const std::vector<TaskParameterValue>& values) const {
    return std::all_of(input_.task_values.begin(), input_.task_values.end(), [&](const Assignment& wanted) {
      return std::any_of(values.begin(), values.end(), [&](const TaskParameterValue& value) {
        return value.name == wanted.name && value.value == wanted.value;
      });
    });
  }

  const Input& input_;
  actions::Session& session_;
  const std::function<void(std::string_view)>& say_;
  std::uint64_t tasks_ = 0;
};

// "0:00:01.234"
std::string clock_text(std::int64_t elapsed_ms) {
  const auto seconds = elapsed_ms / 1000;
  return fmt::format("{}:{:02}:{:02}.{:03}", seconds / 3600, seconds / 60 % 60, seconds % 60,
                     elapsed_ms % 1000);
}

}  // namespace

int run_file(const RunOptions& options, std::FILE* out, std::FILE* err) {
  const auto input = Input::read(options, err);
  if (!input) return exit_failed;

  const auto begin_ms = runtime::now().mono_ms;
  const auto print_line = [&](std::string_view mark, std::string_view text) {
    fmt::print(out, "{}  {}{}\n", clock_text(runtime::now().mono_ms - begin_ms), mark, text);
    std::fflush(out);
  };
  const std::function<void(std::string_view)> say = [&](std::string_view text) { print_line("* ", text); };
  actions::Session::Config config;
  config.root = fs::temp_directory_path();
  config.parameters = input->job.parameters;
  config.path_mapping = input->path_mapping;
  config.keeps_folder = options.keeps_folder;
  config.on_line = [&](const actions::LogLine& line) {
    print_line(line.from == actions::LogLine::From::session ? "* " : "", line.text);
  };
  auto session = actions::Session::open(std::move(config));
  if (!session) {
    fmt::print(err, "openjd: {}\n", session.error().message);
    return exit_failed;
  }
  const Interrupts interrupts(**session);
  say(fmt::format("Job: {}", input->job.name));
  if (options.keeps_folder) say(fmt::format("Session folder: {}", (*session)->folder().native()));
  Run run(*input, **session, say);
  const auto result = run.run();
  if (result.ok()) {
    say(fmt::format("Succeeded: {} tasks in {} steps", run.tasks(), input->steps.size()));
    return 0;
  }
  say(fmt::format("{}: {}", result.ending == actions::Ending::cancelled ? "Cancelled" : "Failed",
                  result.message));
  return result.ending == actions::Ending::cancelled ? exit_interrupted : exit_failed;
}

}  // namespace kiln::openjd
