#include "http/server.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <list>
#include <mutex>
#include <thread>

#include "http/exchange.h"

namespace kiln::http {

namespace {

// Beyond the cap this many more are read just to be told so; the rest is closed at once.
constexpr std::size_t turned_away_at_once = 16;

struct AddressesFree {
  void operator()(addrinfo* list) const { ::freeaddrinfo(list); }
};

tl::unexpected<Error> listen_error(const Config& config, int error) {
  const std::string where = fmt::format("port {} on {}", config.port, config.address);
  switch (error) {
    case EADDRINUSE:
      return fail(
          Code::conflict,
          fmt::format("{} is in use: stop the other program (`ss -ltnp 'sport = :{}'` names it) or choose "
                      "another with --http-port",
                      where, config.port));
    case EACCES:
      return fail(Code::denied,
                  fmt::format("{} may not be used by this user: choose a port from 1024 on with "
                              "--http-port",
                              where));
    case EADDRNOTAVAIL:
      return fail(Code::invalid,
                  fmt::format("{}: this machine does not have that address (`ip address` lists them); "
                              "0.0.0.0 means all",
                              where));
    default:
      return fail(Code::io, fmt::format("listening on {}: {}", where, std::strerror(error)));
  }
}

Result<Fd> listen_on(const Config& config) {
  addrinfo hints{};
  hints.ai_flags = AI_PASSIVE;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const std::string port = fmt::format("{}", config.port);
  const int error =
      ::getaddrinfo(config.address.empty() ? nullptr : config.address.c_str(), port.c_str(), &hints, &found);
  if (error != 0) {
    return fail(Code::invalid,
                fmt::format("the address '{}' to listen on: {}; write an IP address of this machine, or "
                            "0.0.0.0 for all",
                            config.address, ::gai_strerror(error)));
  }
  const std::unique_ptr<addrinfo, AddressesFree> list(found);
  int last = EADDRNOTAVAIL;
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    Fd socket(::socket(one->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const int on = 1;
    const int off = 0;
    ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (one->ai_family == AF_INET6) ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (socket && ::bind(socket.get(), one->ai_addr, one->ai_addrlen) == 0 &&
        ::listen(socket.get(), config.backlog) == 0) {
      return socket;
    }
    last = errno;
  }
  return listen_error(config, last);
}

std::string text_of(const sockaddr_storage& address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &address, sizeof v4);
    ::inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
  } else if (address.ss_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, &address, sizeof v6);
    ::inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
  }
  const std::string_view mapped = "::ffff:";
  std::string out(text);
  if (out.starts_with(mapped) && out.find('.') != std::string::npos) out.erase(0, mapped.size());
  return out;
}

}  // namespace

struct Server::State {
  struct Client {
    std::unique_ptr<Connection> connection;
    std::string peer;
    bool is_idle = false;
    std::thread thread;
  };

  Config config;
  Router router;
  Fd listener;
  Fd wake;  // eventfd: a client ended, or stop
  std::uint16_t port = 0;
  std::atomic<bool> is_stopping{false};
  std::thread acceptor;

  std::mutex mutex;                       // of what follows
  std::shared_ptr<const TlsContext> tls;  // the newest
  std::condition_variable ended;
  std::list<Client> clients;
  std::list<Client> over;  // ended, to be joined

  void poke() const {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(wake.get(), &one, sizeof one);
  }

  void run_client(std::list<Client>::iterator client, bool is_welcome) {
    const auto set_idle = [this, client](bool is_idle) {
      const std::lock_guard lock(mutex);
      client->is_idle = is_idle;
      return !is_stopping.load();
    };
    const Exchange exchange{config, router, *client->connection, client->peer, is_stopping, set_idle};
    if (is_welcome) {
      serve(exchange);
    } else {
      turn_away(exchange);
    }
    const std::lock_guard lock(mutex);
    client->connection->cut();
    over.splice(over.end(), clients, client);
    count_connections();
    ended.notify_all();
    poke();
  }

  void count_connections() {
    if (config.counters != nullptr) config.counters->connections = clients.size();
  }

  void join_ended() {
    std::list<Client> joined;
    {
      const std::lock_guard lock(mutex);
      joined.swap(over);
    }
    for (auto& client : joined) client.thread.join();
  }

  void take(Fd socket, const sockaddr_storage& address) {
    const std::lock_guard lock(mutex);
    const std::size_t open = clients.size();
    if (open >= config.max_connections + turned_away_at_once) return;
    const int on = 1;
    ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const bool is_welcome = open < config.max_connections;
    auto client = clients.insert(
        clients.end(), {tls ? either_connection(std::move(socket), tls) : plain_connection(std::move(socket)),
                        text_of(address),
                        false,
                        {}});
    try {
      client->thread = std::thread([this, client, is_welcome] { run_client(client, is_welcome); });
    } catch (const std::system_error& error) {
      clients.erase(client);
      if (config.on_complaint)
        config.on_complaint(fmt::format("no thread for a connection: {}", error.what()));
    }
    count_connections();
  }

  void accept_all() {
    while (!is_stopping) {
      pollfd waiting[2] = {{listener.get(), POLLIN, 0}, {wake.get(), POLLIN, 0}};
      ::poll(waiting, 2, -1);
      if ((waiting[1].revents & POLLIN) != 0) {
        std::uint64_t count = 0;
        [[maybe_unused]] const ssize_t read = ::read(wake.get(), &count, sizeof count);
        join_ended();
      }
      sockaddr_storage address{};
      socklen_t length = sizeof address;
      Fd socket(::accept4(listener.get(), reinterpret_cast<sockaddr*>(&address), &length,
                          SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (socket) {
        take(std::move(socket), address);
      } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        if (config.on_complaint)
          config.on_complaint(fmt::format("accepting a connection: {}", std::strerror(errno)));
        ::poll(&waiting[1], 1, 100);  // until a descriptor is free again; a client's end wakes it
      }
    }
  }
};

Server::Server(std::unique_ptr<State> state) : state_(std::move(state)) {}
Server::~Server() {
  stop();
}
std::uint16_t Server::port() const {
  return state_->port;
}

void Server::set_tls(std::shared_ptr<const TlsContext> tls) {
  const std::lock_guard lock(state_->mutex);
  state_->tls = std::move(tls);
}

Result<std::unique_ptr<Server>> Server::start(Config config, Router router) {
  auto listener = listen_on(config);
  if (!listener) return fail(std::move(listener.error()));
  auto state = std::make_unique<State>();
  state->tls = config.tls;
  state->config = std::move(config);
  state->router = std::move(router);
  state->listener = std::move(*listener);
  state->wake = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!state->wake) return fail(Code::io, fmt::format("eventfd: {}", std::strerror(errno)));
  sockaddr_storage bound{};
  socklen_t length = sizeof bound;
  ::getsockname(state->listener.get(), reinterpret_cast<sockaddr*>(&bound), &length);
  sockaddr_in6 any{};  // the port stands at the same place for IPv4
  std::memcpy(&any, &bound, sizeof any);
  state->port = ntohs(any.sin6_port);

  // The threads inherit this: signals belong to the daemon's main thread, and a client that goes away in the
  // middle of sendfile(2) is an EPIPE.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  state->acceptor = std::thread([raw = state.get()] { raw->accept_all(); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return std::unique_ptr<Server>(new Server(std::move(state)));
}

void Server::stop() {
  State& state = *state_;
  if (!state.acceptor.joinable()) return;
  {
    const std::lock_guard lock(state.mutex);
    state.is_stopping = true;
    for (const auto& client : state.clients) {
      if (client.is_idle) client.connection->cut();
    }
  }
  state.poke();
  state.acceptor.join();
  state.listener = Fd();
  std::unique_lock lock(state.mutex);
  const auto none_left = [&] { return state.clients.empty(); };
  if (!state.ended.wait_for(lock, state.config.stop_grace, none_left)) {
    for (const auto& client : state.clients) client.connection->cut();
    state.ended.wait(lock, none_left);
  }
  lock.unlock();
  state.join_ended();
}

}  // namespace kiln::http
