// A runner whose tasks are those of job templates: documents, files and inputs come from memory.
#pragma once

#include "session/runner.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <mutex>
#include <optional>

#include "payloads/http_bodies.h"
#include "runtime/sha256.h"

#include "check.h"

namespace kiln::session::test {

namespace fs = std::filesystem;

inline constexpr std::chrono::seconds patience{90};

inline std::string slurp(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}
inline void write(const fs::path& path, const std::string& bytes) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << bytes;
}

class TemplateBench {
 public:
  explicit TemplateBench(const std::function<void(Config&)>& change = {}) {
    auto pattern = (fs::temp_directory_path() / "kiln-template-XXXXXX").native();
    check(::mkdtemp(pattern.data()) != nullptr);
    root = pattern;
    fs::create_directories(root / "files");
    Config config;
    config.scratch = root / "scratch";
    config.threads_per_slot = 2;
    config.fetch = [this](const std::string& manifest, const std::function<bool()>&) -> Result<JobTree> {
      if (manifest == "sha256:gone") return kiln::fail(Code::not_found, "no such manifest");
      return JobTree{root / "files", mappings, {}};
    };
    config.fetch_blob = [this](const std::string& digest,
                               const std::function<bool()>&) -> Result<std::string> {
      const auto found = documents.find(digest);
      if (found == documents.end()) return kiln::fail(Code::not_found, "no such blob");
      return found->second;
    };
    config.fetch_inputs = [this](const TaskId& task, const std::function<bool()>&) -> Result<InputTree> {
      asked_for.push_back(task);
      return inputs;
    };
    config.on_progress = [this](const Progress& one) {
      const std::lock_guard lock(mutex_);
      progress_.push_back(one);
      changed_.notify_all();
    };
    config.on_outcome = [this](Outcome one) {
      const std::lock_guard lock(mutex_);
      outcomes_.push_back(std::move(one));
      changed_.notify_all();
    };
    if (change) change(config);
    runner.emplace(std::move(config));
  }
  ~TemplateBench() {
    runner.reset();
    std::error_code ignored;
    fs::remove_all(root, ignored);
  }
  TemplateBench(const TemplateBench&) = delete;

  // `text` is a job template without its first line; YAML.
  std::string document(const std::string& text, std::map<std::string, std::string> parameters = {}) {
    payloads::JobDocument document;
    document.job_template.text = "specificationVersion: jobtemplate-2023-09\n" + text;
    document.parameters = std::move(parameters);
    return add(payloads::encode(document));
  }
  std::string add(std::string bytes) {
    auto digest = runtime::digest_of(bytes);
    documents[digest] = std::move(bytes);
    return digest;
  }
  static payloads::RunTask task(const std::string& document, std::uint32_t step = 0, std::uint64_t first = 0,
                                std::uint32_t count = 1) {
    static std::uint32_t number = 0;
    payloads::RunTask run;
    run.task = *TaskId::parse("7-abcde-" + std::to_string(++number));
    run.attempt = 1;
    run.renderer = "openjd";
    run.of_template = {document, step, first, count, false};
    return run;
  }
  void lay(const std::string& path, const std::string& bytes) {
    write(root / "inputs" / path, bytes);
    inputs.tree.root = root / "inputs";
    inputs.manifest.files.push_back({path, runtime::digest_of(bytes), bytes.size()});
  }

  Outcome run(const payloads::RunTask& task) {
    runner->start(task, 0);
    return wait();
  }
  Outcome wait() {
    std::unique_lock lock(mutex_);
    check(changed_.wait_for(lock, patience, [&] { return !outcomes_.empty(); }));
    auto one = std::move(outcomes_.front());
    outcomes_.pop_front();
    return one;
  }
  // Until a progress of that task is so.
  Progress await(const payloads::RunTask& task, const std::function<bool(const Progress&)>& is_it) {
    std::unique_lock lock(mutex_);
    const auto found = [&] {
      return std::find_if(progress_.begin(), progress_.end(),
                          [&](const Progress& one) { return one.task == task.task && is_it(one); });
    };
    check(changed_.wait_for(lock, patience, [&] { return found() != progress_.end(); }));
    return *found();
  }
  // Until the file is there.
  std::string await_file(const std::string& name) const {
    const auto until = std::chrono::steady_clock::now() + patience;
    while (!fs::exists(root / name)) {
      check(std::chrono::steady_clock::now() < until);
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return slurp(root / name);
  }

  fs::path root;
  std::map<std::string, std::string> documents;
  std::vector<payloads::PathMapping> mappings;
  InputTree inputs;
  std::vector<TaskId> asked_for;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Outcome> outcomes_;
  std::vector<Progress> progress_;

 public:
  std::optional<Runner> runner;  // its threads use what is above
};

inline void check_succeeded(const Outcome& outcome) {
  if (!outcome.report.ok)
    print_error("%s: %s\n%s\n", outcome.report.failure.code.c_str(), outcome.report.failure.message.c_str(),
                outcome.log.c_str());
  check(outcome.report.ok);
  for (const auto& file : outcome.report.files) {
    check_equal(file.size, fs::file_size(outcome.folder / file.path));
    check_equal(file.digest, *kiln::runtime::digest_of_file(outcome.folder / file.path));
  }
}
inline void check_failed(const Outcome& outcome, const std::string& code, payloads::FailureScope scope,
                         const std::string& message) {
  check(!outcome.cancelled);
  check(!outcome.report.ok);
  if (outcome.report.failure.code != code)
    print_error("%s\n%s\n", outcome.report.failure.message.c_str(), outcome.log.c_str());
  check_equal(outcome.report.failure.code, code);
  check(outcome.report.failure.scope == scope);
  check_contains(outcome.report.failure.message, message);
  check(outcome.report.files.empty());
  check(outcome.folder.empty());
}
inline std::vector<std::string> paths_of(const Outcome& outcome) {
  std::vector<std::string> paths;
  for (const auto& file : outcome.report.files) paths.push_back(file.path);
  return paths;
}

}  // namespace kiln::session::test
