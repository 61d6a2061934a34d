#include "people.h"

#include <fmt/format.h>

namespace kiln::sim {

using namespace scheduler;

void People::start() {
  for (std::size_t i = 0; i < plan_.jobs.size(); ++i) {
    world_.at(plan_.jobs[i].at_ms, [this, i] { submit(i); });
  }
  if (plan_.faults.people > 0) do_something();
}

void People::ask(const std::function<Event(RequestId)>& make, const Reply& reply) {
  if (!controller_.is_up()) return reply({});
  controller_.ask(make, reply);
}

// Rule 12: repeated with the same cid until an answer comes.
void People::submit(std::size_t number) {
  const auto& plan = plan_.jobs[number];
  SubmitJob event;
  event.spec.name = fmt::format("job {}", number);
  event.spec.renderer = plan.renderer;
  event.spec.frames = *payloads::FrameSet::parse(fmt::format("1-{}", plan.frames));
  event.spec.chunk = plan.chunk;
  if (plan.renderer != "noop") {
    event.spec.manifest = fmt::format("sha256:{:08x}{:056x}", plan.profile, 0);
    event.spec.options.scene_file = "shot.blend";
  }
  event.priority = plan.priority;
  event.paused = plan.paused;
  event.user = "anna";
  const auto cid = fmt::format("submit-{}", number);
  if (!world_.is(Mutant::submission_key_ignored)) event.cid = cid;
  event.random = static_cast<std::uint32_t>(world_.random.next());
  const auto again = [this, number] {
    world_.after(world_.random.between(500, 5'000), [this, number] { submit(number); });
  };
  ask(
      [event](RequestId request) {
        auto one = event;
        one.request = request;
        return Event(one);
      },
      [this, again, cid](const Response& response) {
        if (response.status != 200 || !response.job) return again();
        checkers_.submitted(controller_.data()->database, cid, *response.job);
        if (world_.random.chance(0.1)) return again();  // the answer was lost on its way
        world_.note("a job is submitted", nobody, {*response.job, 0});
        jobs_.push_back(*response.job);
        ++submitted_;
      });
}

void People::do_something() {
  if (is_settled_) return;
  const auto mean_ms = static_cast<std::int64_t>(3'600'000 / plan_.faults.people);
  world_.after(world_.random.between(1, 2 * mean_ms), [this] { do_something(); });
  if (jobs_.empty()) return;
  auto& random = world_.random;
  const auto job = jobs_[random.below(jobs_.size())];
  const auto node = identities_[random.below(identities_.size())];
  const auto ignore = [](const Response&) {};
  switch (random.below(12)) {
    case 0:
      world_.note("a job is cancelled", nobody, {job, 0});
      return ask([&](RequestId request) { return CancelJob{request, job}; }, ignore);
    case 1:
    case 2:
      return ask([&](RequestId request) { return RetryJob{request, job}; }, ignore);
    case 3:
      return ask([&](RequestId request) { return DeleteJob{request, job}; }, ignore);
    case 4:
    case 5:
      return ask([&](RequestId request) { return DrainNode{request, node, random.chance(0.4)}; }, ignore);
    case 6:
    case 7:
    case 8: {
      const int priority = static_cast<int>(random.between(0, 100));
      return ask([&](RequestId request) { return EditJob{request, job, priority, std::nullopt}; }, ignore);
    }
    default: {
      const bool is_paused = random.chance(0.5);
      return ask([&](RequestId request) { return EditJob{request, job, std::nullopt, is_paused}; }, ignore);
    }
  }
}

void People::settle() {
  is_settled_ = true;
  world_.after(10'000, [this] { settle(); });
  if (controller_.data() == nullptr) return;
  const auto ignore = [](const Response&) {};
  for (const auto& [id, job] : controller_.data()->database.jobs()) {
    if (job.state != JobState::paused) continue;
    ask([&id = id](RequestId request) { return EditJob{request, id, std::nullopt, false}; }, ignore);
  }
  for (const auto& [id, node] : controller_.data()->database.nodes()) {
    if (!node.drained && node.presence != NodePresence::draining) continue;
    ask([&id = id](RequestId request) { return DrainNode{request, id, false}; }, ignore);
  }
}

}  // namespace kiln::sim
