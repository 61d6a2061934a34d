// The rest of the controller, in memory: what the API's tests run against. For tests only.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "accounts/secrets.h"
#include "api/api.h"
#include "controller/http/wire.h"
#include "http/server.h"
#include "store/accounts.h"

namespace kiln::test {

using namespace kiln::api;
namespace sch = kiln::scheduler;

inline JobId job_id(std::string_view text) {
  return *JobId::parse(text);
}
inline NodeId node_id(std::string_view text) {
  return *NodeId::parse(text);
}
inline std::string digest_of_letter(char letter) {
  return "sha256:" + std::string(64, letter);
}

inline http::File file_with(const std::string& bytes) {
  http::Fd fd(::memfd_create("test", MFD_CLOEXEC));
  [[maybe_unused]] const ssize_t written = ::write(fd.get(), bytes.data(), bytes.size());
  return {std::move(fd), bytes.size()};
}

inline sch::JobRow job_row(std::string_view id, std::uint64_t number, std::string_view frames = "1-24") {
  sch::JobRow row;
  row.id = job_id(id);
  row.number = number;
  row.spec.name = "shot";
  row.spec.renderer = "blender";
  row.spec.frames = *payloads::FrameSet::parse(frames);
  row.spec.manifest = digest_of_letter('a');
  row.spec.options.scene_file = "shot.blend";
  row.user = "ada";
  row.counts.queued = row.spec.task_count();
  row.created_ms = 1'000;
  return row;
}

inline sch::NodeRow node_row(std::string_view id, std::string_view blender) {
  sch::NodeRow row;
  row.info.agent_version = "0.1.0";
  row.id = node_id(id);
  row.info.name = std::string(id);
  row.info.slots = 1;
  row.presence = sch::NodePresence::online;
  if (!blender.empty()) row.info.renderers = {{"blender", std::string(blender)}};
  return row;
}

struct FakeReader final : Reader {
  std::vector<sch::JobRow> job_rows;
  std::map<TaskId, sch::TaskRow> task_rows;
  std::vector<sch::AttemptRow> attempt_rows;
  std::vector<sch::ResultRow> result_rows;
  std::vector<sch::NodeRow> node_rows;
  std::vector<sch::ProductionRow> production_rows;
  std::vector<sch::UsageRow> usage_rows;
  sch::JobTimes times;
  sch::FarmSettings farm_settings;
  bool is_broken = false;

  Result<std::vector<sch::JobRow>> jobs(const JobQuery& query) override {
    if (is_broken) return fail(Code::io, "the database cannot be read");
    std::vector<sch::JobRow> out;
    for (auto row = job_rows.rbegin(); row != job_rows.rend() && out.size() < query.limit; ++row) {
      if (query.state && sch::shown_state(*row) != *query.state) continue;
      if (query.user && row->user != *query.user) continue;
      const auto& production = row->spec.production;
      if (query.project && production.project != *query.project) continue;
      if (query.sequence && production.sequence != *query.sequence) continue;
      if (query.shot && production.shot != *query.shot) continue;
      if (query.before != 0 && row->number >= query.before) continue;
      out.push_back(*row);
    }
    return out;
  }
  Result<sch::JobRow> job(const std::string& id) override {
    for (const auto& row : job_rows) {
      if (row.id.str() == id || std::to_string(row.number) == id) return row;
    }
    return fail(Code::not_found, "no job " + id);
  }
  Result<std::vector<sch::TaskRow>> tasks(const sch::JobRow& job, const TaskQuery& query) override {
    std::vector<sch::TaskRow> out;
    for (std::uint32_t i = query.from; i < job.spec.task_count() && out.size() < query.limit; ++i) {
      sch::TaskRow row;
      row.id = {job.id, i};
      if (const auto found = task_rows.find(row.id); found != task_rows.end()) row = found->second;
      if (query.step && job.spec.place_of(i).step != *query.step) continue;
      if (query.held && row.review != sch::Review::held) continue;
      if (!query.state || row.state == *query.state) out.push_back(row);
    }
    return out;
  }
  Result<std::vector<sch::AttemptRow>> attempts(const TaskId& task) override {
    std::vector<sch::AttemptRow> out;
    for (const auto& row : attempt_rows) {
      if (row.task == task) out.push_back(row);
    }
    return out;
  }
  Result<std::vector<sch::ResultRow>> results(const ResultQuery& query) override {
    std::vector<sch::ResultRow> out;
    for (const auto& row : result_rows) {
      if (query.job && row.task.job != *query.job) continue;
      if (query.job && (row.task.index < query.from_task || row.task.index >= query.to_task)) continue;
      out.push_back(row);
    }
    out.erase(out.begin(), out.begin() + std::min<std::ptrdiff_t>(query.from, std::ssize(out)));
    return out;
  }
  // These answer what the test put there, of the level, node or hours that were asked for.
  Result<std::vector<sch::ProductionRow>> productions(const ProductionQuery& query) override {
    std::vector<sch::ProductionRow> out;
    for (const auto& row : production_rows) {
      const auto& of = row.production;
      if (query.project.has_value() != !of.sequence.empty()) continue;
      if ((query.project && query.sequence) != !of.shot.empty()) continue;
      if (query.project && of.project != *query.project) continue;
      if (query.sequence && of.sequence != *query.sequence) continue;
      out.push_back(row);
    }
    return out;
  }
  Result<sch::JobTimes> frame_times(const sch::JobRow&, const std::optional<std::uint32_t>&) override {
    return times;
  }
  Result<std::vector<sch::UsageRow>> usage(const UsageQuery& query) override {
    std::vector<sch::UsageRow> out;
    for (const auto& row : usage_rows) {
      if (row.node != query.node.value_or(NodeId())) continue;
      if (row.hour_ms >= query.from_ms && row.hour_ms < query.to_ms) out.push_back(row);
    }
    return out;
  }
  Result<sch::FarmSettings> settings() override { return farm_settings; }
  Result<std::vector<sch::NodeRow>> nodes() override {
    if (is_broken) return fail(Code::io, "the database cannot be read");
    return node_rows;
  }
  Result<sch::NodeRow> node(const NodeId& id) override {
    for (const auto& row : node_rows) {
      if (row.id == id) return row;
    }
    return fail(Code::not_found, "no node " + id.str());
  }
};

// Answers each question as the scheduler would in the simplest case, and remembers it.
struct FakeFarm final : Farm {
  explicit FakeFarm(FakeReader& reader) : rows(reader) {}
  FakeReader& rows;
  std::vector<sch::Event> asked;
  std::optional<Error> refusal;
  payloads::Verdict verdict = payloads::Verdict::accepted;
  std::vector<sch::Reason> reasons;

  Result<sch::AnswerValue> ask(const MakeEvent& make) override {
    asked.push_back(make(asked.size() + 1));
    if (refusal) return fail(*refusal);
    const sch::Event& event = asked.back();
    if (const auto* submit = std::get_if<sch::SubmitJob>(&event)) {
      for (const auto& row : rows.job_rows) {
        if (!submit->cid.empty() && row.cid == submit->cid && row.user == submit->user) {
          return sch::AnswerValue(sch::JobAccepted{row.id, true});
        }
      }
      const std::uint64_t number = rows.job_rows.size() + 1;
      sch::JobRow row;
      row.id = make_job_id(number, submit->random);
      row.number = number;
      row.spec = submit->spec;
      row.priority = submit->priority;
      row.user = submit->user;
      row.cid = submit->cid;
      row.counts.queued = row.spec.task_count();
      rows.job_rows.push_back(row);
      return sch::AnswerValue(sch::JobAccepted{row.id, false});
    }
    if (const auto* edit = std::get_if<sch::EditJob>(&event)) {
      sch::JobRow& row = find(edit->job);
      if (edit->priority) row.priority = *edit->priority;
      if (edit->paused) row.state = *edit->paused ? sch::JobState::paused : sch::JobState::active;
      if (edit->slot_limit) row.wishes.slot_limit = *edit->slot_limit;
      if (edit->node_limit) row.wishes.node_limit = *edit->node_limit;
      if (edit->tags) row.wishes.tags = *edit->tags;
      if (edit->after) row.wishes.after = *edit->after;
      if (edit->start_ms) row.wishes.start_ms = *edit->start_ms;
    } else if (const auto* cancel = std::get_if<sch::CancelJob>(&event)) {
      find(cancel->job).state = sch::JobState::cancelled;
    } else if (const auto* retry = std::get_if<sch::RetryJob>(&event)) {
      find(retry->job).state = sch::JobState::active;
    } else if (const auto* erased = std::get_if<sch::DeleteJob>(&event)) {
      std::erase_if(rows.job_rows, [&](const sch::JobRow& row) { return row.id == erased->job; });
    } else if (const auto* drain = std::get_if<sch::DrainNode>(&event)) {
      for (auto& row : rows.node_rows) {
        if (row.id == drain->node) row.drained = drain->drained;
      }
    } else if (const auto* forgiven = std::get_if<sch::ForgiveNode>(&event)) {
      for (auto& row : rows.node_rows) {
        if (row.id == forgiven->node) row.quarantine.clear();
      }
    } else if (const auto* accepted = std::get_if<sch::AcceptTask>(&event)) {
      rows.task_rows[accepted->task].review = sch::Review::accepted;
    } else if (const auto* again = std::get_if<sch::RequeueTask>(&event)) {
      rows.task_rows[again->task].state = sch::TaskState::queued;
    } else if (std::holds_alternative<sch::RequeueTasks>(event)) {
      return sch::AnswerValue(sch::Requeued{3});
    } else if (std::holds_alternative<sch::ExplainJob>(event)) {
      return sch::AnswerValue(sch::Explanation{reasons});
    } else if (const auto* settings = std::get_if<sch::EditNode>(&event)) {
      for (auto& row : rows.node_rows) {
        if (row.id != settings->node) continue;
        if (settings->enabled) row.settings.enabled = *settings->enabled;
        if (settings->tags) row.settings.tags = *settings->tags;
        if (settings->schedule) row.settings.schedule = *settings->schedule;
        if (settings->soft_c) row.settings.soft_c = *settings->soft_c;
        if (settings->hard_c) row.settings.hard_c = *settings->hard_c;
        if (settings->sleep_after_s) row.settings.sleep_after_s = *settings->sleep_after_s;
        if (settings->reboot) row.settings.reboot = *settings->reboot;
      }
    } else if (const auto* power = std::get_if<sch::PowerNode>(&event)) {
      for (auto& row : rows.node_rows) {
        if (row.id == power->node) row.asleep = !power->wake;
      }
    } else if (const auto* forgotten = std::get_if<sch::ForgetNode>(&event)) {
      std::erase_if(rows.node_rows, [&](const sch::NodeRow& row) { return row.id == forgotten->node; });
    } else if (const auto* farm = std::get_if<sch::EditFarm>(&event)) {
      if (farm->fair_share) rows.farm_settings.fair_share = *farm->fair_share;
      for (const auto& [name, count] : farm->limits) {
        rows.farm_settings.limits[name] = count;
        if (count == 0) rows.farm_settings.limits.erase(name);
      }
    } else if (std::holds_alternative<sch::FinishAttempt>(event)) {
      return sch::AnswerValue(sch::Committed{verdict});
    }
    return sch::AnswerValue(sch::Done{});
  }
  sch::JobRow& find(const JobId& id) {
    for (auto& row : rows.job_rows) {
      if (row.id == id) return row;
    }
    KILN_ASSERT(!"the API asked for a job that it did not find");
    return rows.job_rows.front();
  }
};

struct FakeLive final : Live {
  std::map<NodeId, LiveNode> nodes;
  std::vector<TelemetryPoint> points;
  payloads::ControllerSummary numbers;

  LiveNode node(const NodeId& id) override {
    const auto found = nodes.find(id);
    return found == nodes.end() ? LiveNode() : found->second;
  }
  std::vector<TelemetryPoint> history(const NodeId&, int gpu, std::size_t limit) override {
    auto out = points;
    if (gpu >= 0) out.push_back({gpu, 70.0, std::nullopt});
    if (out.size() > limit) out.erase(out.begin(), out.end() - static_cast<std::ptrdiff_t>(limit));
    return out;
  }
  payloads::ControllerSummary summary() override { return numbers; }
};

// Takes a body whose first byte is the letter that its digest repeats; another one does not match.
struct FakeStorage final : Storage {
  std::mutex mutex;
  std::map<std::string, std::string> blobs, partials, incoming, logs, outputs, thumbnails;
  std::optional<Error> refusal;  // of every upload

  struct FakeUpload final : Upload {
    FakeStorage& storage;
    std::map<std::string, std::string>& place;
    std::string key, digest, bytes;
    bool is_blob = false, is_finished = false;
    FakeUpload(FakeStorage& s, std::map<std::string, std::string>& p, std::string k, std::string d)
        : storage(s), place(p), key(std::move(k)), digest(std::move(d)) {}
    ~FakeUpload() override {
      const std::lock_guard lock(storage.mutex);
      if (is_blob && !is_finished) storage.partials[key] = bytes;
    }
    Status write(std::string_view more) override {
      bytes.append(more);
      return {};
    }
    Status finish() override {
      const std::lock_guard lock(storage.mutex);
      is_finished = true;
      if (!digest.empty() && (bytes.empty() || digest_of_letter(bytes[0]) != digest)) {
        return fail(Code::invalid, "the content is not what " + digest + " says");
      }
      storage.partials.erase(key);
      place[key] = bytes;
      return {};
    }
  };
  static std::string key_of(const TaskId& task, std::uint32_t attempt, const std::string& rest) {
    return task.str() + "/" + std::to_string(attempt) + "/" + rest;
  }
  Result<Stored> open(const std::map<std::string, std::string>& place, const std::string& key) {
    const std::lock_guard lock(mutex);
    const auto found = place.find(key);
    if (found == place.end()) return fail(Code::not_found, "no " + key);
    return Stored{file_with(found->second), "v1"};
  }

  std::optional<std::uint64_t> blob_size(const std::string& digest) override {
    const std::lock_guard lock(mutex);
    const auto found = blobs.find(digest);
    return found == blobs.end() ? std::nullopt : std::optional<std::uint64_t>(found->second.size());
  }
  std::uint64_t partial_size(const std::string& digest) override {
    const std::lock_guard lock(mutex);
    return partials.contains(digest) ? partials[digest].size() : 0;
  }
  Result<Stored> open_blob(const std::string& digest) override { return open(blobs, digest); }
  Result<std::unique_ptr<Upload>> put_blob(const std::string& digest, std::uint64_t offset,
                                           std::uint64_t) override {
    if (refusal) return fail(*refusal);
    auto upload = std::make_unique<FakeUpload>(*this, blobs, digest, digest);
    upload->is_blob = true;
    const std::lock_guard lock(mutex);
    if (offset > partials[digest].size()) {
      upload->is_finished = true;
      return fail(Code::conflict, "less is held");
    }
    upload->bytes = partials[digest].substr(0, offset);
    return upload;
  }
  Result<std::string> put_text(std::string_view text) override {
    const std::lock_guard lock(mutex);
    blobs[digest_of_letter('e')] = std::string(text);
    return digest_of_letter('e');
  }
  Result<std::unique_ptr<Upload>> put_result(const TaskId& task, std::uint32_t attempt,
                                             const std::string& path, std::uint64_t,
                                             const std::string& digest) override {
    if (refusal) return fail(*refusal);
    return std::make_unique<FakeUpload>(*this, incoming, key_of(task, attempt, path + digest), digest);
  }
  bool has_result(const TaskId& task, std::uint32_t attempt, const std::string& path,
                  const std::string& digest) override {
    const std::lock_guard lock(mutex);
    return incoming.contains(key_of(task, attempt, path + digest));
  }
  std::map<std::string, std::string> renames;  // key_of() to another name
  std::string placed(const TaskId& task, std::uint32_t attempt, const std::string& path) override {
    const auto found = renames.find(key_of(task, attempt, path));
    return found == renames.end() ? path : found->second;
  }
  Result<std::unique_ptr<Upload>> put_log(const TaskId& task, std::uint32_t attempt, std::uint64_t) override {
    if (refusal) return fail(*refusal);
    return std::make_unique<FakeUpload>(*this, logs, key_of(task, attempt, "log"), "");
  }
  Result<Stored> open_log(const TaskId& task, std::uint32_t attempt) override {
    return open(logs, key_of(task, attempt, "log"));
  }
  std::string output_dir(const JobId& job) override { return "/data/jobs/" + job.str() + "/output"; }
  Result<Stored> open_output(const JobId&, const std::string& path) override { return open(outputs, path); }
  Result<Stored> open_thumbnail(const JobId&, const std::string& path) override {
    if (path.ends_with(".mp4")) return fail(Code::unsupported, "a film has no thumbnail");
    return open(thumbnails, path);
  }
  Result<Archive> archive(const JobId&) override {
    if (outputs.empty()) return fail(Code::not_found, "no frame is finished yet");
    return Archive{6, [](http::Sink& sink) { return sink.write("PK-zip"); }};
  }
};

struct FakeAssets final : Assets {
  std::optional<Asset> find(std::string_view path) const override {
    if (path == "/index.html") return Asset{"<page>", "text/html; charset=utf-8", true, "\"i\""};
    if (path == "/app.js") return Asset{"js", "text/javascript", true, "\"j\""};
    return std::nullopt;
  }
};

// The API with all of that behind it; two jobs and a node are known.
struct Backing {
  FakeReader reader;
  FakeFarm farm{reader};
  FakeLive live;
  FakeStorage storage;
  FakeAssets assets;
  std::unique_ptr<store::Accounts> book = std::move(*store::Accounts::open_in_memory());
  EventRing events{"run1", 8, 2};
  Broadcaster broadcaster{events, live, [this](const JobId& job) { return storage.output_dir(job); }};
  http::Counters counters;
  std::atomic<std::int64_t> passed_ms = 0;  // since the test began
  Api api{
      farm,
      reader,
      live,
      storage,
      assets,
      *book,
      events,
      broadcaster,
      counters,
      {.farm = "attic", .mqtt_host = "", .mqtt_port = 8783, .data_dir = "/data", .max_file_bytes = 1 << 20},
      [] { return 7U; },
      [this] {
        return Instant{61'000, 1'000'000}.after_ms(passed_ms);
      },
      Instant{1'000, 940'000}};

  Backing() {
    reader.job_rows = {job_row("1-aaaaa", 1), job_row("2-bbbbb", 2)};
    reader.node_rows = {node_row("render-1", "3.4.1")};
  }

  // A user with a token, made behind the API's back; gives the field that a request of that user carries.
  std::string key_of(const std::string& name, accounts::Role role) {
    const accounts::ScriptKey key{"t" + name, accounts::random_secret()};
    const bool is_added = book->add_user({.name = name, .role = role, .created_ms = 1}, "").has_value() &&
                          book->add_token({.id = key.id, .user = name, .label = "test", .role = role},
                                          accounts::hash_of(key.secret))
                              .has_value();
    KILN_ASSERT(is_added);
    return "Authorization: Bearer " + to_text(key) + "\r\n";
  }
};

// The same, served on a port of loopback.
struct World : Backing {
  std::unique_ptr<http::Server> server;

  World() {
    http::Config config;
    config.port = 0;
    config.counters = &counters;
    server = std::move(*http::Server::start(std::move(config), make_router(api)));
  }
  ~World() {
    events.close();
    server->stop();
  }

  Answer ask(const std::string& method, const std::string& path, const std::string& body = "",
             const std::string& fields = "") {
    Wire wire(server->port());
    wire.send(method + " " + path + " HTTP/1.1\r\nHost: localhost\r\n" + fields +
              (body.empty() && (method == "GET" || method == "HEAD" || method == "DELETE")
                   ? std::string()
                   : "Content-Length: " + std::to_string(body.size()) + "\r\n") +
              "\r\n" + body);
    return wire.answer(method == "HEAD");
  }
};

}  // namespace kiln::test
