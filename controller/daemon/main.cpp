// kiln-controller: wires the rooms by hand. The order of construction is the order of start; destruction goes
// the other way, so that nobody is told of things by somebody who is gone.
#include <fmt/core.h>
#include <systemd/sd-daemon.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <optional>
#include <random>
#include <set>
#include <thread>

#include "api/api.h"
#include "api/requests.h"
#include "base/version.h"
#include "daemon/adapters.h"
#include "daemon/broker_users.h"
#include "daemon/config.h"
#include "daemon/farm_thread.h"
#include "daemon/housekeeping.h"
#include "daemon/live_view.h"
#include "daemon/maintenance.h"
#include "daemon/server_identity.h"
#include "daemon/type_folder.h"
#include "daemon/updates.h"
#include "enrollment/enrollment.h"
#include "fleet/broker.h"
#include "fleet/link.h"
#include "fleet/wake.h"
#include "http/server.h"
#include "identity/bytes.h"
#include "runtime/clock.h"
#include "runtime/files.h"
#include "runtime/log.h"
#include "runtime/queue.h"
#include "store/accounts.h"
#include "store/keyring.h"
#include "store/rollouts.h"
#include "store/store.h"

namespace kiln::controller {
namespace {

constexpr std::uint64_t mib = 1024 * 1024;
constexpr std::int64_t addresses_every_ms = 15'000;
constexpr std::size_t requests_waiting =
    256;  // over MQTT; beyond, the sender gets no answer and repeats (rule 12)

std::uint32_t random_number() {
  static thread_local std::random_device device;
  return device();
}

std::string random_id() {
  std::string id;
  for (int i = 0; i < 2; ++i) id += fmt::format("{:08x}", random_number());
  return id;
}

std::string one_line(const std::string& path) {
  auto text = runtime::read_file(path, 4096);
  if (!text) return "";
  return text->substr(0, text->find('\n'));
}

// The address under which this machine's own programs reach the API; nodes go by the one they were given.
std::string own_url(const Config& config, std::uint16_t port) {
  const bool is_wildcard = config.http.host == "0.0.0.0" || config.http.host == "::";
  return "http://" + Endpoint{is_wildcard ? "127.0.0.1" : config.http.host, port}.str();
}

// MQTT requests one after another, off the MQTT thread: each may wait for the farm.
class RequestDesk {
 public:
  RequestDesk(api::Api& api, std::function<void(const fleet::RequestSeen&, payloads::Response)> respond)
      : api_(api), respond_(std::move(respond)), queue_(requests_waiting), thread_([this] { run(); }) {}
  ~RequestDesk() {
    queue_.close();
    thread_.join();
  }
  void take(fleet::RequestSeen request) {
    if (!queue_.push(std::move(request))) log::warn("fleet", "a request is dropped: too many are waiting");
  }

 private:
  void run() {
    for (;;) {
      const auto requests = queue_.pop_all(std::chrono::milliseconds(-1));
      if (requests.empty()) return;
      for (const auto& request : requests) {
        respond_(request, api::handle_request(api_, request.user, request.verb, request.request));
      }
    }
  }

  api::Api& api_;
  std::function<void(const fleet::RequestSeen&, payloads::Response)> respond_;
  runtime::Queue<fleet::RequestSeen> queue_;
  std::thread thread_;
};

void wake(const scheduler::WakeNode& sleeper) {
  if (const auto sent = fleet::send_magic_packet(sleeper.mac); !sent) {
    log::warn("fleet", "while waking {}: {}", sleeper.node.str(), sent.error().message);
    return;
  }
  log::info("fleet", "waking {} ({})", sleeper.node.str(), sleeper.mac);
}

// A database that cannot say so keeps both frames.
files::Results::IsAnothers names_of(store::Store& store, const scheduler::AcceptFiles& accept) {
  return [&store, &accept](const std::string& path) {
    const auto is_anothers = store.is_of_another_task(accept.task, path);
    return !is_anothers || *is_anothers;
  };
}

// A farm under way when the last run ended: its attempts' files are brought to where the database says they
// are. Returns those that the disk refuses for now.
Result<std::vector<scheduler::AcceptFiles>> accept_again(store::Store& store, files::Results& results) {
  auto unmoved = store.unmoved();
  if (!unmoved) return unmoved;
  std::vector<scheduler::AcceptFiles> refused;
  for (const auto& accept : *unmoved) {
    if (auto moved = results.accept(accept, names_of(store, accept)); !moved) {
      log::error("files", "while moving the frames of {}: {}", accept.task.str(), moved.error().message);
      refused.push_back(accept);
    }
  }
  return refused;
}

// Uploads of attempts that nobody can accept any more. Those of open tasks stay: their node may still commit.
// Those of a job that has a folder but no row stay: an older database was put in place (a deleted job's
// folder is gone). Those of accepted attempts that could not be moved yet are frames that are done: they stay
// at all costs.
Status drop_stray_uploads(const std::vector<scheduler::AcceptFiles>& unmoved, const files::Layout& layout,
                          const files::Results& results, const scheduler::FarmState& state) {
  std::set<std::pair<TaskId, std::uint32_t>> kept;
  for (const auto& accept : unmoved) kept.emplace(accept.task, accept.attempt);
  const auto incoming = results.incoming();
  if (!incoming) return fail(incoming.error());
  for (const auto& attempt : *incoming) {
    if (kept.contains({attempt.task, attempt.attempt})) continue;
    const auto* job = state.job(attempt.task.job);
    std::error_code ignored;
    if (job == nullptr && std::filesystem::exists(layout.job(attempt.task.job), ignored)) continue;
    const bool is_open = job != nullptr && (job->state == scheduler::JobState::active ||
                                            job->state == scheduler::JobState::paused);
    const auto task_state = is_open ? state.task(attempt.task).state : scheduler::TaskState::done;
    if (task_state != scheduler::TaskState::done) continue;
    if (auto dropped = results.drop(attempt.task, attempt.attempt); !dropped) return dropped;
  }
  return {};
}

// The alarm about them: frames that a job still counts on. Finished frames are for people to take away.
std::string say_missing(const MissingFiles& missing) {
  if (missing.of_ended_jobs > 0) {
    log::info("files", "{} frames of jobs that have ended are not in their folders any more ({})",
              missing.of_ended_jobs, missing.first);
  }
  if (missing.of_open_jobs == 0) return "";
  const auto text = fmt::format(
      "{} frames are done but their files are gone ({}): put them back, or cancel and submit the job again",
      missing.of_open_jobs, missing.first);
  log::error("files", "{}", text);
  return text;
}

// What a box is told that may join.
enrollment::FarmFacts farm_facts(const Config& config, const store::Store& store,
                                 const identity::Authority& authority) {
  enrollment::FarmFacts facts;
  facts.farm = store.farm_id();
  facts.version = version;
  facts.has_accounts = config.embedded_broker;
  facts.reserved = {fleet::controller_name, fleet::viewer_name};
  if (!config.embedded_broker) facts.broker.host = config.mqtt.host;
  facts.broker.port = config.mqtt.port;
  facts.broker.is_tls = config.embedded_broker || config.broker_knows_certificates;
  if (config.broker_knows_certificates) {
    facts.certificate = [&authority](const std::string& key, const NodeId& node) {
      return authority.issue_client(key, node.str());
    };
  }
  return facts;
}

std::vector<fleet::Account> broker_accounts(const enrollment::Enrollment& enrollment, const std::string& own,
                                            const std::string& viewers) {
  std::vector<fleet::Account> accounts{fleet::controller_account(), fleet::viewer_account()};
  fleet::set_password(accounts[0], own);
  fleet::set_password(accounts[1], viewers);
  for (auto& secret : enrollment.broker_secrets()) {
    auto account = fleet::node_account(secret.node);
    account.salt = std::move(secret.salt);
    account.hash = std::move(secret.hash);
    accounts.push_back(std::move(account));
  }
  return accounts;
}

// The secret in that file, made at the first start; for people to read, and nobody else.
Result<std::string> load_secret(const std::filesystem::path& file) {
  if (auto made = runtime::make_folders(file.parent_path()); !made) return fail(std::move(made.error()));
  auto secret = one_line(file);
  if (!secret.empty()) return secret;
  secret = identity::random_secret();
  if (auto written = runtime::write_file_atomically(file, secret + "\n", 0600); !written)
    return fail(std::move(written.error()));
  return secret;
}

// For a broker that knows its users by the farm's certificates.
Result<std::string> write_own_certificate(const ServerIdentity& identity) {
  const auto file = identity.ca_file().parent_path() / "controller.pem";
  const auto pem = identity.authority().issue_client(identity.public_key(), fleet::controller_name);
  if (auto written = runtime::write_file_atomically(file, pem); !written)
    return fail(std::move(written.error()));
  return file.string();
}

bool has_administrator(store::Accounts& book) {
  const auto users = book.users();
  return !users || std::any_of(users->begin(), users->end(), accounts::can_let_others_in);
}

Status run(const Config& config, const sigset_t& signals) {
  if (auto made = runtime::make_folders(config.data); !made) return made;
  const auto data = std::filesystem::absolute(config.data).lexically_normal();
  const files::Layout layout(data);
  if (auto created = layout.create(); !created) return created;

  auto store = store::Store::open(layout.database(), random_id());
  if (!store) return fail(std::move(store.error()));
  const auto epoch = store->raise_epoch();
  if (!epoch) return fail(epoch.error());
  auto rows = store->load();
  if (!rows) return fail(std::move(rows.error()));
  auto reader = store::Reader::open(layout.database());
  if (!reader) return fail(std::move(reader.error()));

  auto keyring = store::Keyring::open(data / "nodes.db");
  if (!keyring) return fail(std::move(keyring.error()));
  auto identity = ServerIdentity::open(data / "tls", config.http_names);
  if (!identity) return fail(std::move(identity.error()));
  auto tls = http::TlsContext::make(identity->certificate(), identity->private_key());
  if (!tls) return fail(std::move(tls.error()));

  const auto viewer_password = load_secret(data / "broker" / "viewer.password");
  if (!viewer_password) return fail(viewer_password.error());
  auto book = store::Accounts::open(layout.accounts());
  if (!book) return fail(std::move(book.error()));
  if (!config.trust_loopback && !has_administrator(**book))
    log::warn("accounts",
              "nobody can change anything here: [accounts] trust_loopback is false and there is no "
              "administrator who can log in; set it to true, add one (kiln user add NAME --role "
              "administrator), and set it back");

  files::Blobs blobs(layout);
  files::Results results(layout);
  files::Thumbnails thumbnails(layout);
  auto unmoved = accept_again(*store, results);
  if (!unmoved) return fail(std::move(unmoved.error()));

  scheduler::Policy policy;
  policy.grace_ms = std::int64_t{config.grace_s} * 1000;
  policy.max_failures = config.max_failures;
  policy.soft_c = config.soft_c;
  policy.hard_c = config.hard_c;
  policy.tail_factor = config.tail_factor;
  const Instant started = runtime::now();
  scheduler::FarmState state(policy, *rows, started);
  if (auto dropped = drop_stray_uploads(*unmoved, layout, results, state); !dropped) return dropped;
  log::info("controller", "Kiln {} on {}: {} jobs, {} nodes known, epoch {}", version, data.string(),
            rows->jobs.size(), rows->nodes.size(), *epoch);

  FarmThread farm(std::move(state), std::move(*unmoved));
  LiveView live([&farm] { return farm.summary(); });
  DatabaseReader database(*reader);
  DiskStorage storage(layout, blobs, results, thumbnails, config.min_free_mib * mib);
  const PageAssets assets;
  api::EventRing events(random_id());
  api::Broadcaster broadcaster(events, live,
                               [&storage](const JobId& job) { return storage.output_dir(job); });
  std::atomic<fleet::Link*> link_now = nullptr;  // while there is one
  const auto with_link = [&link_now](const std::function<Status(fleet::Link&)>& act) -> Status {
    auto* link = link_now.load();
    if (link == nullptr) return fail(Code::unavailable, "the controller is just starting; ask again");
    return act(*link);
  };
  auto enrollment = enrollment::Enrollment::open(
      **keyring, farm_facts(config, *store, identity->authority()),
      {.now_ms = [] { return runtime::now().unix_ms; },
       .admit =
           [&with_link](const NodeId& node, const std::string& password) {
             return with_link(
                 [&](fleet::Link& link) { return link.admit(fleet::node_account(node), password); });
           },
       .expel =
           [&](const NodeId& node) {
             if (!config.embedded_broker)
               return;  // its sessions end with its certificate, or its own accounts
             const auto gone = with_link([&](fleet::Link& link) { return link.expel(node.str()); });
             if (!gone) log::error("fleet", "while {} is shut out: {}", node.str(), gone.error().message);
           },
       .forget =
           [&farm](const NodeId& node) {
             farm.post(scheduler::ForgetNode{0, node, true});
           },
       .on_change = [&events] { events.publish("enrollments", Json::object({})); }},
      {.admits_loopback = config.admits_loopback});
  if (!enrollment) return fail(std::move(enrollment.error()));
  // A connection of its own: the other one is the enrollment's.
  auto user_keyring = store::Keyring::open(data / "nodes.db");
  if (!user_keyring) return fail(std::move(user_keyring.error()));
  BrokerUsers broker_users(
      **user_keyring, **book,
      {.admit =
           [&](const fleet::Account& account, const std::string& password) {
             return with_link([&](fleet::Link& link) { return link.admit(account, password); });
           },
       .expel =
           [&](const std::string& username) {
             return with_link([&](fleet::Link& link) { return link.expel(username); });
           }});
  auto rollouts = store::Rollouts::open(data / "updates.db");
  if (!rollouts) return fail(std::move(rollouts.error()));
  auto updates = Updates::open(
      data / "images", **rollouts, config.min_free_mib * mib,
      {.nodes = [&database] { return database.nodes(); },
       .live = [&live](const NodeId& node) { return live.node(node); },
       .send =
           [&with_link](const NodeId& node, payloads::Command command) {
             (void)with_link([&](fleet::Link& link) -> Status {  // said again until it has an effect
               link.send(node, std::move(command));
               return {};
             });
           },
       .edit = [&farm](scheduler::EditNode edit) { farm.post(std::move(edit)); },
       .on_change =
           [&](const rollout::Rollout& rollout) {
             events.publish("rollout", api::to_json(rollout, true));
             broadcaster.set_alarm("rollout", rollout.state == rollout::State::halted
                                                  ? fmt::format("the update to {} is halted: {}",
                                                                rollout.plan.version, rollout.reason)
                                                  : "");
           }});
  if (!updates) return fail(std::move(updates.error()));
  http::Counters counters;
  api::Settings settings;
  settings.mqtt_is_tls = config.embedded_broker || config.broker_knows_certificates;
  settings.ca_certificate = identity->authority().certificate();
  if (config.embedded_broker) settings.viewer_password = *viewer_password;
  settings.ca_fingerprint = identity->authority().fingerprint();
  settings.farm = store->farm_id();
  settings.mqtt_port = config.mqtt.port;
  if (!config.embedded_broker) settings.mqtt_host = config.mqtt.host;
  settings.data_dir = data.string();
  settings.soft_c = config.soft_c;
  settings.hard_c = config.hard_c;
  settings.trust_loopback = config.trust_loopback;
  settings.max_file_bytes = config.max_file_mib * mib;
  settings.attempt_floor = rows->attempt_floor;
  api::Api api{farm,   database,    live,     storage,  assets,        **book,
               events, broadcaster, counters, settings, random_number, [] { return runtime::now(); },
               started};
  api.enrollment = enrollment->get();
  api.updates = updates->get();
  if (config.embedded_broker) {
    api.on_token = [&broker_users](const auto& token, const auto& secret) {
      broker_users.token_made(token, secret);
    };
    api.on_token_gone = [&broker_users](const auto& token) { broker_users.token_gone(token); };
  }
  api.node_of = [&enrollment](std::string_view id, std::string_view secret) -> std::optional<NodeId> {
    auto node = NodeId::parse(id);
    if (!node || !(*enrollment)->is_node(*node, secret)) return std::nullopt;
    return std::move(*node);
  };
  if (!config.types.empty()) api.own_types = [folder = config.types] { return read_types(folder); };

  http::Config http;
  http.address = config.http.host;
  http.port = config.http.port;
  http.head.names.insert(http.head.names.end(), config.http_names.begin(), config.http_names.end());
  http.counters = &counters;
  http.tls = *tls;
  http.on_complaint = [](const std::string& text) { log::warn("http", "{}", text); };
  auto server = http::Server::start(http, api::make_router(api));
  if (!server) return fail(std::move(server.error()));
  const auto url = own_url(config, (*server)->port());

  // Ours is new at every start: nobody else needs it.
  const auto broker_password = std::make_unique<const std::string>(identity::random_secret());
  std::optional<fleet::Broker> broker;
  if (config.embedded_broker) {
    fleet::BrokerConfig mosquitto;
    mosquitto.folder = data / "broker";
    mosquitto.host = config.mqtt.host;
    mosquitto.port = config.mqtt.port;
    mosquitto.ca_file = identity->ca_file();
    mosquitto.certificate_file = identity->certificate_file();
    mosquitto.key_file = identity->key_file();
    mosquitto.accounts = [&] {
      auto accounts = broker_accounts(**enrollment, *broker_password, *viewer_password);
      for (auto& user : broker_users.accounts()) accounts.push_back(std::move(user));
      return accounts;
    };
    broker.emplace(mosquitto,
                   [&broadcaster](const std::string& text) { broadcaster.set_alarm("broker", text); });
    if (auto up = broker->start(); !up) return up;
  }

  Housekeeping housekeeping(layout, results, blobs, config.min_free_mib * mib,
                            {.on_space =
                                 [&](bool full, const std::string& message) {
                                   farm.post(scheduler::DiskPressure{full});
                                   broadcaster.set_alarm("disk", message);
                                 },
                             .at_start =
                                 [&](const std::function<bool()>& is_stopping) {
                                   const auto missing = look_for_missing(*reader, results, is_stopping);
                                   if (!missing) return log::error("files", "{}", missing.error().message);
                                   broadcaster.set_alarm("files", say_missing(*missing));
                                 }});

  fleet::LinkConfig mqtt;
  const bool is_wildcard = config.mqtt.host == "0.0.0.0" || config.mqtt.host == "::";
  mqtt.host = config.embedded_broker && is_wildcard ? "127.0.0.1" : config.mqtt.host;
  mqtt.port = config.mqtt.port;
  mqtt.farm_id = store->farm_id();
  mqtt.username = config.mqtt_username;
  if (!config.mqtt_password_file.empty()) mqtt.password = one_line(config.mqtt_password_file);
  if (config.embedded_broker) {
    mqtt.username = fleet::controller_name;
    mqtt.password = *broker_password;
    mqtt.ca_file = identity->ca_file();
    mqtt.has_accounts = true;
  } else if (config.broker_knows_certificates) {
    mqtt.ca_file = identity->ca_file();
    const auto made = write_own_certificate(*identity);
    if (!made) return fail(made.error());
    mqtt.certificate_file = *made;
    mqtt.key_file = identity->key_file();
  }
  mqtt.epoch = *epoch;
  mqtt.version = std::string(version);
  mqtt.url = url;
  std::optional<RequestDesk> desk;
  fleet::LinkHandlers said;
  said.on_event = [&](scheduler::Event event) {
    if (const auto* tasks = std::get_if<scheduler::NodeTasksSeen>(&event)) {
      live.saw(tasks->node, tasks->tasks);
      broadcaster.node_said(tasks->node, runtime::now());
    }
    farm.post(std::move(event));
  };
  said.on_gpu = [&](const fleet::GpuSeen& seen) {
    live.saw(seen.node, seen.gpu, seen.telemetry);
    broadcaster.node_said(seen.node, runtime::now());
  };
  said.on_host = [&](const fleet::HostSeen& seen) {
    live.saw(seen.node, seen.telemetry);
    broadcaster.node_said(seen.node, runtime::now());
  };
  said.on_update = [&](const fleet::UpdateSeen& seen) {
    live.saw(seen.node, seen.update);
    broadcaster.node_said(seen.node, runtime::now());
    (*updates)->poke();
  };
  said.on_request = [&desk](fleet::RequestSeen seen) { desk->take(std::move(seen)); };
  said.on_alarm = [&broadcaster](const std::string& text) { broadcaster.set_alarm("mqtt", text); };
  fleet::Link link(mqtt, std::move(said));
  link_now = &link;
  desk.emplace(api, [&link](const fleet::RequestSeen& seen, const payloads::Response& response) {
    link.respond(seen.user, seen.verb, response);
  });

  // This machine's addresses may come late, or change.
  std::int64_t addresses_seen_ms = started.mono_ms;
  const auto follow_addresses = [&](Instant now) {
    if (now.mono_ms - addresses_seen_ms < addresses_every_ms) return;
    addresses_seen_ms = now.mono_ms;
    const auto renewed = identity->renew();
    if (!renewed) return log::error("controller", "the certificate: {}", renewed.error().message);
    if (!*renewed) return;
    if (auto next = http::TlsContext::make(identity->certificate(), identity->private_key())) {
      (*server)->set_tls(std::move(*next));
    }
    if (broker) broker->reload();
    log::info("controller", "this machine has new addresses: its certificate was issued anew");
  };

  farm.set_ports({.persist = [&](const auto& effects) { return store->apply(effects); },
                  .accept_files = [&](const scheduler::AcceptFiles& accept) -> Status {
                    const auto accepted = results.accept(accept, names_of(*store, accept));
                    return accepted ? Status() : Status(fail(accepted.error()));
                  },
                  .drop_files =
                      [&](const scheduler::DropFiles& drop) {
                        if (auto dropped = results.drop(drop.task, drop.attempt); !dropped) {
                          log::error("files", "{}", dropped.error().message);
                        }
                      },
                  .erase_files =
                      [&](const JobId& job) {
                        if (auto removed = results.remove_job(job); !removed)
                          log::error("files", "{}", removed.error().message);
                      },
                  .publish =
                      [&](const scheduler::Effect& effect, Instant now) {
                        if (const auto* remark = std::get_if<scheduler::Remark>(&effect))
                          log::info("farm", "{}", remark->text);
                        if (const auto* sleeper = std::get_if<scheduler::WakeNode>(&effect)) wake(*sleeper);
                        link.carry_out(effect, now);
                        broadcaster.publish(effect, now);
                        if (std::holds_alternative<scheduler::SendRebirth>(effect)) {
                          const auto jobs =
                              database.jobs({.state = {}, .user = {}, .limit = 1000, .before = 0});
                          const auto nodes = database.nodes();
                          if (jobs && nodes) link.reconnected(*jobs, *nodes, now);
                        }
                      },
                  .tick =
                      [&](Instant now, const payloads::ControllerSummary& summary) {
                        for (const auto& settled : housekeeping.take_settled()) {
                          std::vector<store::Store::Rename> renames;
                          for (const auto& rename : settled.renames)
                            renames.push_back({rename.path, rename.placed});
                          store->mark_moved(settled.task, settled.attempt, renames);
                        }
                        auto said_now = summary;
                        said_now.nodes_pending = (*enrollment)->pending();
                        link.tick(now, said_now);
                        broadcaster.tick(now, said_now);
                        follow_addresses(now);
                      },
                  .alarm = [&](const std::string& text) { broadcaster.set_alarm("store", text); },
                  .alive = [] { sd_notify(0, "WATCHDOG=1"); }});
  housekeeping.start();
  farm.start();
  link.start();
  (*updates)->start_thread();

  log::info("controller", "the page and the API are at {}/, the broker at {}", url, config.mqtt.str());
  sd_notifyf(0, "READY=1\nSTATUS=%s", url.c_str());

  int signal = 0;
  ::sigwait(&signals, &signal);
  log::info("controller", "stopping ({})", signal == SIGTERM ? "SIGTERM" : "SIGINT");
  sd_notify(0, "STOPPING=1");
  events.close();
  (*server)->stop();
  (*updates)->stop_thread();
  link_now = nullptr;
  link.stop();
  desk.reset();
  farm.stop();
  return {};
}

}  // namespace
}  // namespace kiln::controller

int main(int argc, char** argv) {
  // Taken by sigwait below; blocked before the first thread, so that all inherit it.
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGTERM);
  ::sigaddset(&signals, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  ::signal(SIGPIPE, SIG_IGN);  // a client that went away is a write error, not the end

  const auto config = kiln::controller::read_command_line(argc, argv);
  if (!config) {
    fmt::print(stderr, "kiln-controller: {}\n", config.error().message);
    return 2;
  }
  const auto done = [&] {
    switch (config->command) {
      case kiln::controller::Command::backup:
        return kiln::controller::run_backup(*config);
      case kiln::controller::Command::restore:
        return kiln::controller::run_restore(*config);
      case kiln::controller::Command::certificate:
        return kiln::controller::run_certificate(*config);
      case kiln::controller::Command::serve:
        break;
    }
    return kiln::controller::run(*config, signals);
  }();
  if (!done) {
    const bool is_full = done.error().code == kiln::Code::full;
    fmt::print(stderr, "kiln-controller: {}{}\n", done.error().message,
               is_full ? "; free some space, then start it again: nothing is lost" : "");
    return 1;
  }
  return 0;
}
