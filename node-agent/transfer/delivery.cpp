#include "transfer/delivery.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <limits>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "base/json.h"
#include "runtime/clock.h"
#include "runtime/http_client.h"
#include "runtime/log.h"
#include "runtime/sha256.h"
#include "transfer/backoff.h"
#include "transfer/journal.h"

namespace kiln::transfer {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t workers = 2;  // one attempt's frames may wait for a commit while another's move
constexpr unsigned max_broken_bodies =
    3;  // times that a file or the report may arrive with another digest than it left with

// What a try came to.
struct Outcome {
  enum class Kind {
    verdict,  // the controller has decided
    refused,  // it never will: `why`
    busy,     // it answers, but not now: `why`
    away,     // nothing answers: `why`
    foreign,  // another farm answers: `why`
    unknown,  // the farm does not know the job: `why`
  };
  Kind kind = Kind::verdict;
  std::string why;
  payloads::Verdict verdict = payloads::Verdict::superseded;
};
using Step = std::optional<Outcome>;  // nullopt: go on

struct Work {
  Entry entry;
  bool was_recovered = false;
  bool is_busy = false;
  bool found_nobody = false;  // its last try met no controller
  std::int64_t due_ms = 0;
  Backoff backoff;
  // What the controller has of it already, as far as this run knows. One worker at a time.
  std::size_t files_sent = 0;
  bool is_log_sent = false;
  bool is_fresh = true;  // everything was sent in this try
  unsigned broken_bodies = 0;
  std::string kept;                              // told as kept, and why
  std::optional<std::int64_t> unknown_since_ms;  // nobody knew its job
};

// How often what is kept is tried without a reason. A farm comes back when a person does something about it.
constexpr std::int64_t kept_again_ms = 600'000;
// A job that its own farm does not know was deleted, most likely; but an older database may have been put in
// place by mistake, and a day is enough to notice.
constexpr std::int64_t keep_unknown_ms = 86'400'000;

// A request that got no answer: by the network's fault or by that of this box's disk.
Outcome unanswered(const Error& error) {
  const bool is_local = error.code == Code::io || error.code == Code::full || error.code == Code::not_found;
  return {is_local ? Outcome::Kind::busy : Outcome::Kind::away, error.message};
}

constexpr const char* farm_header = "Kiln-Farm";

// What an answer other than success means for an attempt that was made for that farm ("": not known, so any
// controller may judge it).
Outcome judge(const runtime::HttpResponse& response, const std::string& farm) {
  constexpr int unknown = 404;
  constexpr int superseded = 409;
  constexpr int misdirected = 421;
  const auto header = response.headers.find("kiln-farm");
  const auto answering = header == response.headers.end() ? std::string() : header->second;
  if (!farm.empty() && !answering.empty() && answering != farm) {
    return {Outcome::Kind::foreign,
            fmt::format("it was made for farm {}, and farm {} answers at the controller's address", farm,
                        answering)};
  }
  if (response.status == unknown || response.status == superseded) {
    if (!farm.empty() && answering.empty()) {
      return {Outcome::Kind::busy,
              fmt::format("what answers at the controller's address (HTTP {}) is no Kiln "
                          "controller of this version",
                          response.status)};
    }
    if (response.status == unknown) return {Outcome::Kind::unknown, response.problem()};
    return {};
  }
  // 401: this box gets new credentials as soon as the controller lets it in (again).
  const bool may_change = response.status < 400 || response.status >= 500 || response.status == 401 ||
                          response.status == 408 || response.status == 429 || response.status == misdirected;
  return {may_change ? Outcome::Kind::busy : Outcome::Kind::refused, response.problem()};
}

runtime::HttpHeaders headers_of(const Entry& entry, runtime::HttpHeaders headers) {
  if (!entry.farm.empty()) headers[farm_header] = entry.farm;
  return headers;
}

std::optional<payloads::Verdict> parse_verdict(const std::string& body) {
  const auto json = Json::parse(body);
  const auto* text = json ? json->find("verdict") : nullptr;
  const auto* name = text == nullptr ? nullptr : text->as_string();
  if (name == nullptr) return std::nullopt;
  for (const auto verdict :
       {payloads::Verdict::accepted, payloads::Verdict::duplicate, payloads::Verdict::superseded}) {
    if (*name == to_string(verdict)) return verdict;
  }
  return std::nullopt;
}

}  // namespace

struct Delivery::State {
  State(fs::path folder, std::function<void(const Delivered&)> callback, std::string the_farm)
      : journal(std::move(folder)), on_delivered(std::move(callback)), farm(std::move(the_farm)) {}

  Journal journal;
  const std::function<void(const Delivered&)> on_delivered;
  Status ready;

  mutable std::mutex mutex;
  std::condition_variable changed;
  runtime::HttpTrust trust;
  std::string url;
  std::string farm;
  std::atomic<std::uint64_t> url_changes = 0;
  std::atomic<bool> is_stopping = false;
  std::map<std::uint64_t, std::unique_ptr<Work>> queue;  // oldest first
  std::uint64_t last_number = 0;
  Backoff away_backoff;
  std::int64_t away_until_ms = 0;  // nothing answered: nobody asks before that

  std::array<std::thread, workers> threads;

  void add(Entry entry, bool was_recovered) {
    auto work = std::make_unique<Work>();
    work->entry = std::move(entry);
    work->was_recovered = was_recovered;
    queue.emplace(++last_number, std::move(work));
  }

  void wake() {
    for (auto& [number, work] : queue) work->due_ms = 0;
    away_until_ms = 0;
    changed.notify_all();
  }

  void run();
  // The oldest that may be tried now, or when to look again.
  Work* next(std::int64_t now_ms, std::int64_t* look_again_ms);
  void settle(Work& work, const Outcome& outcome);
  void keep(Work& work, const Outcome& outcome, std::unique_lock<std::mutex>& lock);
  void controller_answered();
  void finish(std::uint64_t number, const Outcome& outcome, std::unique_lock<std::mutex>& lock);

  Outcome deliver(Work& work, runtime::HttpClient& client);
  Step send_files(Work& work, const payloads::ResultReport& report, const std::string& base,
                  runtime::HttpClient& client);
  Step send_log(Work& work, const std::string& base, runtime::HttpClient& client);
};

// ---- one attempt --------------------------------------------------------------------------------------

Step Delivery::State::send_files(Work& work, const payloads::ResultReport& report, const std::string& base,
                                 runtime::HttpClient& client) {
  work.is_fresh = work.files_sent == 0;
  for (; work.files_sent < report.files.size(); ++work.files_sent) {
    const auto& file = report.files[work.files_sent];
    const auto path = journal.file(work.entry, file.path);
    std::error_code error;
    if (fs::file_size(path, error) != file.size || error) {
      return Outcome{Outcome::Kind::refused, fmt::format("{} is damaged on this box", path.string())};
    }
    const auto put = client.put_file(
        base + "/files/" + runtime::escape_path(file.path), path, 0,
        headers_of(work.entry, {{"Content-Digest", runtime::to_content_digest(file.digest)}}));
    if (!put) return unanswered(put.error());
    if (put->ok()) continue;
    auto outcome = judge(*put, work.entry.farm);
    if (put->status == 422 && ++work.broken_bodies < max_broken_bodies) outcome.kind = Outcome::Kind::busy;
    outcome.why = fmt::format("{}: {}", file.path, outcome.why);
    return outcome;
  }
  return std::nullopt;
}

Step Delivery::State::send_log(Work& work, const std::string& base, runtime::HttpClient& client) {
  const auto path = journal.log(work.entry);
  std::error_code error;
  const auto size = fs::file_size(path, error);
  if (work.is_log_sent || error || size == 0) return std::nullopt;
  const auto put = client.put_file(base + "/log", path, 0,
                                   headers_of(work.entry, {{"Content-Type", "text/plain; charset=utf-8"}}));
  if (!put) return unanswered(put.error());
  if (!put->ok()) {
    auto outcome = judge(*put, work.entry.farm);
    if (outcome.kind != Outcome::Kind::refused) return outcome;
    log::warn("transfer", "the log of task {} attempt {} was refused: {}", work.entry.task.str(),
              work.entry.attempt, outcome.why);  // the frames count without it
  }
  work.is_log_sent = true;
  return std::nullopt;
}

Outcome Delivery::State::deliver(Work& work, runtime::HttpClient& client) {
  const auto report = journal.report(work.entry);
  if (!report) return {Outcome::Kind::refused, report.error().message};
  const auto base = fmt::format("/api/v1/tasks/{}/attempts/{}", work.entry.task.str(), work.entry.attempt);
  if (report->ok) {
    if (auto step = send_files(work, *report, base, client)) return *step;
  }
  if (auto step = send_log(work, base, client)) return *step;
  const auto text = payloads::encode(*report);
  const auto digest = runtime::to_content_digest(runtime::digest_of(text));
  const auto answer =
      client.post(base + "/result", text, headers_of(work.entry, {{"Content-Digest", digest}}));
  if (!answer) return unanswered(answer.error());
  if (!answer->ok()) {
    auto outcome = judge(*answer, work.entry.farm);
    // It may miss what an earlier try sent, or have got a damaged report: everything once more.
    const bool was_damaged = answer->status == 422 && ++work.broken_bodies < max_broken_bodies;
    if (outcome.kind == Outcome::Kind::refused && (!work.is_fresh || was_damaged)) {
      work.files_sent = 0;
      outcome.kind = Outcome::Kind::busy;
    }
    return outcome;
  }
  const auto verdict = parse_verdict(answer->body);
  if (!verdict) return {Outcome::Kind::busy, "what answers at the controller's address gives no verdict"};
  return {Outcome::Kind::verdict, {}, *verdict};
}

// ---- the queue ----------------------------------------------------------------------------------------

Work* Delivery::State::next(std::int64_t now_ms, std::int64_t* look_again_ms) {
  *look_again_ms = std::numeric_limits<std::int64_t>::max();
  if (url.empty()) return nullptr;
  if (now_ms < away_until_ms) {
    *look_again_ms = away_until_ms;
    return nullptr;
  }
  for (auto& [number, work] : queue) {
    if (work->is_busy) continue;
    if (work->due_ms <= now_ms) return work.get();
    *look_again_ms = std::min(*look_again_ms, work->due_ms);
  }
  return nullptr;
}

void Delivery::State::run() {
  const auto seen = std::make_shared<std::uint64_t>(0);
  runtime::HttpOptions options;
  options.cancelled = [this, seen] { return is_stopping || url_changes != *seen; };
  std::optional<runtime::HttpClient> client;
  std::unique_lock lock(mutex);
  while (!is_stopping) {
    const auto now_ms = runtime::now().mono_ms;
    std::int64_t look_again_ms = 0;
    Work* work = next(now_ms, &look_again_ms);
    if (work == nullptr) {
      constexpr std::int64_t long_ms = 60'000;  // wait_for overflows on more than the clock can hold
      changed.wait_for(lock, std::chrono::milliseconds(std::min(long_ms, look_again_ms - now_ms)));
      continue;
    }
    work->is_busy = true;
    *seen = url_changes;
    if (client) {
      client->set_base_url(url);
    } else {
      options.trust = trust;
      client.emplace(url, options);
    }
    lock.unlock();
    const auto outcome = deliver(*work, *client);
    lock.lock();
    const bool was_interrupted = is_stopping || url_changes != *seen;
    const auto found =
        std::find_if(queue.begin(), queue.end(), [&](const auto& one) { return one.second.get() == work; });
    work->is_busy = false;
    if (outcome.kind == Outcome::Kind::away && was_interrupted) {
      changed.notify_all();
    } else if (outcome.kind == Outcome::Kind::away || outcome.kind == Outcome::Kind::busy) {
      settle(*work, outcome);
    } else if (outcome.kind == Outcome::Kind::foreign || outcome.kind == Outcome::Kind::unknown) {
      const auto now = runtime::now().mono_ms;
      if (outcome.kind == Outcome::Kind::foreign) {
        work->unknown_since_ms.reset();
      } else if (!work->unknown_since_ms) {
        work->unknown_since_ms = now;
      }
      if (work->unknown_since_ms && now - *work->unknown_since_ms >= keep_unknown_ms) {
        finish(found->first, {}, lock);  // deleted, then
      } else {
        keep(*work, outcome, lock);
      }
    } else {
      finish(found->first, outcome, lock);
    }
  }
}

// The attempt stays in the queue and has a next try. While nobody answers, one try after the other asks for
// all; one attempt that alone breaks its connections holds nobody else up for long.
void Delivery::State::settle(Work& work, const Outcome& outcome) {
  work.found_nobody = outcome.kind == Outcome::Kind::away;
  if (work.backoff.failures() == 0 && (!work.found_nobody || away_backoff.failures() == 0)) {
    log::warn("transfer", "task {} attempt {} is not delivered yet: {}; trying again", work.entry.task.str(),
              work.entry.attempt, outcome.why);
  }
  const auto now_ms = runtime::now().mono_ms;
  work.due_ms = now_ms + work.backoff.next_ms();
  if (work.found_nobody) {
    away_until_ms = now_ms + away_backoff.next_ms();
  } else {
    controller_answered();
  }
  changed.notify_all();
}

// The frames stay, though nobody waits for them now: the right farm may come back.
void Delivery::State::keep(Work& work, const Outcome& outcome, std::unique_lock<std::mutex>& lock) {
  work.due_ms = runtime::now().mono_ms + kept_again_ms;
  work.found_nobody = false;
  work.files_sent = 0;  // whoever is asked next has nothing of it
  work.is_log_sent = false;
  controller_answered();
  changed.notify_all();
  if (!std::exchange(work.kept, outcome.why).empty()) return;
  const Delivered told{work.entry.task, work.entry.attempt, payloads::Verdict::superseded, outcome.why};
  lock.unlock();
  log::warn("transfer", "task {} attempt {} is kept: {}", told.task.str(), told.attempt, told.kept);
  on_delivered(told);
  lock.lock();
}

void Delivery::State::controller_answered() {
  if (away_backoff.failures() > 1) {
    for (auto& [number, work] : queue) {
      if (work->found_nobody) work->due_ms = 0;
    }
  }
  away_backoff.reset();
  away_until_ms = 0;
}

void Delivery::State::finish(std::uint64_t number, const Outcome& outcome,
                             std::unique_lock<std::mutex>& lock) {
  const auto work = std::move(queue.at(number));
  queue.erase(number);
  controller_answered();
  changed.notify_all();
  lock.unlock();
  const auto& entry = work->entry;
  if (outcome.kind == Outcome::Kind::refused) {
    log::error("transfer", "task {} attempt {} cannot be delivered and is kept in refused/{}: {}",
               entry.task.str(), entry.attempt, entry.name(), outcome.why);
  }
  if (!work->kept.empty()) {
    log::info("transfer", "task {} attempt {} was kept and has its verdict now: {}", entry.task.str(),
              entry.attempt, payloads::to_string(outcome.verdict));
  }
  on_delivered({entry.task, entry.attempt, outcome.verdict});
  if (outcome.kind == Outcome::Kind::refused) {
    journal.refuse(entry, outcome.why);
  } else {
    journal.erase(entry);
  }
  lock.lock();
}

// ---- the face -----------------------------------------------------------------------------------------

Delivery::Delivery(fs::path folder, std::function<void(const Delivered&)> on_delivered, std::string farm)
    : state_(std::make_unique<State>(std::move(folder), std::move(on_delivered), std::move(farm))) {
  auto entries = state_->journal.recover();
  if (entries) {
    for (auto& entry : *entries) state_->add(std::move(entry), true);
  } else {
    state_->ready = fail(entries.error());
    log::error("transfer", "{}", entries.error().message);
  }
  for (auto& thread : state_->threads) thread = std::thread([this] { state_->run(); });
}

Delivery::~Delivery() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->is_stopping = true;
    state_->changed.notify_all();
  }
  for (auto& thread : state_->threads) thread.join();
}

void Delivery::set_url(const std::string& url, runtime::HttpTrust trust) {
  const std::lock_guard lock(state_->mutex);
  state_->trust = std::move(trust);
  if (url != state_->url) ++state_->url_changes;
  state_->url = url;
  state_->wake();
}

void Delivery::set_farm(const std::string& farm) {
  const std::lock_guard lock(state_->mutex);
  if (farm == state_->farm) return;
  state_->farm = farm;
  state_->wake();
}

bool Delivery::drop_oldest_kept() {
  std::unique_lock lock(state_->mutex);
  const auto found = std::find_if(state_->queue.begin(), state_->queue.end(), [](const auto& one) {
    return !one.second->kept.empty() && !one.second->is_busy;
  });
  if (found == state_->queue.end()) return false;
  const auto work = std::move(found->second);
  state_->queue.erase(found);
  lock.unlock();
  log::warn("transfer", "the disk is low: the frames of task {} attempt {} are given up ({})",
            work->entry.task.str(), work->entry.attempt, work->kept);
  state_->journal.erase(work->entry);
  return true;
}

void Delivery::poke() {
  const std::lock_guard lock(state_->mutex);
  state_->wake();
}

std::vector<Delivery::Item> Delivery::pending() const {
  const std::lock_guard lock(state_->mutex);
  std::vector<Item> out;
  for (const auto& [number, work] : state_->queue) {
    const auto& entry = work->entry;
    const bool is_foreign = !entry.farm.empty() && !state_->farm.empty() && entry.farm != state_->farm;
    if (work->was_recovered && !is_foreign && work->kept.empty()) out.push_back({entry.task, entry.attempt});
  }
  return out;
}

Status Delivery::put(const TaskId& task, std::uint32_t attempt, const payloads::ResultReport& report,
                     const fs::path& folder, const std::string& log, const std::string& farm) {
  if (!state_->ready) return state_->ready;
  Entry entry{task, attempt, farm};
  if (auto put = state_->journal.put(entry, report, folder, log); !put) return put;
  const std::lock_guard lock(state_->mutex);
  const bool is_queued = std::any_of(state_->queue.begin(), state_->queue.end(), [&](const auto& one) {
    return one.second->entry.name() == entry.name();
  });
  if (!is_queued) state_->add(std::move(entry), false);
  state_->changed.notify_all();
  return {};
}

}  // namespace kiln::transfer
