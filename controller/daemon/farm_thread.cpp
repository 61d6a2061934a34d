#include "daemon/farm_thread.h"

#include <fmt/core.h>

#include <chrono>

#include "runtime/clock.h"
#include "runtime/log.h"

namespace kiln::controller {

namespace {

using namespace std::chrono_literals;

// A thousand nodes' heartbeats of ten seconds; beyond that the newest are dropped and come again.
constexpr std::size_t queue_capacity = 16'384;
constexpr auto tick_every = 1'000ms;
constexpr auto ask_deadline = 30s;
constexpr auto persist_again_after = 1s;

}  // namespace

FarmThread::FarmThread(scheduler::FarmState state, std::vector<scheduler::AcceptFiles> unaccepted)
    : state_(std::move(state)),
      queue_(queue_capacity),
      unaccepted_(std::move(unaccepted)),
      summary_(state_.summary()) {}

FarmThread::~FarmThread() {
  stop();
}

void FarmThread::start() {
  thread_ = std::thread([this] { run(); });
}

void FarmThread::stop() {
  stopping_ = true;
  queue_.close();
  if (thread_.joinable()) thread_.join();
  const std::lock_guard lock(mutex_);
  for (auto& [id, promise] : waiting_)
    promise.set_value(fail(Code::unavailable, "the controller is stopping"));
  waiting_.clear();
}

void FarmThread::post(scheduler::Event event) {
  if (queue_.push(std::move(event))) return;
  const auto dropped = ++dropped_;
  // Every thousandth, so that the log does not drown with the queue.
  if (dropped % 1'000 == 1 && !stopping_) log::warn("farm", "{} events dropped: the queue is full", dropped);
}

Result<scheduler::AnswerValue> FarmThread::ask(const MakeEvent& make) {
  if (stalled_) return fail(Code::full, "the controller's disk is full: free some space, then try again");
  const auto request = ++last_request_;
  std::future<Result<scheduler::AnswerValue>> answer;
  {
    const std::lock_guard lock(mutex_);
    answer = waiting_[request].get_future();
  }
  if (!queue_.push(make(request))) {
    const std::lock_guard lock(mutex_);
    waiting_.erase(request);
    return fail(Code::unavailable, stopping_ ? "the controller is stopping" : "too much to do: try again");
  }
  if (answer.wait_for(ask_deadline) == std::future_status::ready) return answer.get();
  const std::lock_guard lock(mutex_);
  if (waiting_.erase(request) == 0) return answer.get();  // came between the two
  return fail(Code::timeout, "no decision within 30 s: is the controller's disk very slow?");
}

payloads::ControllerSummary FarmThread::summary() const {
  const std::lock_guard lock(mutex_);
  return summary_;
}

void FarmThread::run() {
  while (true) {
    auto events = queue_.pop_all(tick_every);
    const Instant now = runtime::now();
    std::vector<scheduler::Effect> effects;
    const auto take = [&](const scheduler::Event& event) {
      auto more = step(state_, now, event);
      effects.insert(effects.end(), std::make_move_iterator(more.begin()),
                     std::make_move_iterator(more.end()));
    };
    for (const auto& event : events) take(event);
    const bool tick_is_due = now.mono_ms - ticked_ms_ >= std::chrono::milliseconds(tick_every).count();
    if (tick_is_due) take(scheduler::Tick{runtime::utc_offset_s(now.unix_ms)});
    carry_out(effects, now);
    if (tick_is_due) {
      ticked_ms_ = now.mono_ms;
      auto again = std::move(unaccepted_);
      unaccepted_.clear();
      for (const auto& files : again) accept(files, true);
      ports_.tick(now, state_.summary());
    }
    ports_.alive();
    if (events.empty() && stopping_) return;
  }
}

void FarmThread::carry_out(const std::vector<scheduler::Effect>& effects, Instant now) {
  if (effects.empty()) return;
  persist(effects);
  {
    const std::lock_guard lock(mutex_);
    summary_ = state_.summary();
  }
  for (const auto& effect : effects) {
    if (const auto* files = std::get_if<scheduler::AcceptFiles>(&effect)) accept(*files, false);
  }
  for (const auto& effect : effects) {
    if (const auto* reply = std::get_if<scheduler::Answer>(&effect)) {
      answer(*reply);
    } else if (const auto* drop = std::get_if<scheduler::DropFiles>(&effect)) {
      ports_.drop_files(*drop);
    } else if (const auto* erase = std::get_if<scheduler::EraseJob>(&effect)) {
      ports_.erase_files(erase->job);
    }
    ports_.publish(effect, now);
  }
}

// The state in memory is already ahead, so there is no way back: nothing is said until the store has it.
void FarmThread::persist(const std::vector<scheduler::Effect>& effects) {
  for (;;) {
    const auto stored = ports_.persist(effects);
    if (stored) break;
    if (!stalled_) log::error("farm", "{}; trying again every second", stored.error().message);
    stalled_ = true;
    ports_.alarm(stored.error().message);
    // A full disk is waited out; anything else is cured by a restart from what the store has.
    if (stored.error().code != Code::full) KILN_ASSERT(stored.has_value());
    ports_.alive();
    if (stopping_) return;
    std::this_thread::sleep_for(persist_again_after);
  }
  if (stalled_.exchange(false)) {
    log::info("farm", "the store takes changes again");
    ports_.alarm("");
  }
}

void FarmThread::accept(const scheduler::AcceptFiles& files, bool is_again) {
  if (const auto moved = ports_.accept_files(files); !moved) {
    if (!is_again) {
      log::error("farm", "while moving the frames of {}: {}; trying again every second", files.task.str(),
                 moved.error().message);
    }
    unaccepted_.push_back(files);
  }
}

void FarmThread::answer(const scheduler::Answer& answer) {
  const std::lock_guard lock(mutex_);
  const auto found = waiting_.find(answer.request);
  if (found == waiting_.end()) return;
  found->second.set_value(answer.value);
  waiting_.erase(found);
}

}  // namespace kiln::controller
