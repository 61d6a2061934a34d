#include "daemon/updates.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

#include "daemon/adapters.h"
#include "files/layout.h"
#include "runtime/clock.h"
#include "runtime/log.h"

namespace kiln::controller {

namespace {

using rollout::Rollout;

constexpr std::size_t rollouts_shown = 20;
constexpr std::chrono::seconds look_every{1};
constexpr std::int64_t offer_again_ms = 5'000;     // until the node shows it
constexpr std::int64_t restart_again_ms = 60'000;  // one that was not carried out
constexpr std::int64_t partials_kept_s = 7 * 24 * 3600;

rollout::Moment moment() {
  const auto now = runtime::now();
  return {now.unix_ms, runtime::utc_offset_s(now.unix_ms)};
}

}  // namespace

Updates::Updates(std::filesystem::path folder, files::Blobs contents, rollout::Book& book,
                 std::uint64_t reserve_bytes, UpdatePorts ports)
    : folder_(std::move(folder)),
      contents_(std::move(contents)),
      book_(book),
      reserve_bytes_(reserve_bytes),
      ports_(std::move(ports)) {}

Result<std::unique_ptr<Updates>> Updates::open(const std::filesystem::path& folder, rollout::Book& book,
                                               std::uint64_t reserve_bytes, UpdatePorts ports) {
  const files::Layout layout(folder);
  if (auto made = layout.create_for_blobs(); !made) return fail(std::move(made.error()));
  std::unique_ptr<Updates> updates(
      new Updates(folder, files::Blobs(layout), book, reserve_bytes, std::move(ports)));
  if (auto loaded = updates->load(); !loaded) return fail(std::move(loaded.error()));
  return updates;
}

Updates::~Updates() {
  stop_thread();
}

Status Updates::load() {
  auto images = book_.images();
  if (!images) return fail(std::move(images.error()));
  images_ = std::move(*images);
  auto rollouts = book_.rollouts(rollouts_shown);
  if (!rollouts) return fail(std::move(rollouts.error()));
  rollouts_ = std::move(*rollouts);
  // Finished and never added, or removed by half: gigabytes that nobody can name.
  const auto contents = contents_.all();
  if (!contents) return fail(contents.error());
  for (const auto& digest : *contents) {
    const bool is_known =
        std::any_of(images_.begin(), images_.end(), [&](const auto& one) { return one.digest == digest; });
    if (is_known) continue;
    if (auto removed = contents_.remove(digest); !removed) return removed;
  }
  const auto swept = contents_.sweep_partials(runtime::now().unix_ms / 1000, partials_kept_s);
  return swept ? Status() : Status(fail(swept.error()));
}

void Updates::start_thread() {
  // One that halted before the program's start is news to those who watch it now.
  if (const auto all = rollouts(); !all.empty()) ports_.on_change(all.front());
  thread_ = std::thread([this] { run(); });
}

void Updates::stop_thread() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(poke_mutex_);
    is_stopping_ = true;
  }
  poked_.notify_all();
  thread_.join();
}

void Updates::poke() {
  {
    const std::lock_guard lock(poke_mutex_);
    is_poked_ = true;
  }
  poked_.notify_all();
}

void Updates::run() {
  for (;;) {
    {
      std::unique_lock lock(poke_mutex_);
      poked_.wait_for(lock, look_every, [this] { return is_poked_ || is_stopping_; });
      if (is_stopping_) return;
      is_poked_ = false;
    }
    round();
  }
}

Result<rollout::NodeFacts> Updates::facts() const {
  const auto nodes = ports_.nodes();
  if (!nodes) return fail(nodes.error());
  rollout::NodeFacts facts;
  for (const auto& node : *nodes) {
    rollout::NodeFact fact;
    fact.is_there = node.presence == scheduler::NodePresence::online ||
                    node.presence == scheduler::NodePresence::draining;
    fact.is_asleep = node.asleep;
    fact.restart_waits = node.settings.reboot;
    fact.update = ports_.live(node.id).update;
    facts.emplace(node.id, std::move(fact));
  }
  return facts;
}

Status Updates::keep(const Rollout* before, const Rollout& next) {
  std::vector<rollout::Member> changed;
  for (const auto& [node, member] : next.members) {
    const auto known = before == nullptr ? next.members.end() : before->members.find(node);
    if (before == nullptr || known == before->members.end() || known->second != member)
      changed.push_back(member);
  }
  return book_.save(next, changed);
}

// One that is stopped is looked at as long as the program runs: what it had offered is taken back.
void Updates::round() {
  {
    const std::lock_guard lock(mutex_);
    if (rollouts_.empty() || rollouts_.front().state == rollout::State::done) return;
  }
  const auto facts = this->facts();
  if (!facts) return log::error("rollout", "{}", facts.error().message);
  rollout::Advice advice;
  bool is_other = false;
  {
    const std::lock_guard lock(mutex_);
    auto& now = rollouts_.front();
    advice = rollout::advance(now, *facts, moment());
    is_other = advice.next != now;
    if (is_other) {
      // Nothing is told before it is stored.
      if (auto kept = keep(&now, advice.next); !kept) {
        if (kept.error().message != trouble_) log::error("rollout", "{}", kept.error().message);
        trouble_ = kept.error().message;
        return;
      }
      trouble_.clear();
      if (advice.next.state != now.state) {
        log::info("rollout", "rollout {} is {}{}{}", now.number, to_string(advice.next.state),
                  advice.next.reason.empty() ? "" : ": ", advice.next.reason);
      }
      now = advice.next;
    }
  }
  if (is_other) ports_.on_change(advice.next);
  tell(advice, runtime::now().mono_ms);
}

bool Updates::is_due(const std::string& what, std::int64_t mono_ms, std::int64_t again_ms) {
  const auto [said, is_new] = said_ms_.try_emplace(what, mono_ms);
  if (!is_new && mono_ms - said->second < again_ms) return false;
  said->second = mono_ms;
  return true;
}

void Updates::tell(const rollout::Advice& advice, std::int64_t mono_ms) {
  const auto& rollout = advice.next;
  std::erase_if(said_ms_, [&](const auto& one) { return mono_ms - one.second > 2 * restart_again_ms; });
  for (const auto& offer : advice.offers) {
    auto cid = fmt::format("update-{}-{}", rollout.number, offer.attempt);
    if (!is_due(cid + offer.node.str(), mono_ms, offer_again_ms)) continue;
    const auto& plan = rollout.plan;
    ports_.send(offer.node,
                {std::move(cid), 0,
                 payloads::UpdateImage{rollout.number, offer.attempt, plan.image, plan.bytes, plan.version}});
  }
  for (const auto& node : advice.restarts) {
    if (!is_due("restart" + node.str(), mono_ms, restart_again_ms)) continue;
    log::info("rollout", "{} restarts into {} as soon as it is idle", node.str(), rollout.plan.version);
    scheduler::EditNode edit;
    edit.node = node;
    edit.reboot = true;
    ports_.edit(std::move(edit));
  }
  for (const auto& node : advice.withdrawals) {
    auto cid = fmt::format("withdraw-{}", rollout.number);
    if (!is_due(cid + node.str(), mono_ms, offer_again_ms)) continue;
    ports_.send(node, {std::move(cid), 0, payloads::WithdrawUpdate{rollout.number}});
  }
}

// ---- images ----------------------------------------------------------------------------------------------

std::vector<rollout::Image> Updates::images() {
  const std::lock_guard lock(mutex_);
  return images_;
}

std::optional<std::uint64_t> Updates::content_size(const std::string& digest) {
  const auto whole = contents_.open(digest);
  return whole ? std::optional(whole->size) : std::nullopt;
}

std::uint64_t Updates::partial_size(const std::string& digest) {
  return contents_.partial_size(digest);
}

Result<std::unique_ptr<api::Upload>> Updates::put_image(const std::string& digest, std::uint64_t offset,
                                                        std::uint64_t total) {
  if (auto room = check_room(folder_, reserve_bytes_, total - std::min(offset, total)); !room)
    return fail(std::move(room.error()));
  return upload_of(contents_.begin(digest, total, offset));
}

Result<rollout::Image> Updates::add_image(rollout::Image image) {
  const auto content = contents_.open(image.digest);
  if (!content) {
    return fail(Code::not_found,
                fmt::format("the content of {0} is not here yet: PUT it to /api/v1/images/{0}/file first",
                            image.digest));
  }
  image.bytes = content->size;
  image.added_ms = runtime::now().unix_ms;
  const std::lock_guard lock(mutex_);
  std::erase_if(images_, [&](const auto& one) { return one.digest == image.digest; });
  if (auto saved = book_.save(image); !saved) {
    return fail(std::move(saved.error()));
  }
  images_.insert(images_.begin(), image);
  log::info("rollout", "image {} for {} was added by {}", image.version, image.machine, image.added_by);
  return image;
}

Result<api::Stored> Updates::open_image(const std::string& digest) {
  {
    const std::lock_guard lock(mutex_);
    const bool is_known =
        std::any_of(images_.begin(), images_.end(), [&](const auto& one) { return one.digest == digest; });
    if (!is_known) return fail(Code::not_found, fmt::format("there is no image {}", digest));
  }
  auto file = contents_.open(digest);
  if (!file) return fail(std::move(file.error()));
  return api::Stored{{std::move(file->fd), file->size}, digest};
}

Status Updates::remove_image(const std::string& digest) {
  const std::lock_guard lock(mutex_);
  const auto found =
      std::find_if(images_.begin(), images_.end(), [&](const auto& one) { return one.digest == digest; });
  if (found == images_.end()) return fail(Code::not_found, fmt::format("there is no image {}", digest));
  if (!rollouts_.empty() && rollouts_.front().plan.image == digest &&
      !rollout::is_over(rollouts_.front().state)) {
    return fail(Code::conflict, fmt::format("rollout {} is {} with it: `kiln update stop` first",
                                            rollouts_.front().number, to_string(rollouts_.front().state)));
  }
  // The row first: content without one is removed at the next start.
  if (auto erased = book_.erase_image(digest); !erased) return erased;
  images_.erase(found);
  return contents_.remove(digest);
}

// ---- rollouts --------------------------------------------------------------------------------------------

std::vector<Rollout> Updates::rollouts() {
  const std::lock_guard lock(mutex_);
  return rollouts_;
}

Result<Rollout> Updates::start(rollout::Plan plan) {
  const auto facts = this->facts();
  if (!facts) return fail(facts.error());
  Rollout started;
  {
    const std::lock_guard lock(mutex_);
    const auto image = std::find_if(images_.begin(), images_.end(),
                                    [&](const auto& one) { return one.digest == plan.image; });
    if (image == images_.end()) return fail(Code::not_found, fmt::format("there is no image {}", plan.image));
    plan.version = image->version;
    plan.machine = image->machine;
    plan.bytes = image->bytes;
    std::uint64_t number = 1;
    if (!rollouts_.empty()) {
      auto& last = rollouts_.front();
      number = last.number + 1;
      if (last.state == rollout::State::running || last.state == rollout::State::paused) {
        return fail(Code::conflict, fmt::format("rollout {} of {} is {}: `kiln update stop` first",
                                                last.number, last.plan.version, to_string(last.state)));
      }
    }
    auto begun = rollout::begin(std::move(plan), number, *facts, moment());
    if (!begun) return begun;
    if (!rollouts_.empty() && rollouts_.front().state == rollout::State::halted) {
      auto& last = rollouts_.front();
      auto stopped =
          rollout::stop(last, moment(), fmt::format("{}; rollout {} took its place", last.reason, number));
      if (!stopped) return stopped;
      if (auto kept = keep(&last, *stopped); !kept) return fail(std::move(kept.error()));
      last = std::move(*stopped);
    }
    if (auto kept = keep(nullptr, *begun); !kept) return fail(std::move(kept.error()));
    rollouts_.insert(rollouts_.begin(), *begun);
    if (rollouts_.size() > rollouts_shown) rollouts_.pop_back();
    started = std::move(*begun);
  }
  log::info("rollout", "rollout {} of {} begins, for {}: {} nodes", started.number, started.plan.version,
            started.plan.by, started.members.size());
  ports_.on_change(started);
  poke();
  return started;
}

Result<Rollout> Updates::steer(std::uint64_t number, Steer how, const std::string& by) {
  Rollout steered;
  {
    const std::lock_guard lock(mutex_);
    if (rollouts_.empty()) return fail(Code::not_found, "there was no rollout yet");
    auto& last = rollouts_.front();
    if (number != 0 && number != last.number) {
      const bool was = std::any_of(rollouts_.begin(), rollouts_.end(),
                                   [&](const auto& one) { return one.number == number; });
      if (was) return fail(Code::conflict, fmt::format("rollout {} is over", number));
      return fail(Code::not_found, fmt::format("there is no rollout {}", number));
    }
    auto next = how == Steer::pause    ? rollout::pause(last)
                : how == Steer::resume ? rollout::resume(last, moment())
                                       : rollout::stop(last, moment(), fmt::format("stopped by {}", by));
    if (!next) return next;
    if (auto kept = keep(&last, *next); !kept) return fail(std::move(kept.error()));
    last = *next;
    steered = std::move(*next);
  }
  log::info("rollout", "rollout {} is {}, says {}", steered.number, to_string(steered.state), by);
  ports_.on_change(steered);
  poke();
  return steered;
}

}  // namespace kiln::controller
