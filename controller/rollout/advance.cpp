#include "rollout/advance.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace kiln::rollout {

namespace {

using payloads::UpdateState;

constexpr std::size_t tolerated_share = 10;  // one in so many of the rest may go wrong: boxes have bad disks

bool is_bad(const Member& member) {
  return !member.is_excused && (member.step == Step::failed || member.step == Step::rolled_back);
}

bool fits(const Plan& plan, const NodeId& node, const NodeFact& fact) {
  if (!fact.update || fact.update->machine != plan.machine) return false;
  return plan.nodes.empty() || std::find(plan.nodes.begin(), plan.nodes.end(), node) != plan.nodes.end();
}

class Turn {
 public:
  Turn(Rollout rollout, const NodeFacts& facts, Moment now, const Patience& patience)
      : r_(std::move(rollout)), facts_(facts), now_(now), patience_(patience) {}

  Advice take() {
    if (r_.state == State::stopped) {
      take_back();
      return {std::move(r_), {}, {}, std::move(withdrawals_)};
    }
    if (r_.state == State::done) return {std::move(r_), {}, {}, {}};
    for (const auto& [node, fact] : facts_) {
      if (fits(r_.plan, node, fact)) join(node);
    }
    for (auto& [node, member] : r_.members) follow(member);
    if (r_.state == State::running) {
      judge();
    }
    if (r_.state == State::running) {
      choose_canaries();
      let_the_rest_follow();
    }
    if (r_.state == State::running) {
      offer();
      ask_for_restarts();
      end();
    }
    repeat_offers();
    return {std::move(r_), std::move(offers_), std::move(restarts_), {}};
  }

 private:
  [[nodiscard]] const NodeFact* fact_of(const NodeId& node) const {
    const auto found = facts_.find(node);
    return found == facts_.end() ? nullptr : &found->second;
  }
  [[nodiscard]] bool is_there(const NodeId& node) const {
    const auto* fact = fact_of(node);
    return fact != nullptr && fact->is_there && fact->update;
  }
  // What the node says of this very offer.
  [[nodiscard]] const payloads::NodeUpdate* said(const Member& member) const {
    const auto* fact = fact_of(member.node);
    if (fact == nullptr || !fact->update) return nullptr;
    const auto& update = *fact->update;
    const bool is_this =
        update.rollout == r_.number && update.attempt == member.attempt && update.image == r_.plan.image;
    return is_this ? &update : nullptr;
  }

  void join(const NodeId& node) {
    if (r_.members.contains(node)) return;
    Member member;
    member.node = node;
    member.since_ms = now_.unix_ms;
    r_.members.emplace(node, std::move(member));
  }

  void set(Member& member, Step step, std::string message = {}) const {
    member.step = step;
    member.message = std::move(message);
    member.since_ms = now_.unix_ms;
  }

  void follow(Member& member) {
    const auto* fact = fact_of(member.node);
    if (is_there(member.node)) {
      member.away_ms = 0;
    } else if (member.away_ms == 0) {
      member.away_ms = now_.unix_ms;
    }
    const bool has_it =
        fact != nullptr && fact->update && fact->update->version == r_.plan.version &&
        (fact->update->state == UpdateState::idle || fact->update->state == UpdateState::good);
    if (member.step == Step::waiting || member.step == Step::skipped) {
      // Of an attempt that was given up.
      const auto* update = member.attempt != 0 && is_there(member.node) ? said(member) : nullptr;
      if (has_it) {
        set(member, Step::good, update == nullptr ? "had it already" : "");
      } else if (update != nullptr && update->state == UpdateState::rolled_back) {
        set(member, Step::rolled_back, update->message);
      } else if (update != nullptr && update->state != UpdateState::failed) {
        member.seen = update->state;
        set(member, Step::updating);
      } else if (member.step == Step::skipped && is_there(member.node)) {
        set(member, Step::waiting);
      }
    } else if (member.step == Step::updating) {
      follow_update(member, has_it);
    }
  }

  void follow_update(Member& member, bool has_it) {
    if (const auto* update = said(member)) {
      if (update->state != member.seen) {
        member.seen = update->state;
        member.since_ms = now_.unix_ms;
      }
      if (update->state == UpdateState::good) return set(member, Step::good);
      if (update->state == UpdateState::rolled_back) return set(member, Step::rolled_back, update->message);
      if (update->state == UpdateState::failed) return set(member, Step::failed, update->message);
    } else if (has_it) {
      return set(member, Step::good);
    }
    const auto age_ms = now_.unix_ms - member.since_ms;
    if (member.seen == UpdateState::restarting && age_ms >= patience_.restart_ms) {
      return set(member, Step::failed,
                 member.away_ms != 0
                     ? fmt::format("it did not come back within {} minutes of its restart",
                                   patience_.restart_ms / 60'000)
                     : fmt::format("it could not say within {} minutes of its restart that it is good",
                                   patience_.restart_ms / 60'000));
    }
    if (member.seen == UpdateState::installing && age_ms >= patience_.install_ms) {
      return set(
          member, Step::failed,
          fmt::format("its installation did not end within {} minutes", patience_.install_ms / 60'000));
    }
    if (member.seen == UpdateState::idle && member.away_ms == 0 && age_ms >= patience_.away_ms) {
      return set(member, Step::failed,
                 fmt::format("it did not take the offer within {} minutes", patience_.away_ms / 60'000));
    }
    if (member.seen == UpdateState::restarting || member.away_ms == 0) return;
    if (now_.unix_ms - member.away_ms < patience_.away_ms) return;
    member.is_canary = false;
    member.seen = UpdateState::idle;
    set(member, Step::waiting, "it went away");
  }

  void halt(std::string reason) {
    r_.state = State::halted;
    r_.reason = std::move(reason);
  }

  void judge() {
    std::size_t bad = 0;
    const Member* last = nullptr;
    for (const auto& [node, member] : r_.members) {
      if (!is_bad(member)) continue;
      ++bad;
      if (last == nullptr || member.since_ms > last->since_ms) last = &member;
      if (member.is_canary) {
        return halt(fmt::format("{} {}: {}", node.str(), verb(member), member.message));
      }
    }
    if (bad > r_.members.size() / tolerated_share) {
      halt(fmt::format("{} {}: {}{}", last->node.str(), verb(*last), last->message,
                       bad > 1 ? fmt::format(" ({} nodes are not good)", bad) : ""));
    }
  }
  static const char* verb(const Member& member) {
    return member.step == Step::failed ? "failed" : "went back to its old system";
  }

  [[nodiscard]] std::size_t wanted_canaries() const {
    const auto share = static_cast<double>(r_.members.size()) * r_.plan.canary_pct / 100;
    return std::max<std::size_t>(1, static_cast<std::size_t>(std::ceil(share - 1e-9)));
  }
  [[nodiscard]] static bool counts_as_canary(const Member& member) {
    return member.is_canary && !member.is_excused;
  }

  void choose_canaries() {
    if (r_.is_rest) return;
    for (auto& [node, member] : r_.members) {
      if (member.step == Step::waiting && member.away_ms != 0 &&
          now_.unix_ms - member.away_ms >= patience_.away_ms)
        member.is_canary = false;  // its place goes to another
    }
    auto count = static_cast<std::size_t>(std::count_if(
        r_.members.begin(), r_.members.end(), [](const auto& one) { return counts_as_canary(one.second); }));
    const auto wanted = wanted_canaries();
    for (auto& [node, member] : r_.members) {
      if (count >= wanted) return;
      if (member.is_canary || member.step != Step::waiting || !is_there(node)) continue;
      member.is_canary = true;
      ++count;
    }
  }

  void let_the_rest_follow() {
    if (r_.is_rest) return;
    bool has_good = false;
    bool are_all_good = true;
    for (const auto& [node, member] : r_.members) {
      if (!counts_as_canary(member)) continue;
      has_good = has_good || member.step == Step::good;
      are_all_good = are_all_good && member.step == Step::good;
    }
    if (!has_good || !are_all_good) {
      r_.canary_good_ms = 0;
      return;
    }
    if (r_.canary_good_ms == 0) r_.canary_good_ms = now_.unix_ms;
    if (now_.unix_ms - r_.canary_good_ms < std::int64_t{r_.plan.soak_s} * 1000) return;
    // Nobody follows into something that makes boxes vanish.
    for (const auto& [node, member] : r_.members) {
      if (!counts_as_canary(member) || member.away_ms == 0) continue;
      const auto* fact = fact_of(node);
      if (fact != nullptr && fact->is_asleep) continue;
      if (now_.unix_ms - member.away_ms >= patience_.away_ms)
        halt(fmt::format("{} is not there any more since its update", node.str()));
      return;
    }
    r_.is_rest = true;
  }

  void offer() {
    auto under_way =
        static_cast<std::size_t>(std::count_if(r_.members.begin(), r_.members.end(), [](const auto& one) {
          return one.second.step == Step::updating;
        }));
    for (auto& [node, member] : r_.members) {
      if (under_way >= r_.plan.at_once) return;
      if (member.step != Step::waiting || !is_there(node) || (!r_.is_rest && !member.is_canary)) continue;
      ++member.attempt;
      member.seen = UpdateState::idle;
      set(member, Step::updating);
      ++under_way;
    }
  }

  // Until the node shows it.
  void repeat_offers() {
    for (const auto& [node, member] : r_.members) {
      if (member.step != Step::updating || !is_there(node) || said(member) != nullptr) continue;
      // One that showed it and does not any more has lost its memory: it gets the offer again all the same.
      if (r_.state == State::running || member.seen != UpdateState::idle)
        offers_.push_back({node, member.attempt});
    }
  }

  void ask_for_restarts() {
    if (!scheduler::is_in_schedule(r_.plan.window, now_.unix_ms, now_.utc_offset_s)) return;
    for (const auto& [node, member] : r_.members) {
      const auto* update = said(member);
      if (member.step != Step::updating || update == nullptr || update->state != UpdateState::installed)
        continue;
      if (is_there(node) && !fact_of(node)->restart_waits) restarts_.push_back(node);
    }
  }

  void end() {
    bool is_waiting = false;
    for (auto& [node, member] : r_.members) {
      if (member.step == Step::updating) return;
      if (member.step != Step::waiting) continue;
      if (is_there(node)) return;
      is_waiting = true;
    }
    if (is_waiting) {
      for (const auto& [node, member] : r_.members) {
        if (member.step == Step::waiting && now_.unix_ms - member.away_ms < patience_.skip_ms) return;
      }
      for (auto& [node, member] : r_.members) {
        if (member.step == Step::waiting) set(member, Step::skipped, "it was away");
      }
    }
    const auto count = [&](auto is) {
      return std::count_if(r_.members.begin(), r_.members.end(),
                           [&](const auto& one) { return is(one.second); });
    };
    const auto good = count([](const Member& member) { return member.step == Step::good; });
    r_.state = State::done;
    r_.ended_ms = now_.unix_ms;
    r_.reason = fmt::format("{} of {} nodes run {}", good, r_.members.size(), r_.plan.version);
  }

  void take_back() {
    for (const auto& [node, member] : r_.members) {
      const auto* update = said(member);
      const bool is_loose = update != nullptr && (update->state == UpdateState::downloading ||
                                                  update->state == UpdateState::downloaded);
      if (is_loose && is_there(node)) withdrawals_.push_back(node);
    }
  }

  Rollout r_;
  const NodeFacts& facts_;
  const Moment now_;
  const Patience& patience_;
  std::vector<Offer> offers_;
  std::vector<NodeId> restarts_;
  std::vector<NodeId> withdrawals_;
};

tl::unexpected<Error> in_state(const Rollout& rollout, const char* verb) {
  return fail(Code::conflict, fmt::format("rollout {} is {}: it cannot be {}", rollout.number,
                                          to_string(rollout.state), verb));
}

}  // namespace

Advice advance(Rollout rollout, const NodeFacts& facts, Moment now, const Patience& patience) {
  return Turn(std::move(rollout), facts, now, patience).take();
}

Result<Rollout> begin(Plan plan, std::uint64_t number, const NodeFacts& facts, Moment now) {
  for (const auto& node : plan.nodes) {
    const auto found = facts.find(node);
    if (found == facts.end()) return fail(Code::not_found, fmt::format("there is no node {}", node.str()));
    if (!found->second.update) {
      return fail(
          Code::not_found,
          fmt::format("{} does not run an image of Kiln's: its own package manager updates it", node.str()));
    }
    if (found->second.update->machine != plan.machine) {
      return fail(Code::conflict, fmt::format("the image is for {}, {} is {}", plan.machine, node.str(),
                                              found->second.update->machine));
    }
  }
  Rollout rollout;
  rollout.number = number;
  rollout.plan = std::move(plan);
  rollout.started_ms = now.unix_ms;
  std::size_t flashed = 0;
  for (const auto& [node, fact] : facts) {
    if (fact.update) ++flashed;
    if (!fits(rollout.plan, node, fact)) continue;
    Member member;
    member.node = node;
    member.since_ms = now.unix_ms;
    rollout.members.emplace(node, std::move(member));
  }
  if (rollout.members.empty()) {
    return fail(Code::conflict,
                flashed == 0 ? std::string("no node runs an image of Kiln's: there is nothing to update")
                             : fmt::format("none of the {} nodes with an image is a {}", flashed,
                                           rollout.plan.machine));
  }
  const bool has_need = std::any_of(rollout.members.begin(), rollout.members.end(), [&](const auto& one) {
    return facts.at(one.first).update->version != rollout.plan.version;
  });
  if (!has_need) {
    return fail(Code::conflict, fmt::format("all {} nodes that it fits run {} already",
                                            rollout.members.size(), rollout.plan.version));
  }
  return rollout;
}

Result<Rollout> pause(Rollout rollout) {
  if (rollout.state != State::running) return in_state(rollout, "paused");
  rollout.state = State::paused;
  return rollout;
}

Result<Rollout> resume(Rollout rollout, Moment now) {
  if (rollout.state != State::paused && rollout.state != State::halted) return in_state(rollout, "resumed");
  for (auto& [node, member] : rollout.members) {
    if (member.step == Step::failed && !member.is_excused) {
      member.step = Step::waiting;
      member.is_canary = false;
      member.since_ms = now.unix_ms;
      member.message.clear();
    } else {
      // Another one stands in for a canary that is good and vanished.
      const bool has_vanished = member.step == Step::good && member.is_canary && member.away_ms != 0;
      if (has_vanished || member.step == Step::rolled_back) member.is_excused = true;
    }
  }
  if (rollout.state == State::halted && rollout.canary_good_ms != 0) rollout.canary_good_ms = now.unix_ms;
  rollout.state = State::running;
  rollout.reason.clear();
  return rollout;
}

Result<Rollout> stop(Rollout rollout, Moment now, const std::string& reason) {
  if (is_over(rollout.state)) return in_state(rollout, "stopped");
  rollout.state = State::stopped;
  rollout.reason = reason;
  rollout.ended_ms = now.unix_ms;
  return rollout;
}

}  // namespace kiln::rollout
