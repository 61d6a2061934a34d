#include "people.h"

#include <fmt/format.h>

namespace kiln::sim {

using namespace scheduler;

void People::start() {
  for (std::size_t i = 0; i < plan_.jobs.size(); ++i) {
    world_.at(plan_.jobs[i].at_ms, [this, i] { submit(i); });
  }
  if (plan_.faults.people > 0) do_something();
  if (plan_.is_studio()) set_up_farm();
}

// Until it is taken.
void People::set_up_farm() {
  ask(
      [this](RequestId request) {
        return EditFarm{request, plan_.settings.fair_share, plan_.settings.limits};
      },
      [this](const Response& response) {
        if (response.status != 200) world_.after(1'000, [this] { set_up_farm(); });
      });
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
  event.user = plan.user;
  if (!plan.steps.empty()) {
    event.spec.renderer = "openjd";
    event.spec.frames = {};
    event.spec.chunk = 1;
    event.spec.type = "template";
    event.spec.document = fmt::format("sha256:{:064x}", number);
    event.spec.steps = plan.steps;
  }
  event.wishes = plan.wishes;
  if (plan.start_ms > 0) event.wishes.start_ms = 1'800'000'000'000 + plan.start_ms;
  for (const auto other : plan.after) {
    const auto known = by_plan_.find(other);
    const auto* data = controller_.data();
    const auto* row =
        known == by_plan_.end() || data == nullptr ? nullptr : data->database.job(known->second);
    if (row != nullptr) event.wishes.after.push_back(row->number);
  }
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
      [this, again, cid, number](const Response& response) {
        if (response.status != 200 || !response.job) return again();
        checkers_.submitted(controller_.data()->database, cid, *response.job);
        if (world_.random.chance(0.1)) return again();  // the answer was lost on its way
        world_.note("a job is submitted", nobody, {*response.job, 0});
        jobs_.push_back(*response.job);
        by_plan_[number] = *response.job;
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
  if (plan_.is_studio() && random.chance(0.5)) return do_something_in_a_studio(job, node);
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

void People::do_something_in_a_studio(const JobId& job, const NodeId& node) {
  auto& random = world_.random;
  const auto ignore = [](const Response&) {};
  EditJob edit;
  edit.job = job;
  switch (random.below(12)) {
    case 0:
    case 1: {
      RequeueTasks again;
      again.job = job;
      again.only_failed = random.chance(0.5);
      if (random.chance(0.3)) again.step = "s0";
      world_.note("tasks are asked for again", nobody, {job, 0});
      return ask(
          [&](RequestId request) {
            again.request = request;
            return again;
          },
          ignore);
    }
    case 2: {
      const TaskId task{job, static_cast<std::uint32_t>(random.below(30))};
      return ask([&](RequestId request) { return RequeueTask{request, task}; }, ignore);
    }
    case 3:
      edit.slot_limit = static_cast<std::uint32_t>(random.between(0, 4));
      break;
    case 4:
      edit.node_limit = static_cast<std::uint32_t>(random.between(0, 3));
      break;
    case 5:
      edit.after.emplace();
      if (random.chance(0.5)) edit.after->push_back(random.below(jobs_.size()) + 1);
      break;
    case 6:
      edit.start_ms = controller_.now_unix_ms() + random.between(-10'000, 60'000);
      break;
    case 7: {
      EditFarm farm;
      if (random.chance(0.3)) farm.fair_share = random.chance(0.5);
      farm.limits[random.chance(0.5) ? "lic" : "usd"] = static_cast<std::uint32_t>(random.between(2, 6));
      return ask(
          [&](RequestId request) {
            farm.request = request;
            return farm;
          },
          ignore);
    }
    default:
      return change_node(node);
  }
  ask(
      [&](RequestId request) {
        edit.request = request;
        return edit;
      },
      ignore);
}

void People::change_node(const NodeId& node) {
  auto& random = world_.random;
  EditNode edit;
  edit.node = node;
  if (random.chance(0.4)) edit.enabled = random.chance(0.6);
  if (random.chance(0.3)) {
    // From now on for some minutes, or from soon on; or always.
    const auto minute = controller_.now_unix_ms() / 60'000 % 1'440;
    edit.schedule.emplace();
    if (random.chance(0.6)) {
      Window window;
      window.from_min = static_cast<std::uint16_t>((minute + random.between(0, 3)) % 1'440);
      window.to_min = static_cast<std::uint16_t>((window.from_min + random.between(1, 10)) % 1'440 + 1);
      edit.schedule->push_back(window);
    }
  }
  if (random.chance(0.1)) edit.reboot = true;
  if (random.chance(0.2)) edit.soft_c = random.chance(0.5) ? std::optional(70.0) : std::nullopt;
  world_.note("a node is changed");
  ask(
      [&](RequestId request) {
        edit.request = request;
        return edit;
      },
      [](const Response&) {});
}

// What a job waits for that will never be, and what keeps nodes away: somebody takes it back.
void People::settle_studio() {
  const auto ignore = [](const Response&) {};
  const auto& database = controller_.data()->database;
  std::map<std::uint64_t, JobState> states;
  for (const auto& [id, job] : database.jobs()) states[job.number] = job.state;
  for (const auto& [id, job] : database.jobs()) {
    if (job.state != JobState::active && job.state != JobState::paused) continue;
    EditJob edit;
    edit.job = id;
    auto after = job.wishes.after;
    std::erase_if(after, [&](std::uint64_t number) {
      const auto state = states.find(number);
      return state == states.end() || state->second == JobState::failed ||
             state->second == JobState::cancelled;
    });
    if (after != job.wishes.after) edit.after = after;
    if (job.wishes.start_ms > controller_.now_unix_ms()) edit.start_ms = 0;
    if (!edit.after && !edit.start_ms) continue;
    ask(
        [&](RequestId request) {
          edit.request = request;
          return edit;
        },
        ignore);
  }
  for (const auto& [id, node] : database.nodes()) {
    if (node.settings == NodeSettings()) continue;
    EditNode edit;
    edit.node = id;
    edit.enabled = true;
    edit.schedule.emplace();
    edit.soft_c = edit.hard_c = std::optional<double>();
    ask(
        [&](RequestId request) {
          edit.request = request;
          return edit;
        },
        ignore);
  }
}

void People::settle() {
  is_settled_ = true;
  world_.after(10'000, [this] { settle(); });
  if (controller_.data() == nullptr) return;
  if (plan_.is_studio()) settle_studio();
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
