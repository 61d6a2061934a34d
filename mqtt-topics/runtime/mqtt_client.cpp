#include "runtime/mqtt_client.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <mosquitto.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cctype>
#include <cerrno>
#include <climits>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "runtime/event_fd.h"
#include "runtime/fd.h"
#include "runtime/log.h"

namespace kiln::runtime {

namespace {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::milliseconds;
using namespace std::chrono_literals;

constexpr auto reach_timeout = 5s;     // for a TCP connection; a LAN needs milliseconds
constexpr auto connack_timeout = 10s;  // for a broker that is busy with its persistence file
constexpr auto farewell_timeout = 1s;  // for the last packets of a connection that we end ourselves
constexpr auto misc_every = 1s;        // libmosquitto wants to look at its keepalive this often
constexpr auto is_stable_after = 5s;   // a connection that lived this long ends the back-off
constexpr unsigned inflight =
    100;  // QoS 1 messages under way at once; the default of 20 bounds the dispatch rate

struct Destroy {
  void operator()(mosquitto* handle) const { mosquitto_destroy(handle); }
};
using Handle = std::unique_ptr<mosquitto, Destroy>;

// strerror's text as a part of a sentence.
std::string lower_first(std::string text) {
  if (!text.empty()) text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  return text;
}
std::string errno_text(int error) {
  return lower_first(std::strerror(error));
}

struct FreeAddresses {
  void operator()(addrinfo* list) const { ::freeaddrinfo(list); }
};

// Connects within the timeout. 0, or the errno that says why not; ECANCELED when `stop` was set.
int try_address(const addrinfo& address, const EventFd& stop) {
  const Fd socket(::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return errno;
  if (::connect(socket.get(), address.ai_addr, address.ai_addrlen) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  std::array<pollfd, 2> fds{{{socket.get(), POLLOUT, 0}, {stop.fd(), POLLIN, 0}}};
  const auto deadline = Clock::now() + reach_timeout;
  for (;;) {
    const auto left = std::chrono::ceil<Milliseconds>(deadline - Clock::now()).count();
    const int ready = ::poll(fds.data(), fds.size(), static_cast<int>(std::max<std::int64_t>(left, 0)));
    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0) return ETIMEDOUT;
    break;
  }
  if (fds[1].revents != 0) return ECANCELED;
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  return error;
}

}  // namespace

struct MqttClient::State {
  MqttConfig config;
  MqttHandlers handlers;
  std::string broker;  // "host:port", for sentences

  // Guards what follows. Held for no longer than libmosquitto takes to queue a packet; never around a
  // handler.
  std::mutex mutex;
  mosquitto* handle = nullptr;  // the connection's, from connect to its end
  bool is_connected = false;
  bool is_subscribing = false;  // the filters of then are out: later ones are sent one by one
  std::map<std::string, int> filters;
  bool is_first = true;

  // Set to make the thread look again: something to write, or a wish below. The wishes are looked at between
  // two steps of the connection.
  EventFd wake;
  EventFd stop_wish;
  std::atomic<bool> reconnect_wish = false;

  // Messages handed over and neither written (QoS 0) nor acknowledged (QoS 1).
  std::atomic<std::size_t> outgoing = 0;
  std::mutex flush_mutex;
  std::condition_variable flushed;

  // Of the thread alone.
  std::vector<MqttMessage> received;
  std::set<int> unsubscribed;  // SUBSCRIBE packets that wait for their answer
  bool connack_came = false;
  int connack_code = 0;
  std::optional<Clock::time_point> up_since;
  int short_lives = 0;      // connections in a row that were taken from us at once
  std::string told_reason;  // of this outage
  std::minstd_rand random{std::random_device{}()};
  std::thread thread;

  State(MqttConfig c, MqttHandlers h) : config(std::move(c)), handlers(std::move(h)) {
    broker = fmt::format("{}:{}", config.host, config.port);
  }

  // ---- libmosquitto's callbacks: they only take notes -----------------------------------------------------

  static void on_connack(mosquitto*, void* self, int code) {
    static_cast<State*>(self)->connack_came = true;
    static_cast<State*>(self)->connack_code = code;
  }
  static void on_message(mosquitto*, void* self, const mosquitto_message* message) {
    auto& state = *static_cast<State*>(self);
    const auto size = static_cast<std::size_t>(std::max(message->payloadlen, 0));
    if (size > state.config.max_payload_bytes) {
      log::warn("mqtt", "{}: a message of {} bytes was ignored; at most {}", message->topic, size,
                state.config.max_payload_bytes);
      return;
    }
    state.received.push_back(
        {message->topic, std::string(static_cast<const char*>(message->payload), size), message->retain});
  }
  static void on_publish(mosquitto*, void* self, int) { static_cast<State*>(self)->one_is_out(); }
  static void on_suback(mosquitto*, void* self, int id, int count, const int* granted) {
    constexpr int refused = 0x80;
    static_cast<State*>(self)->unsubscribed.erase(id);
    for (int i = 0; i < count; ++i) {
      if (granted[i] != refused) continue;
      log::error("mqtt", "broker {} refuses a subscription of {}: check its access rules",
                 static_cast<State*>(self)->broker, static_cast<State*>(self)->config.client_id);
    }
  }

  void one_is_out() {
    if (--outgoing > 0) return;
    const std::lock_guard lock(flush_mutex);
    flushed.notify_all();
  }

  // ---- the thread ---------------------------------------------------------------------------------------

  void run() {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
    auto delay = config.retry_min;
    while (!stop_wish.is_set()) {
      reconnect_wish = false;
      up_since.reset();
      const auto ended = live_once();
      if (stop_wish.is_set()) return;
      if (ended) {
        delay = config.retry_min;
        continue;  // we wished it so
      }
      if (ended.error().message != told_reason) {
        told_reason = ended.error().message;
        if (handlers.on_disconnect) handlers.on_disconnect(told_reason);
      }
      if (up_since && Clock::now() - *up_since >= is_stable_after) delay = config.retry_min;
      // Jitter, or every node of the farm knocks at the same moment.
      std::uniform_int_distribution<std::int64_t> spread(delay.count() / 2, delay.count());
      if (stop_wish.wait(Milliseconds(spread(random)))) return;
      delay = std::min(2 * delay, config.retry_max);
    }
  }

  // One connection from its beginning to its end. A value: we ended it ourselves. An error: why it ended.
  Status live_once() {
    const auto address = reach();
    if (!address) return fail(address.error());
    auto made = make_handle();
    if (!made) return fail(made.error());
    const Handle connection = std::move(*made);
    connack_came = false;
    received.clear();
    unsubscribed.clear();
    {
      const std::lock_guard lock(mutex);
      handle = connection.get();
    }
    const auto keepalive = static_cast<int>(std::max<std::int64_t>(config.keepalive.count(), 5));
    const int rc = mosquitto_connect(connection.get(), address->c_str(), config.port, keepalive);
    Status ended = rc == MOSQ_ERR_SUCCESS ? converse(*connection) : Status(fail(lost(rc, errno)));
    {
      const std::lock_guard lock(mutex);
      handle = nullptr;
      is_connected = false;
      is_subscribing = false;
    }
    outgoing = 0;
    const std::lock_guard lock(flush_mutex);
    flushed.notify_all();
    return ended;
  }

  // The broker's address, proven to take a TCP connection. libmosquitto's own connect would wait for minutes
  // at an address that swallows packets, and does not say what went wrong.
  Result<std::string> reach() {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const int rc = ::getaddrinfo(config.host.c_str(), std::to_string(config.port).c_str(), &hints, &found);
    const std::unique_ptr<addrinfo, FreeAddresses> list(found);
    if (rc != 0) {
      return fail(Code::unavailable,
                  fmt::format("broker {}: no such host ({})", broker, lower_first(::gai_strerror(rc))));
    }
    int error = 0;
    for (const auto* address = list.get(); address != nullptr; address = address->ai_next) {
      error = try_address(*address, stop_wish);
      if (error == ECANCELED) break;
      if (error != 0) continue;
      // TLS checks the certificate against the name.
      if (!config.ca_file.empty()) return config.host;
      std::array<char, NI_MAXHOST> name{};
      ::getnameinfo(address->ai_addr, address->ai_addrlen, name.data(), name.size(), nullptr, 0,
                    NI_NUMERICHOST);
      return std::string(name.data());
    }
    return fail(Code::unavailable, fmt::format("broker {} does not answer ({})", broker, errno_text(error)));
  }

  Result<Handle> make_handle() {
    Handle made(mosquitto_new(config.client_id.c_str(), true, this));
    if (!made) return fail(Code::invalid, fmt::format("'{}' is no MQTT client id", config.client_id));
    mosquitto_threaded_set(made.get(), true);  // others publish while this thread reads
    mosquitto_int_option(made.get(), MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V311);
    mosquitto_int_option(made.get(), MOSQ_OPT_TCP_NODELAY, 1);
    mosquitto_max_inflight_messages_set(made.get(), inflight);
    mosquitto_connect_callback_set(made.get(), on_connack);
    mosquitto_message_callback_set(made.get(), on_message);
    mosquitto_publish_callback_set(made.get(), on_publish);
    mosquitto_subscribe_callback_set(made.get(), on_suback);
    if (!config.username.empty()) {
      mosquitto_username_pw_set(made.get(), config.username.c_str(), config.password.c_str());
    }
    const auto file = [](const std::string& path) { return path.empty() ? nullptr : path.c_str(); };
    if (!config.ca_file.empty() &&
        mosquitto_tls_set(made.get(), config.ca_file.c_str(), nullptr, file(config.certificate_file),
                          file(config.key_file), nullptr) != MOSQ_ERR_SUCCESS) {
      return fail(
          Code::invalid,
          fmt::format(
              "broker {}: {} is no CA file that can be read{}", broker, config.ca_file,
              config.certificate_file.empty() ? "" : ", or " + config.certificate_file + " no certificate"));
    }
    const auto will = handlers.before_connect ? handlers.before_connect() : std::nullopt;
    if (will) {
      const int rc =
          mosquitto_will_set(made.get(), will->topic.c_str(), static_cast<int>(will->payload.size()),
                             will->payload.data(), will->qos, will->is_retained);
      if (rc != MOSQ_ERR_SUCCESS) {
        return fail(Code::invalid,
                    fmt::format("the last will on '{}': {}", will->topic, mosquitto_strerror(rc)));
      }
    }
    return made;
  }

  enum class Stage {
    connecting,   // CONNECT is out
    subscribing,  // the broker took us in; its answers to our subscriptions are out
    up,
    finishing,  // we want to leave: what was published is still on its way
    leaving,    // DISCONNECT is queued
  };

  // Reads and writes until the connection ends. libmosquitto's own loop uses select, which ends at descriptor
  // 1023; a controller with many HTTP connections has more.
  Status converse(mosquitto& connection) {
    const auto connect_until = Clock::now() + connack_timeout;
    auto leave_until = Clock::time_point::max();
    auto stage = Stage::connecting;
    Fd line;  // ours beside the library's, to the last byte
    for (;;) {
      if (stage < Stage::finishing && (stop_wish.is_set() || reconnect_wish)) {
        stage = Stage::finishing;
        leave_until = Clock::now() + farewell_timeout;
        const std::lock_guard lock(mutex);
        is_connected = false;
      }
      if (stage == Stage::finishing && outgoing == 0) {
        stage = Stage::leaving;
        line.reset(::fcntl(mosquitto_socket(&connection), F_DUPFD_CLOEXEC, 0));
        const std::lock_guard lock(mutex);
        mosquitto_disconnect(&connection);
      }
      if (Clock::now() >= leave_until) return {};
      if (stage < Stage::up && Clock::now() >= connect_until) return fail(speechless());

      const int rc = turn(connection, stage, leave_until);
      const int error = errno;
      if (stage >= Stage::finishing) {
        received.clear();  // whoever stops us listens no more
        if (rc == MOSQ_ERR_SUCCESS && mosquitto_socket(&connection) >= 0) continue;
        if (line) hang_up(line, leave_until);
        return {};
      }
      if (connack_came && connack_code != 0) return fail(refused());
      if (rc == MOSQ_ERR_SUCCESS && stage == Stage::connecting && connack_came) {
        stage = Stage::subscribing;
        subscribe_all(connection);
      }
      if (rc == MOSQ_ERR_SUCCESS && stage == Stage::subscribing && unsubscribed.empty()) {
        stage = Stage::up;
        greet();
      }
      if (stage == Stage::up) {
        for (auto& message : std::exchange(received, {})) {
          if (handlers.on_message) handlers.on_message(std::move(message));
        }
      }
      if (rc != MOSQ_ERR_SUCCESS) {
        short_lives = up_since && Clock::now() - *up_since < is_stable_after ? short_lives + 1 : 0;
        return fail(lost(rc, error));
      }
    }
  }

  // The library closes at once. With something unread that is a reset, at which a broker may throw away our
  // DISCONNECT and send the will: so wait for its own end of the connection.
  static void hang_up(const Fd& line, Clock::time_point until) {
    ::shutdown(line.get(), SHUT_WR);
    std::array<char, 4096> rest{};
    for (;;) {
      const auto left = std::chrono::ceil<Milliseconds>(until - Clock::now());
      if (left <= 0ms || !wait_readable(line.get(), left)) return;
      if (::recv(line.get(), rest.data(), rest.size(), MSG_DONTWAIT) <= 0) return;
    }
  }

  // Waits for something to do and does it. A MOSQ_ERR_ code.
  int turn(mosquitto& connection, Stage stage, Clock::time_point until) {
    bool wants_write = false;
    {
      const std::lock_guard lock(mutex);
      wants_write = mosquitto_want_write(&connection);
    }
    // A message that is read while our DISCONNECT waits makes the library close without sending it.
    const auto reads = static_cast<short>(stage == Stage::leaving ? 0 : POLLIN);
    const auto events = static_cast<short>(wants_write ? reads | POLLOUT : reads);
    std::array<pollfd, 3> fds{
        {{mosquitto_socket(&connection), events, 0}, {wake.fd(), POLLIN, 0}, {stop_wish.fd(), POLLIN, 0}}};
    if (stage >= Stage::finishing) fds[2].fd = -1;  // it stays set
    const auto left = std::min<Clock::duration>(misc_every, until - Clock::now());
    const auto left_ms = std::max<std::int64_t>(std::chrono::ceil<Milliseconds>(left).count(), 0);
    if (::poll(fds.data(), fds.size(), static_cast<int>(left_ms)) < 0 && errno != EINTR)
      return MOSQ_ERR_ERRNO;
    if (fds[1].revents != 0) wake.clear();
    constexpr int packets = 1;  // ignored by the library
    errno = 0;
    if (reads != 0 && (fds[0].revents & ~POLLOUT) != 0) {
      if (const int rc = mosquitto_loop_read(&connection, packets); rc != MOSQ_ERR_SUCCESS) return rc;
    }
    if (mosquitto_socket(&connection) >= 0 && (fds[0].revents & POLLOUT) != 0) {
      if (const int rc = mosquitto_loop_write(&connection, packets); rc != MOSQ_ERR_SUCCESS) return rc;
    }
    return mosquitto_loop_misc(&connection);
  }

  void subscribe_all(mosquitto& connection) {
    const std::lock_guard lock(mutex);
    for (const auto& [filter, qos] : filters) {
      int id = 0;
      if (mosquitto_subscribe(&connection, &id, filter.c_str(), qos) == MOSQ_ERR_SUCCESS)
        unsubscribed.insert(id);
    }
    is_subscribing = true;
  }

  void greet() {
    up_since = Clock::now();
    told_reason.clear();
    bool first = false;
    {
      const std::lock_guard lock(mutex);
      is_connected = true;
      first = std::exchange(is_first, false);
    }
    if (handlers.on_connect) handlers.on_connect(first);
  }

  Error speechless() const {
    return {Code::unavailable,
            fmt::format("{} takes connections but does not speak MQTT: is that the broker's port?", broker)};
  }

  Error refused() const {
    constexpr int bad_login = 4;
    constexpr int not_authorised = 5;
    if (connack_code == bad_login || connack_code == not_authorised) {
      return {Code::denied, fmt::format("broker {} refuses the user '{}': check user and password", broker,
                                        config.username)};
    }
    return {Code::unavailable, fmt::format("broker {} refuses the connection ({})", broker,
                                           lower_first(mosquitto_connack_string(connack_code)))};
  }

  Error lost(int rc, int error) const {
    std::string text;
    switch (rc) {
      case MOSQ_ERR_KEEPALIVE:
        text = fmt::format("broker {} fell silent", broker);
        break;
      case MOSQ_ERR_ERRNO:
        text = fmt::format("broker {}: the connection failed ({})", broker, errno_text(error));
        break;
      case MOSQ_ERR_NO_CONN:
      case MOSQ_ERR_CONN_LOST:
        text = fmt::format("broker {} closed the connection", broker);
        break;
      case MOSQ_ERR_TLS:
        text =
            fmt::format("broker {}: no TLS connection; check its certificate and {}", broker, config.ca_file);
        break;
      default:
        text = fmt::format("broker {}: {}", broker, lower_first(mosquitto_strerror(rc)));
        break;
    }
    if (rc == MOSQ_ERR_CONN_LOST && short_lives > 1) {
      text += fmt::format(" again: is another client named '{}' running?", config.client_id);
    }
    return {Code::unavailable, std::move(text)};
  }
};

MqttClient::MqttClient(MqttConfig config, MqttHandlers handlers)
    : state_(std::make_unique<State>(std::move(config), std::move(handlers))) {
  static std::once_flag once;
  std::call_once(once, [] { mosquitto_lib_init(); });
}

MqttClient::~MqttClient() {
  stop();
}

void MqttClient::subscribe(const std::string& filter, int qos) {
  const std::lock_guard lock(state_->mutex);
  state_->filters[filter] = qos;
  if (!state_->is_subscribing) return;
  mosquitto_subscribe(state_->handle, nullptr, filter.c_str(), qos);
  state_->wake.set();
}

void MqttClient::start() {
  KILN_ASSERT(!state_->thread.joinable());
  state_->thread = std::thread([this] { state_->run(); });
}

Status MqttClient::publish(const std::string& topic, std::string_view payload, int qos, bool is_retained) {
  auto& state = *state_;
  if (payload.size() > state.config.max_payload_bytes) {
    return fail(Code::too_large, fmt::format("{}: {} bytes; at most {} a message", topic, payload.size(),
                                             state.config.max_payload_bytes));
  }
  const std::lock_guard lock(state.mutex);
  if (!state.is_connected)
    return fail(Code::unavailable, fmt::format("not connected to broker {}", state.broker));
  if (state.outgoing >= state.config.max_outgoing) {
    return fail(Code::full, fmt::format("{} messages to broker {} are still under way",
                                        state.config.max_outgoing, state.broker));
  }
  ++state.outgoing;  // before it is handed over: it may be out before we return
  const int rc = mosquitto_publish(state.handle, nullptr, topic.c_str(), static_cast<int>(payload.size()),
                                   payload.data(), qos, is_retained);
  if (rc == MOSQ_ERR_SUCCESS) {
    state.wake.set();
    return {};
  }
  --state.outgoing;
  if (rc == MOSQ_ERR_NO_CONN)
    return fail(Code::unavailable, fmt::format("not connected to broker {}", state.broker));
  return fail(Code::invalid,
              fmt::format("publishing on '{}': {}", topic, lower_first(mosquitto_strerror(rc))));
}

bool MqttClient::is_connected() const {
  const std::lock_guard lock(state_->mutex);
  return state_->is_connected;
}

bool MqttClient::flush(std::chrono::milliseconds timeout) {
  std::unique_lock lock(state_->flush_mutex);
  state_->flushed.wait_for(lock, timeout, [&] { return state_->outgoing == 0; });
  return state_->outgoing == 0 && is_connected();
}

void MqttClient::reconnect() {
  state_->reconnect_wish = true;
  state_->wake.set();
}

void MqttClient::stop() {
  state_->stop_wish.set();
  if (state_->thread.joinable()) state_->thread.join();
}

}  // namespace kiln::runtime
