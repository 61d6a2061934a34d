#include "daemon/agent.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "base/json.h"
#include "base/version.h"
#include "cage/cage.h"
#include "daemon/cages.h"
#include "daemon/discovery.h"
#include "daemon/programs.h"
#include "daemon/rest.h"
#include "daemon/slots.h"
#include "daemon/survey.h"
#include "planner/planner.h"
#include "runtime/clock.h"
#include "runtime/event_fd.h"
#include "runtime/files.h"
#include "runtime/log.h"
#include "runtime/queue.h"
#include "session/runner.h"
#include "telemetry/sampler.h"
#include "transfer/cache.h"
#include "transfer/delivery.h"
#include "transfer/image.h"
#include "transfer/renderers.h"
#include "update/updater.h"
#include "uplink/uplink.h"

namespace kiln::agent {

using namespace std::chrono_literals;

namespace {

constexpr std::size_t inbox_bound = 4'096;        // a farm's worst minute; drained within milliseconds
constexpr std::size_t inbox_reserve = 512;        // …of which this much is for what must not be lost
constexpr auto telemetry_every = 2s;              // protocol.md
constexpr std::int64_t host_every_ms = 10'000;    // protocol.md
constexpr int survey_rounds = 30;                 // a renderer that was installed is noticed within a minute
constexpr std::int64_t ask_again_ms = 15'000;     // the broker away this long: it may have moved
constexpr std::int64_t housekeeping_ms = 1'000;   // the watchdog waits sixty times as long
constexpr std::int64_t status_every_ms = 1'000;   // of the console's file
constexpr std::int64_t heard_within_ms = 10'000;  // a broker answers in milliseconds
constexpr auto goodbye = 2s;                      // for the broker to take our last words
// A box that was told to sleep is asleep within this, and one that was told to restart is gone; else it comes
// back to the broker. The clock goes on while it sleeps: whoever slept longer comes back at once.
constexpr std::int64_t asleep_within_ms = 20'000;
constexpr std::int64_t gone_within_ms = 90'000;
constexpr std::int64_t min_sleep_ms = 500;  // less is the two clocks' difference
constexpr auto alarm_within = 500ms;        // for the broker to take why we step back
constexpr std::uint64_t gib = 1ULL << 30;
// A frame and its log fit into what is left. The second ends the pressure, so that it does not flicker.
constexpr std::uint64_t disk_low_mib = 256;
constexpr std::uint64_t disk_fine_mib = 512;

// What reaches the owner's thread.
struct FromBroker {
  std::uint64_t line = 0;  // which connection said it: an older one's words are void
  planner::Fact fact;
};
struct FarmFound {
  Farm farm;
};
struct Unauthorized {};  // the controller no longer knows our secret
struct StandingSeen {
  Standing standing;
};
struct TelemetryTaken {
  telemetry::Sample sample;
};
struct RestCommandEnded {
  std::string trouble;
};
using Item = std::variant<planner::Fact, FromBroker, FarmFound, Unauthorized, StandingSeen, TelemetryTaken,
                          RestCommandEnded>;

// Frames and reports become safe on disk here, away from the owner's thread. Several at a time: what they
// wait for is mostly the disk's sync, which many share at the price of one.
class Journal {
 public:
  Journal(transfer::Delivery& delivery, std::filesystem::path data,
          std::function<void(planner::AttemptEnded)> on_ended)
      : delivery_(delivery), data_(std::move(data)), on_ended_(std::move(on_ended)) {
    for (auto& lane : lanes_) lane.thread = std::thread([this, &lane] { run(lane.queue); });
  }
  // What was handed over is still journalled.
  ~Journal() {
    for (auto& lane : lanes_) lane.queue.close();
    for (auto& lane : lanes_) lane.thread.join();
  }

  // The attempt is made for that farm, whichever answers when it has ended. From any thread, here and below.
  void started(const TaskId& task, std::uint32_t attempt, const std::string& farm) {
    const std::lock_guard lock(mutex_);
    farms_[{task, attempt}] = farm;
  }
  // It left nothing.
  void cancelled(const TaskId& task, std::uint32_t attempt) { (void)take_farm(task, attempt); }
  // Never waits. There is always room: no more attempts are held than a queue takes.
  void put(session::Outcome outcome) {
    auto farm = take_farm(outcome.task, outcome.attempt);
    const bool is_taken =
        lanes_.at(next_++ % lanes_.size()).queue.push({std::move(outcome), std::move(farm)});
    KILN_ASSERT(is_taken);
  }

 private:
  struct Ended {
    session::Outcome outcome;
    std::string farm;
  };
  struct Lane {
    runtime::Queue<Ended> queue{2 * payloads::max_tasks_listed};
    std::thread thread;
  };

  std::string take_farm(const TaskId& task, std::uint32_t attempt) {
    const std::lock_guard lock(mutex_);
    auto node = farms_.extract({task, attempt});
    return node.empty() ? std::string() : std::move(node.mapped());
  }

  void run(runtime::Queue<Ended>& queue) {
    while (true) {
      const auto all = queue.pop_all(-1ms);
      if (all.empty() && queue.is_closed()) return;
      for (const auto& one : all) on_ended_(store(one.outcome, one.farm));
    }
  }

  planner::AttemptEnded store(const session::Outcome& outcome, const std::string& farm) {
    planner::AttemptEnded ended{outcome.task, outcome.attempt, planner::Ending::journalled, std::nullopt};
    const auto stored =
        delivery_.put(outcome.task, outcome.attempt, outcome.report, outcome.folder, outcome.log, farm);
    if (stored) return ended;

    // The frames are given up for the room they take, so that at least the reason gets through.
    std::error_code ignored;
    if (!outcome.folder.empty()) std::filesystem::remove_all(outcome.folder, ignored);
    payloads::ResultReport report;
    report.node = outcome.report.node;
    report.failure.code = stored.error().code == Code::full ? "disk-full" : "disk-error";
    report.failure.message =
        fmt::format("the finished frames could not be kept: {}; look after the disk of {}",
                    stored.error().message, data_.string());
    if (!delivery_.put(outcome.task, outcome.attempt, report, {}, {}, farm)) {
      ended.ending = planner::Ending::lost;
    }
    ended.failure = report.failure;
    return ended;
  }

  transfer::Delivery& delivery_;
  const std::filesystem::path data_;
  const std::function<void(planner::AttemptEnded)> on_ended_;
  std::atomic<std::size_t> next_ = 0;
  std::mutex mutex_;
  std::map<std::pair<TaskId, std::uint32_t>, std::string> farms_;  // of those on a slot
  std::array<Lane, 4> lanes_;
};

// Calls it at once and then every `period`, on a thread of its own.
class Every {
 public:
  Every(std::chrono::milliseconds period, std::function<void()> call)
      : thread_([this, period, call = std::move(call)] {
          do {
            call();
          } while (!stop_.wait(period));
        }) {}
  ~Every() {
    stop_.set();
    thread_.join();
  }

 private:
  runtime::EventFd stop_;
  std::thread thread_;
};

std::vector<planner::Attempt> journalled(const transfer::Delivery& delivery) {
  std::vector<planner::Attempt> attempts;
  for (const auto& item : delivery.pending()) attempts.push_back({item.task, item.attempt});
  return attempts;
}

sigset_t stop_signals() {
  sigset_t stop;
  sigemptyset(&stop);
  for (const int number : {SIGTERM, SIGINT}) sigaddset(&stop, number);
  return stop;
}

// The program that job templates call; "" where it was not installed.
std::filesystem::path kiln_resident_beside_us() {
  std::error_code error;
  auto program = std::filesystem::read_symlink("/proc/self/exe", error).replace_filename("kiln-resident");
  if (!error && std::filesystem::exists(program, error)) return program;
  log::warn("agent", "{} is not there: job templates cannot use the Blender that stays open",
            program.string());
  return {};
}

void unblock_stop_signals() {
  const auto stop = stop_signals();
  KILN_ASSERT(::pthread_sigmask(SIG_UNBLOCK, &stop, nullptr) == 0);
}

}  // namespace

int block_stop_signals() {
  const auto stop = stop_signals();
  KILN_ASSERT(::pthread_sigmask(SIG_BLOCK, &stop, nullptr) == 0);
  const int fd = ::signalfd(-1, &stop, SFD_CLOEXEC | SFD_NONBLOCK);
  KILN_ASSERT(fd >= 0);
  return fd;
}

// In the order in which they are made; they end in the opposite one.
struct Agent::Parts {
  Parts(Config the_config, NodeId the_node, identity::Key the_key, StateFile the_state)
      : config_(std::move(the_config)),
        node_(std::move(the_node)),
        key_(std::move(the_key)),
        credentials_(node_, config_.data / ca_name),
        state_(std::move(the_state)),
        sampler_(sampler_config(config_)),
        hardware_(sampler_.hardware()),
        cache_(config_.data / "cache", config_.cache_gib * gib),
        renderers_(config_.data / "renderers", config_.renderers_gib * gib,
                   [this] { renderers_changed_.store(true); }),
        delivery_(
            config_.data / "journal",
            [this](const transfer::Delivered& one) {
              post(planner::Delivered{one.task, one.attempt, one.verdict, one.kept});
            },
            state_.farm()),
        journal_(delivery_, config_.data, [this](planner::AttemptEnded ended) { post(std::move(ended)); }),
        slots_(slots_of(config_, hardware_.gpus)),
        planner_(node_, slots_, state_.epoch(), journalled(delivery_), policy(config_, is_flashed_)),
        runner_(session_config()) {
    look_at_cages();
    away_since_ms_ = now_.mono_ms;
    discovery_.emplace(
        config_, node_, key_, credentials_,
        Discovery::Handlers{[this](const Farm& farm) { post(FarmFound{farm}); },
                            [this](const Standing& standing) { post_if_room(StandingSeen{standing}); }});
    // Told from a transfer's thread, which may outlive discovery: the inbox outlives both.
    const auto trust = credentials_.trust([this] { post_if_room(Unauthorized{}); });
    cache_.set_url(config_.controller, trust);
    renderers_.set_url(config_.controller, trust);
    delivery_.set_url(config_.controller, trust);
    images_.set_url(config_.controller, trust);
    if (is_flashed_) start_updater();
    watching_.emplace(telemetry_every, [this, survey = Survey(config_)]() mutable { watch(survey); });
  }

  void run(int signal_fd) {
    log::info("agent", "kiln-agent {} is {}: {} at a time, controller {}", version, node_.str(),
              slots_.count == 1 ? "one task" : fmt::format("{} tasks", slots_.count), config_.controller);
    ::sd_notify(0, "READY=1");
    std::array<pollfd, 2> waits{pollfd{inbox_.fd(), POLLIN, 0}, pollfd{signal_fd, POLLIN, 0}};
    while (!leaving_) {
      ::poll(waits.data(), waits.size(), until_next_ms());
      now_ = runtime::now();
      signalfd_siginfo caught{};
      while (::read(signal_fd, &caught, sizeof caught) == sizeof caught) asked_to_stop();
      for (auto& item : inbox_.pop_all(0ms)) {
        if (!leaving_) std::visit([this](auto& one) { on(one); }, item);
      }
      if (!leaving_) after_batch();
    }
    ::sd_notify(0, "STOPPING=1");
    send_tasks();
    if (uplink_ && connected_ && !uplink_->flush(goodbye))
      log::warn("agent", "the broker did not take our last words");
    uplink_.reset();
    unblock_stop_signals();  // whoever does not want to wait for the threads to end may ask once more
  }

 private:
  static telemetry::Config sampler_config(const Config& config) {
    telemetry::Config sampler;
    sampler.data_dir = config.data;
    sampler.sysfs = config.sysfs;
    return sampler;
  }

  // On a flashed box root takes requests for both.
  static planner::Policy policy(const Config& config, bool is_flashed) {
    planner::Policy policy;
    policy.may_reboot = is_flashed || !config.reboot.empty();
    policy.may_sleep = is_flashed || !config.sleep.empty();
    return policy;
  }

  void start_updater() {
    updater_.emplace(
        config_.data / "update", config_.box,
        update::Handlers{
            .fetch = [this](const auto& offer, const auto& file, const auto& cancelled,
                            const auto& progress) { return images_.fetch(offer, file, cancelled, progress); },
            .on_change = [this](const payloads::NodeUpdate& update) { post(planner::UpdateChanged{update}); },
            .deliver = [this](const std::string& boot,
                              std::string_view log) { return images_.deliver_boot_log(node_, boot, log); }});
  }

  session::Config session_config() {
    session::Config session;
    if (config_.cage.enabled) {
      session.cage = cage_config(config_, hardware_, slots_.with_gpu, slots_.count);
      session.cage->service = cage::find_service();
      log::info("agent", "each slot's tasks run in cages: {}{}", describe(*session.cage),
                session.cage->service.empty()
                    ? "; without systemd's control groups, bounds are kept by watching"
                    : "");
    } else {
      log::warn("agent",
                "[cage] enabled = false: tasks run as this agent does and see what it sees, its key too");
    }
    session.scratch = config_.data / "scratch";
    session.blender = config_.blender;
    session.slots = slots_.count;
    for (std::uint32_t slot = 0; slot < slots_.count; ++slot)
      session.slot_environment.push_back(slot_environment(hardware_.gpus, slots_.with_gpu, slot));
    session.fetch = [this](const std::string& manifest,
                           const std::function<bool()>& cancelled) -> Result<session::JobTree> {
      auto tree = cache_.fetch(manifest, cancelled);
      if (!tree) return fail(std::move(tree.error()));
      return session::JobTree{std::move(tree->root), std::move(tree->mappings), std::move(tree->hold)};
    };
    session.fetch_blob = [this](const std::string& digest, const std::function<bool()>& cancelled) {
      return cache_.fetch_blob(digest, payloads::max_document_bytes, cancelled);
    };
    session.fetch_inputs = [this](const TaskId& task,
                                  const std::function<bool()>& cancelled) -> Result<session::InputTree> {
      auto inputs = cache_.fetch_inputs(task, cancelled);
      if (!inputs) return fail(std::move(inputs.error()));
      auto& tree = inputs->tree;
      return session::InputTree{std::move(inputs->manifest),
                                {std::move(tree.root), std::move(tree.mappings), std::move(tree.hold)}};
    };
    session.fetch_renderer = [this](const payloads::Bundle& bundle,
                                    const std::function<bool()>& cancelled) -> Result<session::Program> {
      auto here = renderers_.fetch(bundle, cancelled);
      if (!here) return fail(std::move(here.error()));
      return session::Program{bundle.name, bundle.digest, std::move(here->folder), std::move(here->program),
                              std::move(here->hold)};
    };
    session.kiln_resident = kiln_resident_beside_us();
    session.on_progress = [this](const session::Progress& at) {
      post_if_room(planner::ProgressMade{at.task, at.attempt, at.phase, at.frame, at.percent, at.eta_s});
    };
    session.on_outcome = [this](session::Outcome outcome) {
      planner::AttemptEnded ended{outcome.task, outcome.attempt, planner::Ending::cancelled, std::nullopt};
      if (outcome.cancelled) {
        journal_.cancelled(outcome.task, outcome.attempt);
        return post(std::move(ended));
      }
      ended.ending = planner::Ending::rendered;
      if (!outcome.report.ok) ended.failure = outcome.report.failure;
      post(std::move(ended));
      outcome.report.node = node_;
      journal_.put(std::move(outcome));
    };
    return session;
  }

  // ---- from other threads ----------------------------------------------------------------------

  // What must not be lost: there is always room, since what may be lost stops short of the bound.
  void post(Item item) {
    if (!inbox_.push(std::move(item))) log::error("agent", "the agent is overrun and loses facts");
  }
  // What comes again by itself.
  void post_if_room(Item item) {
    if (inbox_.size() < inbox_bound - inbox_reserve) (void)inbox_.push(std::move(item));
  }

  // A box whose cages do not work takes no tasks until they do, or until it is told to do without.
  void look_at_cages() {
    if (!config_.cage.enabled) return;
    const auto works = cage::try_out(config_.data, cage::find_service());
    if (works.has_value() == works_) return;
    works_ = works.has_value();
    if (!works_) log::error("agent", "this box takes no tasks: {}", works.error().message);
    post(planner::CageTrouble{!works_,
                              works_ ? "cages for tasks work again"
                                     : fmt::format("this box takes no tasks: {}", works.error().message)});
  }

  // What the watching thread knows.
  struct Survey {
    explicit Survey(const Config& config) : programs(config) {}
    int round = 0;
    Programs programs;
    std::string mac;
  };

  void watch(Survey& survey) {
    const bool is_due = survey.round % survey_rounds == 0;
    if (is_due) {
      if (!works_) look_at_cages();  // an installation needs no restart
      survey.programs.look();
      if (!survey.programs.has_blender() && survey.round == 0)
        log::warn("agent", "{}", no_renderer(config_.blender));
      // A network that comes late, or another card: asked again as long as there is none.
      if (survey.mac.empty()) survey.mac = mac_towards(host_of(config_.controller), config_.sysfs);
    }
    if (renderers_changed_.exchange(false) || is_due) {
      post_if_room(planner::InfoChanged{describe(config_, sampler_.hardware(), survey.programs.found(),
                                                 survey.mac, {renderers_.held(), renderers_.room_mib()})});
    }
    ++survey.round;
    auto sample = sampler_.sample(runtime::now().unix_ms / 1000);
    const bool is_low = sample.host.disk_total_mib > 0 && sample.host.disk_free_mib < disk_low_mib;
    if (is_low)
      (void)delivery_.drop_oldest_kept();  // one a round: the next sample says whether it was enough
    post_if_room(TelemetryTaken{std::move(sample)});
  }

  // ---- on the owner's thread -------------------------------------------------------------------

  void asked_to_stop() {
    if (!is_stopping_) {
      log::info("agent", "asked to stop: work has a few seconds to finish; ask again to stop at once");
    }
    is_stopping_ = true;
    step(planner::StopAsked{});
  }

  void on(const planner::Fact& fact) {
    if (std::holds_alternative<planner::ProgressMade>(fact) ||
        std::holds_alternative<planner::AttemptEnded>(fact)) {
      look_at_warm_ = true;
    }
    step(fact);
  }

  void on(const FromBroker& item) {
    if (item.line != line_) return;
    if (std::holds_alternative<planner::BrokerConnected>(item.fact)) {
      connected_ = true;
      away_since_ms_.reset();
      host_due_ms_ = 0;
      heard_by_ms_ = now_.mono_ms + heard_within_ms;
      log::info("agent", "connected to the broker at {}", Endpoint{broker_->host, broker_->port}.str());
      delivery_.poke();
    } else if (std::holds_alternative<planner::BrokerLost>(item.fact)) {
      connected_ = false;
      if (!away_since_ms_) away_since_ms_ = now_.mono_ms;
      heard_by_ms_.reset();
    } else if (const auto* echo = std::get_if<planner::StatusSeen>(&item.fact)) {
      if (!echo->retained) {
        heard_by_ms_.reset();
        mute_.clear();
      }
    } else if (const auto* seen = std::get_if<planner::ControllerSeen>(&item.fact)) {
      if (seen->status.online && !seen->status.farm.empty()) meet(seen->status.farm);
      tell_controller(seen->status);
    }
    step(item.fact);
    if (connected_ && !rest_trouble_.empty()) step(planner::RestFailed{std::exchange(rest_trouble_, {})});
  }

  void on(const FarmFound& item) {
    const auto& farm = item.farm;
    if (!connected_) away_since_ms_ = now_.mono_ms;
    meet(farm.id);
    log::info("agent", "controller {} runs farm {}, version {}", config_.controller, farm.id, farm.version);
    uplink::Config broker;
    broker.node = node_;
    broker.host = farm.broker.host;
    broker.port = farm.broker.port;
    broker.username = farm.broker.username;
    broker.password = farm.broker.password;
    if (config_.mqtt) {
      broker.host = config_.mqtt->host;
      broker.port = config_.mqtt->port;
    }
    if (farm.broker.is_tls) broker.ca_file = credentials_.ca_file();
    if (!farm.broker.certificate.empty()) {
      broker.key_file = config_.data / key_name;
      broker.certificate_file = config_.data / "node.pem";
      const auto written = runtime::write_file_atomically(broker.certificate_file, farm.broker.certificate);
      if (!written) log::error("agent", "{}", written.error().message);
    }
    broker_ = std::move(broker);
    if (return_at_ms_) return;  // it rests, and comes back with these
    connect();
  }

  void on(const Unauthorized&) { discovery_->again(); }

  void on(const StandingSeen& item) {
    standing_ = item.standing;
    write_status();
  }

  // Epochs count within a farm: another one's first is as good as any.
  void meet(const std::string& farm) {
    delivery_.set_farm(farm);
    if (farm == state_.farm()) return;
    if (!state_.farm().empty()) log::warn("agent", "the controller's farm is another one now: {}", farm);
    if (auto stored = state_.set_farm(farm); !stored) log::error("agent", "{}", stored.error().message);
    step(planner::FarmChanged{});
  }

  void on(const TelemetryTaken& item) {
    const auto& sample = item.sample;
    if (sample.trouble != sensor_trouble_) {
      sensor_trouble_ = sample.trouble;
      if (!sensor_trouble_.empty()) log::warn("agent", "{}", sensor_trouble_);
    }
    temp_c_ = sample.host.cpu_temp_c;
    for (const auto& [index, gpu] : sample.gpus) {
      if (gpu.temp_c && (!temp_c_ || *gpu.temp_c > *temp_c_)) temp_c_ = gpu.temp_c;
    }
    if (sample.host.disk_total_mib > 0) look_at_disk(sample.host.disk_free_mib);
    if (!uplink_ || !connected_) return;  // rule 11
    uplink_->publish(sample.gpus);
    if (now_.mono_ms < host_due_ms_) return;
    host_due_ms_ = now_.mono_ms + host_every_ms;
    uplink_->publish(sample.host);
  }

  void on(const RestCommandEnded& item) {
    if (!rest_ || item.trouble.empty()) return;  // it sleeps or goes down by and by
    end_rest(item.trouble);
    return_at_ms_ = now_.mono_ms;
  }

  void look_at_disk(std::uint64_t free_mib) {
    if (free_mib < disk_low_mib) {
      step(planner::DiskPressure{
          true,
          fmt::format(
              "only {} MiB are free for {}: free some, or lower cache_gib (it is {}); until {} MiB are free "
              "this box takes no tasks",
              free_mib, config_.data.string(), config_.cache_gib, disk_fine_mib)});
    } else if (free_mib >= disk_fine_mib) {
      step(planner::DiskPressure{
          false, fmt::format("{} MiB are free for {} again", free_mib, config_.data.string())});
    }
  }

  void tell_controller(const payloads::ControllerStatus& status) {
    if (controller_online_ == status.online) return;
    controller_online_ = status.online;
    if (status.online) {
      log::info("agent", "the controller is online: version {}, epoch {}", status.version, status.epoch);
      delivery_.poke();
    } else {
      log::warn("agent", "the controller is offline; this box goes on with what it has");
    }
  }

  void connect() {
    disconnect();
    if (!broker_) return;
    away_since_ms_ = now_.mono_ms;
    const auto from_broker = [this, line = line_](planner::Fact fact) {
      const bool is_line = std::holds_alternative<planner::BrokerConnected>(fact) ||
                           std::holds_alternative<planner::BrokerLost>(fact);
      // A command is sent again until the inventory shows it (rule 7).
      is_line ? post(FromBroker{line, std::move(fact)}) : post_if_room(FromBroker{line, std::move(fact)});
    };
    uplink_ = std::make_unique<uplink::Uplink>(
        *broker_,
        uplink::Handlers{.raise_sid = [this] { return state_.raise_sid(); },
                         .on_fact = from_broker,
                         .on_trouble = [](const std::string& reason) { log::warn("agent", "{}", reason); }});
  }

  void disconnect() {
    ++line_;
    uplink_.reset();
    return_at_ms_.reset();
    tasks_.reset();
    if (std::exchange(connected_, false)) step(planner::BrokerLost{});
  }

  void step(const planner::Fact& fact) {
    for (auto& effect : planner::step(planner_, now_, fact)) {
      std::visit([this](auto& one) { carry_out(one); }, effect);
    }
  }

  // ---- effects ---------------------------------------------------------------------------------

  void carry_out(const planner::StoreEpoch& effect) {
    if (auto stored = state_.set_epoch(effect.epoch); !stored)
      log::error("agent", "{}", stored.error().message);
  }
  void carry_out(const planner::PublishStatus& effect) {
    send_tasks();  // the last inventory comes before the last status
    if (uplink_) uplink_->publish(effect);
  }
  void carry_out(planner::PublishTasks& effect) {
    running_ = effect.tasks.run;
    tasks_ = std::move(effect);
  }  // the last of a batch is enough
  void carry_out(const planner::PublishInfo& effect) {
    if (uplink_) uplink_->publish(effect);
  }
  void carry_out(const planner::PublishProgress& effect) {
    if (uplink_) uplink_->publish(effect);
  }
  void carry_out(const planner::PublishEvent& effect) {
    tell(effect.event);
    if (uplink_) uplink_->publish(effect);
  }
  void carry_out(const planner::PublishAck& effect) {
    if (!effect.ack.ok) log::warn("agent", "command {} was refused: {}", effect.ack.cid, effect.ack.message);
    if (uplink_) uplink_->publish(effect);
  }
  void carry_out(const planner::Reconnect& effect) {
    state_.skip_sid(effect.above_sid);
    if (effect.after_ms > 0) {
      if (uplink_) (void)uplink_->flush(alarm_within);  // so that the alarm is heard
      disconnect();
      return_at_ms_ = now_.mono_ms + effect.after_ms;
      log::warn("agent", "this box leaves the broker alone for {} s", effect.after_ms / 1000);
    } else if (uplink_) {
      uplink_->reconnect();
    }
  }
  void carry_out(const planner::StartTask& effect) {
    log::info("agent", "{} starts on slot {}: attempt {}, frames {}", effect.run.task.str(), effect.slot,
              effect.run.attempt, effect.run.frames.str());
    journal_.started(effect.run.task, effect.run.attempt, state_.farm());
    runner_.start(effect.run, effect.slot);
  }
  void carry_out(const planner::Prefetch& effect) { runner_.prefetch(effect.run); }
  void carry_out(const planner::CancelAttempt& effect) {
    log::info("agent", "{} is cancelled: attempt {}", effect.task.str(), effect.attempt);
    runner_.cancel(effect.task, effect.attempt);
  }
  void carry_out(const planner::Reboot&) {
    if (updater_) updater_->restarting();
    rest("restart", config_.reboot, "reboot", gone_within_ms);
  }
  void carry_out(const planner::Sleep&) { rest("sleep", config_.sleep, "suspend", asleep_within_ms); }
  void carry_out(const planner::PublishUpdate& effect) {
    if (uplink_) uplink_->publish(effect);
  }
  void carry_out(const planner::OfferUpdate& effect) {
    if (updater_) updater_->offer(effect.offer);
  }
  void carry_out(const planner::WithdrawUpdate& effect) {
    if (updater_) updater_->withdraw(effect.rollout);
  }
  void carry_out(const planner::Remark& effect) { tell(effect.event); }
  void carry_out(const planner::Exit&) { leaving_ = true; }

  // Away from the broker in good order, and back unless the box goes down. `request`: to root, where the
  // settings name no command.
  void rest(const char* what, const std::vector<std::string>& command, const char* request,
            std::int64_t within_ms) {
    log::info("agent", "this box is told to {}: {}", what,
              command.empty() ? "root is asked" : fmt::format("{}", fmt::join(command, " ")));
    if (uplink_ && !uplink_->flush(goodbye)) log::warn("agent", "the broker did not take our leave");
    disconnect();
    rest_ = Rest{what, slept_ms(), within_ms};
    return_at_ms_ = now_.mono_ms + within_ms;
    if (command.empty()) {
      const auto asked = update::request(config_.box, request);
      if (!asked) post(RestCommandEnded{asked.error().message});
      return;
    }
    rest_command_.emplace(command,
                          [this](std::string trouble) { post(RestCommandEnded{std::move(trouble)}); });
  }
  void end_rest(const std::string& trouble) {
    if (!rest_) return;
    if (!trouble.empty()) {
      rest_trouble_ = fmt::format("this box was told to {}, which came to nothing: {}", rest_->what, trouble);
      log::warn("agent", "{}", rest_trouble_);
      if (updater_) updater_->stays_up();
    }
    rest_.reset();
  }
  void come_back() {
    if (rest_) {
      const bool has_slept = slept_ms() - rest_->slept_ms >= min_sleep_ms;
      end_rest(has_slept ? std::string() : fmt::format("it is still up {} s later", rest_->within_ms / 1000));
    }
    connect();
  }

  static void tell(const payloads::NodeEvent& event) {
    const bool is_fine = event.kind == "started" || event.kind == "broker-back" || event.kind == "disk-back";
    log::write(
        is_fine ? log::Level::info : log::Level::warn, "agent",
        fmt::format("{}: {}{}{}", event.kind, event.task, event.task.empty() ? "" : ": ", event.message),
        {{"EVENT", event.kind}, {"TASK", event.task}});
  }
  void send_tasks() {
    if (uplink_ && tasks_) uplink_->publish(*tasks_);
    tasks_.reset();
  }

  // ---- between two batches ---------------------------------------------------------------------

  void after_batch() {
    if (look_at_warm_) step(planner::WarmChanged{runner_.warm()});
    look_at_warm_ = false;
    if (const auto due = planner_.next_due(); due && now_.mono_ms >= *due) step(planner::Tick{});
    if (return_at_ms_ && now_.mono_ms >= *return_at_ms_) come_back();
    if (away_since_ms_ && now_.mono_ms >= *away_since_ms_ + ask_again_ms) {
      away_since_ms_ = now_.mono_ms;
      if (discovery_) discovery_->again();
    }
    if (heard_by_ms_ && now_.mono_ms >= *heard_by_ms_) unheard();
    send_tasks();
    if (now_.mono_ms >= status_due_ms_) write_status();
    tell_systemd();
  }

  // MQTT 3.1.1 refuses a message in silence.
  void unheard() {
    heard_by_ms_.reset();
    mute_ =
        "the broker takes this box's connection but not its words: its account may not write to its own "
        "topics; a "
        "new one is asked for";
    log::error("agent", "{}", mute_);
    discovery_->again();
    write_status();
  }

  // For the console of the box; whoever else may read the folder.
  void write_status() {
    status_due_ms_ = now_.mono_ms + status_every_ms;
    if (config_.status_file.empty()) return;
    Json running(Json::Array{});
    for (const auto& run : running_) {
      running.push(Json::object(
          {{"job", run.task.job.str()}, {"frame", std::int64_t{run.frame}}, {"percent", run.percent}}));
    }
    const bool is_in = standing_.state == "approved";
    auto json = Json::object({{"id", node_.str()},
                              {"name", config_.name.empty() ? host_name() : config_.name},
                              {"fingerprint", identity::fingerprint_of_key(key_.public_key())},
                              {"controller", config_.controller},
                              {"ca_fingerprint", standing_.ca_fingerprint},
                              {"state", is_in ? (connected_ ? "online" : "offline") : standing_.state},
                              {"message", !mute_.empty() ? mute_ : standing_.message},
                              {"running", std::move(running)}});
    if (temp_c_) json.set("temp_c", *temp_c_);
    auto text = json.dump() + "\n";
    if (text == status_written_) return;
    if (runtime::write_file_atomically(config_.status_file, text)) status_written_ = std::move(text);
  }

  [[nodiscard]] int until_next_ms() const {
    std::int64_t due = now_.mono_ms + housekeeping_ms;
    if (const auto planner_due = planner_.next_due()) due = std::min(due, *planner_due);
    return static_cast<int>(std::clamp<std::int64_t>(due - runtime::now().mono_ms, 0, housekeeping_ms));
  }

  void tell_systemd() {
    if (!is_under_systemd_ || now_.mono_ms < systemd_due_ms_) return;
    systemd_due_ms_ = now_.mono_ms + housekeeping_ms;
    ::sd_notifyf(0, "WATCHDOG=1\nSTATUS=%s; %zu running, %zu queued, %zu to deliver",
                 connected_ ? "connected" : "without a broker", planner_.running(), planner_.queued(),
                 planner_.delivering());
  }

  const Config config_;
  const NodeId node_;
  const identity::Key key_;
  Credentials credentials_;
  StateFile state_;
  Instant now_ = runtime::now();
  runtime::Queue<Item> inbox_{inbox_bound};

  telemetry::Sampler sampler_;
  const bool is_flashed_ = !update::image_version(config_.box).empty();
  const telemetry::Hardware hardware_;  // at start: it decides the slots
  transfer::Cache cache_;
  std::atomic<bool> renderers_changed_ = false;
  transfer::Renderers renderers_;
  transfer::Delivery delivery_;
  transfer::ImageFetcher images_;
  Journal journal_;
  const planner::Slots slots_;
  planner::State planner_;
  session::Runner runner_;

  std::optional<uplink::Config> broker_;
  Standing standing_{"searching", "", ""};
  std::string status_written_;
  std::optional<std::int64_t> heard_by_ms_;  // our own status must have come back by then
  std::uint64_t line_ = 0;                   // counts the connections' lives, see FromBroker
  std::unique_ptr<uplink::Uplink> uplink_;
  std::optional<planner::PublishTasks> tasks_;  // of this batch
  bool connected_ = false;
  std::optional<std::int64_t>
      away_since_ms_;  // without a broker since, or since the controller was asked again
  std::optional<std::int64_t> return_at_ms_;  // stepped back from the broker until then
  // Told to restart or to sleep.
  struct Rest {
    const char* what = "";
    std::int64_t slept_ms = 0;  // by then
    std::int64_t within_ms = 0;
  };
  std::optional<Rest> rest_;
  std::string rest_trouble_;  // for when somebody hears it
  std::optional<bool> controller_online_;
  std::string sensor_trouble_;
  bool look_at_warm_ = false;
  std::vector<payloads::HeldTask> running_;  // as it was told last
  std::string mute_;                         // connected, but not heard
  std::optional<double> temp_c_;             // the hottest of this box
  std::int64_t status_due_ms_ = 0;
  bool is_stopping_ = false;
  bool leaving_ = false;
  std::int64_t host_due_ms_ = 0;
  const bool is_under_systemd_ = std::getenv("NOTIFY_SOCKET") != nullptr;
  std::int64_t systemd_due_ms_ = 0;

  bool works_ = true;  // cages do; the watching thread's once there is one

  std::optional<Discovery> discovery_;
  std::optional<Every> watching_;
  std::optional<update::Updater> updater_;  // of a flashed box
  std::optional<RestCommand> rest_command_;
};

Agent::Agent(Config config, NodeId node, identity::Key key, StateFile state)
    : parts_(std::make_unique<Parts>(std::move(config), std::move(node), std::move(key), std::move(state))) {}
Agent::~Agent() = default;

void Agent::run(int signal_fd) {
  parts_->run(signal_fd);
}

}  // namespace kiln::agent
