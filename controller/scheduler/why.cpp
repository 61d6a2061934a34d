// Why tasks wait, in words: asked for by a person, so it may look at every node once. O(steps × nodes).
#include <fmt/core.h>

#include <algorithm>
#include <map>

#include "scheduler/farm_data.h"
#include "scheduler/matching.h"

namespace kiln::scheduler {

namespace {

constexpr std::size_t max_reasons = 1000;
constexpr std::size_t jobs_named = 3;  // of those that are before this one

std::string tasks_text(std::uint64_t count) {
  return fmt::format("{} task{}", count, count == 1 ? "" : "s");
}

std::string name_of(const Job& job) {
  return fmt::format("job {} ({})", job.row.number, job.row.spec.name);
}

// "2026-11-27 22:00" at the controller. Days to a date: Howard Hinnant's civil_from_days.
std::string time_text(std::int64_t unix_ms, std::int32_t utc_offset_s) {
  const auto seconds = unix_ms / 1000 + utc_offset_s;
  const auto days = (seconds >= 0 ? seconds : seconds - 86'399) / 86'400;
  const auto of_day = seconds - days * 86'400;
  const auto shifted = days + 719'468;
  const auto era = (shifted >= 0 ? shifted : shifted - 146'096) / 146'097;
  const auto of_era = shifted - era * 146'097;
  const auto year_of_era = (of_era - of_era / 1460 + of_era / 36'524 - of_era / 146'096) / 365;
  const auto of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const auto shifted_month = (5 * of_year + 2) / 153;
  const auto day = of_year - (153 * shifted_month + 2) / 5 + 1;
  const auto month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
  const auto year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}", year, month, day, of_day / 3600, of_day % 3600 / 60);
}

class Explainer {
 public:
  Explainer(const FarmState::Data& data, const Job& job) : data_(data), job_(job) {}

  Explanation explain() {
    if (!job_.is_live()) {
      say("", "", 0, fmt::format("it is {}: nothing of it waits", shown_state(job_.row)));
      return std::move(out_);
    }
    of_the_farm();
    of_the_job();
    for (const auto& step : job_.steps) of_the_step(step);
    if (out_.reasons.empty()) say("", "", 0, "nothing of it waits: all its tasks are out or have ended");
    return std::move(out_);
  }

 private:
  void say(const std::string& node, const std::string& step, std::uint32_t tasks, std::string what) {
    if (out_.reasons.size() < max_reasons) out_.reasons.push_back({node, step, tasks, std::move(what)});
  }

  void of_the_farm() {
    if (!data_.connected)
      say("", "", 0, "the broker cannot be reached: nothing can be handed out until it is back");
    if (data_.disk_full)
      say("", "", 0, "the controller's disk is full: nothing is handed out until there is space");
    if (data_.nodes.empty()) say("", "", 0, "the farm has no node yet: start kiln-agent on a box");
  }

  void of_the_job() {
    const auto& wishes = job_.row.wishes;
    if (job_.row.state == JobState::paused) say("", "", 0, "it is paused");
    if (job_.is_early)
      say("", "", 0, fmt::format("it starts at {}", time_text(wishes.start_ms, data_.utc_offset_s)));
    for (const auto number : job_.blockers) {
      const auto found = data_.jobs.find(number);
      say("", "", 0,
          found == data_.jobs.end()
              ? fmt::format(
                    "it waits for job {}, which was deleted before it was done: change what it waits for",
                    number)
              : fmt::format("it waits for {}, which is {}", name_of(found->second),
                            shown_state(found->second.row)));
    }
    if (job_.is_full()) {
      say("", "", 0,
          fmt::format("as many tasks as its slot limit allows are out: {} of {}", job_.out,
                      wishes.slot_limit));
    }
    if (job_.is_pinned()) {
      say("", "", 0,
          fmt::format("it is on as many nodes as its node limit allows ({}): only they get more of it",
                      wishes.node_limit));
    }
  }

  void of_the_step(const Step& step) {
    const auto waiting = step.counts.queued;
    if (waiting == 0) return;
    const auto& name = step.spec.name;
    if (step.waits > 0) {
      for (const auto other : step.spec.after) {
        const auto& before = job_.steps[other];
        if (before.is_done()) continue;
        say("", name, waiting,
            fmt::format("waits for step {}: {} of {} done{}", before.spec.name, before.counts.done,
                        tasks_text(before.total), failed_text(before)));
      }
      return;
    }
    std::uint32_t ready = step.has_fresh() ? step.total - static_cast<std::uint32_t>(step.tasks.size()) : 0;
    for (const auto& [shuns, tasks] : step.requeued) ready += static_cast<std::uint32_t>(tasks.size());
    if (step.is_paired() && ready < waiting) {
      const auto& before = job_.steps[step.spec.pairs_with.front()];
      say("", name, waiting - ready,
          fmt::format("each waits for its own task of step {}: {} of {} done{}", before.spec.name,
                      before.counts.done, tasks_text(before.total), failed_text(before)));
    }
    if (ready == 0) return;
    const auto& pool = data_.pools[step.pool];
    for (const auto& use : step.spec.needs.limits) limit(step, use, ready);
    const auto ahead = ahead_of(step);
    for (const auto& node : data_.nodes) {
      if (node.row.id.empty()) continue;
      say(node.row.id.str(), name, ready, of_the_node(step, pool, node, ahead));
    }
  }

  static std::string failed_text(const Step& step) {
    return step.counts.failed == 0 ? "" : fmt::format(", {} failed", step.counts.failed);
  }

  void limit(const Step& step, const payloads::LimitUse& use, std::uint32_t ready) {
    const auto set = data_.settings.limits.find(use.name);
    if (set == data_.settings.limits.end()) return;
    const auto found = data_.limits.find(use.name);
    const auto used = found == data_.limits.end() ? 0 : found->second.used;
    if (used + use.count <= set->second) return;
    say("", step.spec.name, ready,
        fmt::format("limit {}: {} of {} are taken, it needs {}", use.name, used, set->second, use.count));
  }

  // Jobs that are served before this one where it waits, for people.
  std::string ahead_of(const Step& step) const {
    std::string text;
    std::size_t count = 0;
    for (const auto& [key, group] : data_.pools[step.pool].heads) {
      if (key.number == job_.row.number) break;
      if (++count <= jobs_named)
        text += fmt::format("{}{}", count == 1 ? "" : ", ", name_of(data_.jobs.at(key.number)));
    }
    if (count > jobs_named) text += fmt::format(" and {} more", count - jobs_named);
    return text;
  }

  std::string of_the_node(const Step& step, const Pool& pool, const Node& node,
                          const std::string& ahead) const {
    if (!node.has_info) return "it has not introduced itself yet";
    if (auto lack = lacking(pool.needs, pool.tags, node.row)) return *lack;
    const auto& settings = node.row.settings;
    if (!settings.enabled) return "it is disabled";
    if (node.row.asleep) {
      return node.woken_mono_ms != 0 ? "it is asleep, and was told to wake up" : "it is asleep";
    }
    if (node.row.presence == NodePresence::offline || node.row.presence == NodePresence::unknown) {
      return fmt::format("it is {}",
                         node.row.presence == NodePresence::offline ? "offline" : "not heard of now");
    }
    if (node.row.drained || node.row.presence == NodePresence::draining)
      return "it is draining: it takes nothing new";
    if (!node.row.quarantine.empty()) return fmt::format("it is quarantined: {}", node.row.quarantine);
    if (settings.reboot) return "it restarts as soon as it is idle";
    if (!node.in_window) return "it is outside of its schedule";
    if (node.slots() == 0) return "it has no slot";
    const bool is_gpu_only = !data_.suits(pool, node, cpu_lane);
    if (!node.hot_gpus.empty() && is_gpu_only) return node.row.hot;
    if (node.rests_until_mono_ms != 0) return "it refused a task a moment ago and rests for some seconds";
    if (!node.has_reported) return "it has not said yet what it is working on";
    if (job_.is_pinned() && !job_.out_on.contains(node.no)) return "the job is on as many nodes as it may be";
    if (std::binary_search(job_.avoids.begin(), job_.avoids.end(), node.no)) {
      return "the job avoids it: too many of its tasks failed there";
    }
    return of_its_slots(step, pool, node, ahead);
  }

  std::string of_its_slots(const Step& step, const Pool& pool, const Node& node,
                           const std::string& ahead) const {
    std::map<JobNo, std::uint32_t> holders;
    for (const auto& key : node.held) ++holders[key.job];
    std::uint32_t busy = 0, slots = 0;
    bool is_open = false;
    for (const std::size_t kind : {cpu_lane, gpu_lane}) {
      if (!data_.suits(pool, node, kind)) continue;
      const auto& lane = node.lanes.at(kind);
      slots += lane.slots;
      busy += std::min(lane.started + lane.waiting, lane.slots);
      is_open = is_open || lane.open;
    }
    if (!is_open || busy >= slots) {
      std::string whose;
      std::size_t count = 0;
      for (const auto& [number, tasks] : holders) {
        if (++count > jobs_named) break;
        whose += fmt::format("{}{}", count == 1 ? "" : ", ",
                             number == job_.row.number ? "this job" : name_of(data_.jobs.at(number)));
      }
      if (holders.size() > jobs_named) whose += fmt::format(" and {} more", holders.size() - jobs_named);
      const auto all = fmt::format("its {} busy with {}",
                                   slots == 1 ? "slot is" : fmt::format("{} slots are", slots), whose);
      return ahead.empty() ? all : fmt::format("{}; before this job comes {}", all, ahead);
    }
    if (!job_.may_run() || !data_.limits_allow(pool)) return "it has room; the job has to wait, see above";
    if (!ahead.empty()) return fmt::format("it has room; before this job comes {}", ahead);
    if (!step.requeued.empty() && !step.requeued.contains(0))
      return "what is left failed here: another node is tried first";
    if (!data_.has_renderer(step.pool, node.no) && data_.outruns_fetch(job_, step)) {
      return fmt::format(
          "it has room; it would have to fetch {} first, and nodes that have it are done sooner",
          pool.needs.bundle.name);
    }
    return "it has room: it gets the next task now";
  }

  const FarmState::Data& data_;
  const Job& job_;
  Explanation out_;
};

}  // namespace

void Turn::on(const ExplainJob& event) {
  const auto* job = data_.find_job(event.job);
  if (job == nullptr) {
    return answer(event.request, fail(Code::not_found, fmt::format("there is no job {}", event.job.str())));
  }
  answer(event.request, Explainer(data_, *job).explain());
}

}  // namespace kiln::scheduler
