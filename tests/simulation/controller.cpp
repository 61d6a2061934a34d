#include "controller.h"

#include <fmt/format.h>

#include <algorithm>

#include "checkers.h"
#include "codec.h"
#include "fleet/inbound.h"

namespace kiln::sim {

using namespace scheduler;

namespace {

// As in farm_thread.cpp, housekeeping.cpp and outbound.cpp.
constexpr std::int64_t tick_every_ms = 1'000;
constexpr std::int64_t ask_deadline_ms = 30'000;
constexpr std::int64_t persist_again_ms = 1'000;
constexpr std::int64_t housekeeping_every_ms = 2'000;
constexpr std::int64_t status_every_ms = 10'000;
constexpr std::int64_t overwrite_status_after_ms = 60'000;

bool is_kept(const Effect& effect) {
  return std::holds_alternative<SaveJob>(effect) || std::holds_alternative<SaveTask>(effect) ||
         std::holds_alternative<SaveAttempt>(effect) || std::holds_alternative<SaveResult>(effect) ||
         std::holds_alternative<SaveNode>(effect) || std::holds_alternative<EraseJob>(effect) ||
         std::holds_alternative<SaveFarm>(effect) || std::holds_alternative<SaveUsage>(effect) ||
         std::holds_alternative<EraseNode>(effect) || std::holds_alternative<AcceptFiles>(effect);
}

}  // namespace

Controller::Controller(World& world, Broker& broker, Checkers& checkers, const Plan& plan,
                       const std::vector<NodeId>& identities)
    : world_(world),
      checkers_(checkers),
      plan_(plan),
      identities_(identities),
      client_(world, broker, Broker::controller,
              {.before_connect = [this]() -> std::optional<Message> {
                 payloads::ControllerStatus will;
                 will.epoch = epoch_;
                 return Message{{Leaf::controller_status, 0}, std::make_shared<const Body>(will), true};
               },
               .on_connect =
                   [this] {
                     world_.note("the controller is connected");
                     checkers_.controller_line(true);
                     post(BrokerConnected{});
                   },
               .on_message = [this](const Message& message, bool retained) { received(message, retained); },
               .on_lost =
                   [this] {
                     world_.note("the controller has no broker");
                     checkers_.controller_line(false);
                     post(BrokerLost{});
                   }}) {
  for (std::size_t i = 0; i < identities.size(); ++i) numbers_.emplace(identities[i], static_cast<int>(i));
}

// ---- life (daemon/main.cpp) -------------------------------------------------------------------------------

void Controller::start(FarmData& data) {
  KILN_ASSERT(!is_up());
  ++life_;
  data_ = &data;
  auto& database = data.database;
  epoch_ = world_.is(Mutant::controller_epoch_not_stored) ? database.epoch() + 1 : database.raise_epoch();
  world_.note("the controller starts", nobody, {}, 0, epoch_);
  checkers_.epoch_raised(database.farm(), epoch_);
  const auto rows = database.load();
  if (!world_.is(Mutant::moves_not_repeated)) {
    for (const auto& accept : database.unmoved()) {
      if (!data.files.accept(accept)) unaccepted_.push_back(accept);
    }
  }
  mono_base_ms_ = world_.random.skewed(5'000, 1'000'000'000);
  auto policy = plan_.policy;
  if (world_.is(Mutant::no_grace)) policy.grace_ms = 0;
  state_.emplace(policy, rows, now());

  // Uploads that nobody can accept any more.
  std::vector<AttemptKey> strays;
  for (const auto& [attempt, files] : data.files.incoming()) {
    const bool is_unmoved = std::any_of(unaccepted_.begin(), unaccepted_.end(), [&](const auto& one) {
      return one.task == attempt.first && one.attempt == attempt.second;
    });
    const auto* job = state_->job(attempt.first.job);
    const bool is_open = job != nullptr && (job->state == JobState::active || job->state == JobState::paused);
    const auto task = is_open ? state_->task(attempt.first).state : TaskState::done;
    if (!is_unmoved && task == TaskState::done) strays.push_back(attempt);
  }
  for (const auto& stray : strays) {
    checkers_.files_dropped(data, stray);
    data.files.drop(stray);
  }
  checkers_.controller_started(*state_, data);

  ticked_ms_ = world_.now_ms() - tick_every_ms;
  status_ms_ = 0;
  is_pressed_ = false;
  client_.start();
  housekeeping();
  tick();
}

void Controller::kill() {
  if (!is_up()) return;
  world_.note("the controller is killed");
  ++world_.faults;
  data_->files.forget_moves();
  client_.die(true);
  checkers_.controller_gone();
  ++life_;
  data_ = nullptr;
  points_left_ = 0;
  state_.reset();
  inbox_.clear();
  batch_.reset();
  unaccepted_.clear();
  settled_.clear();
  sids_.clear();
  unheard_.clear();
  wakes_ = stalled_ = false;
  // Open connections break.
  for (auto& [request, waiting] : std::exchange(waiting_, {})) waiting.reply({});
}

void Controller::lose_power() {
  if (!is_up()) return;
  world_.note("the controller loses power");
  data_->files.lose_power();
  kill();
}

bool Controller::point() {
  if (points_left_ == 0 || --points_left_ > 0) return false;
  world_.note("…within a batch");
  kill();
  return true;
}

void Controller::set_disk_full(bool full) {
  is_disk_full_ = full;
}

void Controller::housekeeping() {
  if (is_disk_full_ != is_pressed_) {
    is_pressed_ = is_disk_full_;
    post(DiskPressure{is_pressed_});
  }
  for (auto& key : data_->files.settle()) settled_.push_back(std::move(key));
  world_.after(housekeeping_every_ms, [this, life = life_] {
    if (life == life_) housekeeping();
  });
}

// ---- a batch (daemon/farm_thread.cpp) ---------------------------------------------------------------------

void Controller::post(Event event) {
  if (!is_up()) return;
  inbox_.push_back(std::move(event));
  wake();
}

void Controller::wake() {
  const bool tick_is_due = world_.now_ms() - ticked_ms_ >= tick_every_ms;
  if (wakes_ || batch_ || (inbox_.empty() && !tick_is_due)) return;
  wakes_ = true;
  world_.after(world_.random.between(0, 1), [this, life = life_] {
    if (life != life_) return;
    wakes_ = false;
    run_batch();
  });
}

void Controller::tick() {
  wake();
  world_.after(tick_every_ms, [this, life = life_] {
    if (life == life_) tick();
  });
}

void Controller::run_batch() {
  const bool tick_is_due = world_.now_ms() - ticked_ms_ >= tick_every_ms;
  Batch batch;
  batch.now = now();
  const auto take = [&](const Event& event) {
    auto more = step(*state_, batch.now, event);
    checkers_.stepped(*state_, plan_.policy, event, more);
    batch.effects.insert(batch.effects.end(), std::make_move_iterator(more.begin()),
                         std::make_move_iterator(more.end()));
  };
  for (const auto& event : std::exchange(inbox_, {})) take(event);
  if (tick_is_due) {
    take(Tick{});
    batch.ticked = true;
    ticked_ms_ = world_.now_ms();
  }
  batch_ = std::move(batch);
  if (world_.is(Mutant::answer_before_commit)) {
    for (const auto& effect : batch_->effects) {
      if (const auto* reply = std::get_if<Answer>(&effect)) answer(*reply);
    }
  }
  if (world_.is(Mutant::publish_before_commit)) {
    for (const auto& effect : batch_->effects) publish(effect, batch_->now);
  }
  const bool is_writing = std::any_of(batch_->effects.begin(), batch_->effects.end(), is_kept);
  if (!is_writing) return carry_out();
  const auto commit_ms =
      is_disk_slow_ ? world_.random.between(500, 8'000) : world_.random.between(0, plan_.commit_ms);
  world_.after(commit_ms, [this, life = life_] {
    if (life == life_) commit();
  });
}

void Controller::commit() {
  if (point()) return;
  if (is_disk_full_ && world_.random.chance(0.5)) {
    stalled_ = true;
    world_.after(persist_again_ms, [this, life = life_] {
      if (life == life_) commit();
    });
    return;
  }
  stalled_ = false;
  for (const auto& moved : std::exchange(settled_, {})) data_->database.mark_moved(moved);
  data_->database.apply(batch_->effects);
  checkers_.committed(data_->database, batch_->effects);
  if (point()) return;
  carry_out();
}

void Controller::carry_out() {
  for (const auto& effect : batch_->effects) {
    if (const auto* files = std::get_if<AcceptFiles>(&effect)) {
      if (world_.is(Mutant::winner_dropped)) {
        checkers_.files_dropped(*data_, {files->task, files->attempt});
        data_->files.drop({files->task, files->attempt});
      }
      accept(*files);
      if (point()) return;
    }
  }
  for (const auto& effect : batch_->effects) {
    if (const auto* reply = std::get_if<Answer>(&effect)) {
      answer(*reply);
    } else if (const auto* drop = std::get_if<DropFiles>(&effect)) {
      world_.note("files are dropped", nobody, drop->task, drop->attempt);
      checkers_.files_dropped(*data_, {drop->task, drop->attempt});
      data_->files.drop({drop->task, drop->attempt});
    } else if (const auto* erase = std::get_if<EraseJob>(&effect)) {
      data_->files.remove_job(erase->job);
    }
    if (!world_.is(Mutant::publish_before_commit)) publish(effect, batch_->now);
    const bool is_seen =
        std::holds_alternative<Answer>(effect) || std::holds_alternative<SendCommand>(effect) ||
        std::holds_alternative<SendRebirth>(effect) || std::holds_alternative<DropFiles>(effect);
    if (is_seen && point()) return;
  }
  if (batch_->ticked) {
    auto again = std::move(unaccepted_);
    unaccepted_.clear();
    for (const auto& files : again) accept(files);
    tick_outbound(batch_->now);
  }
  batch_.reset();
  wake();
}

void Controller::accept(const AcceptFiles& files) {
  if (data_->files.accept(files)) {
    checkers_.files_accepted(data_->database, files);
    return;
  }
  checkers_.files_missing(data_->database, files);
  unaccepted_.push_back(files);
}

void Controller::answer(const Answer& answer) {
  const auto found = waiting_.find(answer.request);
  if (found == waiting_.end()) return;
  const auto waiting = std::move(found->second);
  waiting_.erase(found);
  Response response;
  response.farm = data_->database.farm();
  if (!answer.value) world_.note("a request is refused");
  if (!answer.value) {
    switch (answer.value.error().code) {
      case Code::not_found:
        response.status = 404;
        break;
      case Code::conflict:
        response.status = 409;
        break;
      case Code::unavailable:
        response.status = 503;
        break;
      default:
        response.status = 400;
    }
  } else {
    response.status = 200;
    if (const auto* committed = std::get_if<Committed>(&*answer.value)) {
      response.verdict = committed->verdict;
      if (committed->verdict == payloads::Verdict::superseded) response.status = 409;
      if (waiting.commits) checkers_.answered(data_->database, *waiting.commits, committed->verdict);
    } else if (const auto* job = std::get_if<JobAccepted>(&*answer.value)) {
      response.job = job->job;
    }
  }
  waiting.reply(response);
}

// ---- HTTP (api/tasks.cpp) ---------------------------------------------------------------------------------

// 200, or the status that refuses it.
int Controller::find_attempt(const AttemptKey& attempt) const {
  const auto& database = data_->database;
  const auto* job = database.job(attempt.first.job);
  if (job == nullptr || attempt.first.index >= job->spec.task_count()) return 404;
  const auto* task = database.task(attempt.first);
  return task == nullptr || attempt.second > task->attempt ? 404 : 200;
}

void Controller::put_file(const AttemptKey& attempt, const payloads::ResultFile& file, bool is_broken,
                          const Reply& reply) {
  Response response{200, data_->database.farm(), {}, {}};
  response.status = find_attempt(attempt);
  if (response.status == 200 && !data_->files.has_incoming(attempt, file)) {
    if (is_disk_full_) {
      response.status = 507;
    } else if (is_broken) {
      response.status = 422;
    } else {
      data_->files.receive(attempt, file);
      response.status = 201;
    }
  }
  world_.note("a file arrives", nobody, attempt.first, attempt.second,
              static_cast<std::uint64_t>(response.status));
  reply(response);
}

void Controller::post_result(const AttemptKey& attempt, const payloads::ResultReport& the_report,
                             const Reply& reply) {
  Response response{200, data_->database.farm(), {}, {}};
  response.status = find_attempt(attempt);
  const auto refuse = [&](int status) {
    response.status = status;
    world_.note("a result is refused", nobody, attempt.first, attempt.second,
                static_cast<std::uint64_t>(status));
    reply(response);
  };
  if (response.status != 200) return refuse(response.status);
  auto report = the_report;
  if (plan_.codec) report = *payloads::decode_result_report(payloads::encode(report));
  if (report.ok && !data_->database.is_done(attempt.first)) {
    for (const auto& file : report.files) {
      if (data_->files.has_incoming(attempt, file)) continue;
      return refuse(422);
    }
  }
  auto number = attempt.second;
  if (world_.is(Mutant::older_attempt_as_newest)) {
    if (const auto* task = data_->database.task(attempt.first)) number = task->attempt;
  }
  ask(
      [&](RequestId request) {
        return FinishAttempt{request, attempt.first, number, report};
      },
      reply, report.ok ? std::optional(attempt) : std::nullopt);
}

void Controller::ask(const std::function<Event(RequestId)>& make, const Reply& reply,
                     const std::optional<AttemptKey>& commits) {
  if (stalled_) return reply({507, data_->database.farm(), {}, {}});
  const auto request = ++last_request_;
  waiting_[request] = {reply, commits};
  post(make(request));
  world_.after(ask_deadline_ms, [this, life = life_, request] {
    if (life != life_) return;
    const auto found = waiting_.find(request);
    if (found == waiting_.end()) return;
    const auto waiting = std::move(found->second);
    waiting_.erase(found);
    waiting.reply({504, data_->database.farm(), {}, {}});
  });
}

// ---- MQTT (fleet) -----------------------------------------------------------------------------------------

void Controller::received(const Message& message, bool retained) {
  const auto& node = identities_.at(static_cast<std::size_t>(message.topic.node));
  if (plan_.codec) {
    auto inbound = fleet::read(topic_text(message.topic, node), encode(*message.body), retained);
    if (!inbound)
      throw Violation(fmt::format("a message is not understood: {}", inbound.error().message),
                      message.topic.node);
    if (auto* event = std::get_if<Event>(&*inbound)) {
      if (auto* tasks = std::get_if<NodeTasksSeen>(event);
          tasks != nullptr && world_.is(Mutant::seq_ignored)) {
        tasks->tasks.seq = ++seq_forged_;
      }
      post(std::move(*event));
    }
    return;
  }
  if (const auto* status = std::get_if<payloads::NodeStatus>(message.body.get())) {
    post(NodeStatusSeen{node, *status, retained});
  } else if (const auto* info = std::get_if<payloads::NodeInfo>(message.body.get())) {
    post(NodeInfoSeen{node, *info, retained});
  } else if (const auto* tasks = std::get_if<payloads::NodeTasks>(message.body.get())) {
    NodeTasksSeen seen{node, *tasks, retained};
    if (world_.is(Mutant::seq_ignored)) seen.tasks.seq = ++seq_forged_;
    post(std::move(seen));
  } else if (const auto* ack = std::get_if<payloads::Ack>(message.body.get()); ack != nullptr && !retained) {
    post(NodeAckSeen{node, *ack});
  }
}

void Controller::publish(const Effect& effect, Instant at) {
  if (const auto* send = std::get_if<SendCommand>(&effect)) {
    auto command = send->command;
    command.epoch = epoch_;
    const auto number = numbers_.at(send->node);
    if (world_.is(Mutant::no_resend) && std::holds_alternative<payloads::RunTask>(command.op) &&
        !sent_once_.insert(command.cid).second) {
      return;
    }
    if (client_.is_connected()) checkers_.published(data_->database, number, command);
    client_.publish({Leaf::command, number}, std::move(command), false);
  } else if (std::holds_alternative<SendRebirth>(effect)) {
    if (!world_.is(Mutant::no_rebirth)) {
      payloads::Command command{fmt::format("rebirth-{}", at.unix_ms), epoch_, payloads::Rebirth{}};
      client_.publish({Leaf::command_all, 0}, std::move(command), false);
    }
    publish_status(true);
    status_ms_ = at.mono_ms;
    for (const auto& [id, row] : data_->database.nodes()) node_changed(row, at);
  } else if (const auto* node = std::get_if<NodeChanged>(&effect)) {
    node_changed(node->row, at);
  } else if (const auto* gone = std::get_if<NodeErased>(&effect)) {
    sids_.erase(gone->node);
    unheard_.erase(gone->node);
  }
}

void Controller::publish_status(bool online) {
  payloads::ControllerStatus status;
  status.online = online;
  status.epoch = epoch_;
  status.version = "1";
  status.url = "http://sim";
  status.farm = data_->database.farm();
  client_.publish({Leaf::controller_status, 0}, std::move(status), true);
}

void Controller::node_changed(const NodeRow& row, Instant at) {
  sids_[row.id] = row.sid;
  if (row.presence == NodePresence::unknown) {
    unheard_.try_emplace(row.id, at.mono_ms);
  } else {
    unheard_.erase(row.id);
  }
}

void Controller::tick_outbound(Instant at) {
  if (at.mono_ms - status_ms_ >= status_every_ms) {
    status_ms_ = at.mono_ms;
    publish_status(true);
  }
  for (auto it = unheard_.begin(); it != unheard_.end();) {
    if (at.mono_ms - it->second < overwrite_status_after_ms) {
      ++it;
      continue;
    }
    const payloads::NodeStatus gone{payloads::NodeState::offline, sids_[it->first]};
    if (!world_.is(Mutant::stale_online_left)) {
      client_.publish({Leaf::node_status, numbers_.at(it->first)}, gone, true);
    }
    it = unheard_.erase(it);
  }
}

}  // namespace kiln::sim
