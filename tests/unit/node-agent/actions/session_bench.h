// A session with real processes, from a template's text.
#pragma once

#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <mutex>
#include <sstream>
#include <thread>

#include "actions/leftovers.h"
#include "actions/session.h"
#include "check.h"
#include "openjd/create_job.h"
#include "runtime/files.h"

namespace kiln::actions::test {

namespace fs = std::filesystem;

inline constexpr std::chrono::seconds patience{20};

// Asks until it is so; false after the patience.
inline bool becomes(const std::function<bool()>& so) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (!so()) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

inline std::string slurp(const fs::path& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

inline bool is_alive(pid_t pid) {
  const auto stat = runtime::read_file(fmt::format("/proc/{}/stat", pid), 4096);
  return stat && stat->find(") Z ") == std::string::npos;
}

class Bench {
 public:
  // `template_text` is a job template without its first line; YAML.
  explicit Bench(const std::string& template_text, openjd::ParameterInput parameters = {},
                 std::vector<PathRule> rules = {}) {
    auto pattern = (fs::temp_directory_path() / "kiln-actions-XXXXXX").native();
    check(::mkdtemp(pattern.data()) != nullptr);
    root = pattern;
    const auto parsed = openjd::parse_template("specificationVersion: jobtemplate-2023-09\n" + template_text,
                                               openjd::Syntax::yaml);
    report(parsed);
    openjd::Submission submission;
    submission.job = &std::get<openjd::JobTemplate>(*parsed);
    submission.parameters = std::move(parameters);
    auto created = openjd::create_job(submission);
    report(created);
    job = std::move(*created);
    Session::Config config;
    config.root = root;
    config.parameters = job.parameters;
    auto mapping = PathMapping::create(std::move(rules));
    check_ok(mapping);
    config.path_mapping = std::move(*mapping);
    config.environment = {{"FROM_SLOT", "7"}, {"OUT", (root / "out").native()}};
    config.on_line = [this](const LogLine& line) {
      const std::lock_guard lock(mutex_);
      (line.from == LogLine::From::action ? output_ : notes_) += line.text + "\n";
    };
    config.on_progress = [this](double percent) { progress.push_back(percent); };
    config.on_status = [this](const std::string& text) { statuses.push_back(text); };
    auto opened = Session::open(std::move(config));
    check_ok(opened);
    session = std::move(*opened);
  }
  ~Bench() {
    session.reset();
    fs::remove_all(root);
  }

  // Enters the job's and the first step's environments; the last result.
  ActionResult enter() {
    ActionResult result;
    for (const auto* list : {&job.environments, &job.steps[0].environments}) {
      for (const auto& one : *list) result = session->enter(one, job.extensions);
    }
    return result;
  }
  ActionResult run(std::uint64_t task = 0, std::size_t step = 0) {
    return session->run(job.steps[step].script, job.extensions, job.steps[step].space.at(task));
  }

  std::string output() {
    const std::lock_guard lock(mutex_);
    return output_;
  }
  std::string notes() {
    const std::lock_guard lock(mutex_);
    return notes_;
  }
  // Waits until the output has the text.
  void await(std::string_view text) {
    if (becomes([&] { return output().find(text) != std::string::npos; })) return;
    print_error("the output is\n%s%s", output().c_str(), notes().c_str());
    check_contains(output(), text);
  }
  // The number behind "<name>=" in the output.
  pid_t pid_of(const std::string& name) {
    const auto text = output();
    const auto at = text.find(name + "=");
    check(at != std::string::npos);
    return std::atoi(text.c_str() + at + name.size() + 1);
  }

  fs::path root;
  openjd::Job job;
  std::unique_ptr<Session> session;
  std::vector<double> progress;
  std::vector<std::string> statuses;

 private:
  template <class T>
  static void report(const openjd::Checked<T>& checked) {
    if (!checked) {
      for (const auto& one : checked.error().list()) print_error("%s\n", one.to_text().c_str());
    }
    check(checked.has_value());
  }

  std::mutex mutex_;
  std::string output_;
  std::string notes_;
};

inline void check_success(const ActionResult& result) {
  if (!result.ok()) print_error("%s\n", result.message.c_str());
  check(result.ok());
}

inline void check_ending(const ActionResult& result, Ending ending, std::string_view message) {
  if (result.ending != ending) print_error("%s\n", result.message.c_str());
  check(result.ending == ending);
  check_contains(result.message, message);
}

}  // namespace kiln::actions::test
