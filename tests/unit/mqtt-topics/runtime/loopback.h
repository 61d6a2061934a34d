// Small servers on loopback for the tests of the runtime.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "runtime/event_fd.h"
#include "runtime/fd.h"
#include "runtime/files.h"
#include "runtime/process.h"

namespace kiln::test {

using runtime::Fd;

inline sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// Bound to a port that the kernel chose.
struct Listener {
  Fd socket{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  std::uint16_t port = 0;
  Listener() {
    const int one = 1;
    ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    auto address = loopback(0);
    socklen_t size = sizeof address;
    KILN_ASSERT(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), size) == 0);
    KILN_ASSERT(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
    KILN_ASSERT(::listen(socket.get(), 64) == 0);
    port = ntohs(address.sin_port);
  }
};

// A port on which nothing listens (now).
inline std::uint16_t free_port() {
  return Listener().port;
}

inline Fd connect_to(std::uint16_t port) {
  Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto address = loopback(port);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    socket.reset();
  return socket;
}

struct Folder {
  std::filesystem::path path;
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "kiln-test-XXXXXX").string();
    path = ::mkdtemp(name.data());
  }
  ~Folder() { std::filesystem::remove_all(path); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
};

// A real Mosquitto.
class Broker {
 public:
  explicit Broker(std::uint16_t port = free_port()) : port_(port) { start(); }

  [[nodiscard]] std::uint16_t port() const { return port_; }
  void kill() { process_.kill(); }
  void start() {
    const auto file = folder_.path / "mosquitto.conf";
    KILN_ASSERT(runtime::write_file_atomically(
                    file, "listener " + std::to_string(port_) +
                              " 127.0.0.1\nallow_anonymous true\nlog_type error\nuser root\n")
                    .has_value());
    runtime::SpawnOptions options;
    options.argv = {"/usr/sbin/mosquitto", "-c", file.string()};
    auto spawned = runtime::Process::spawn(options);
    KILN_ASSERT(spawned.has_value());
    process_ = std::move(*spawned);
    // Up when it takes connections; over when it ended (the port was taken meanwhile).
    while (!connect_to(port_)) KILN_ASSERT(!process_.wait(std::chrono::milliseconds(10)));
  }

 private:
  Folder folder_;
  std::uint16_t port_;
  runtime::Process process_;
};

// Passes bytes on to `target` until it is cut: what a pulled cable looks like from both ends.
class Cable {
 public:
  explicit Cable(std::uint16_t target) : target_(target), thread_([this] { run(); }) {}
  ~Cable() {
    stop_.set();
    thread_.join();
  }
  [[nodiscard]] std::uint16_t port() const { return listener_.port; }
  // Ends all connections of now without a word.
  void cut() { cut_.set(); }

 private:
  struct Pair {
    Fd a, b;
    bool a_ended = false, b_ended = false;
  };

  void run() {
    std::vector<Pair> pairs;
    for (;;) {
      std::vector<pollfd> fds = {
          {stop_.fd(), POLLIN, 0}, {cut_.fd(), POLLIN, 0}, {listener_.socket.get(), POLLIN, 0}};
      for (const auto& pair : pairs) {  // a side that has ended is not asked again: poll skips -1
        fds.push_back({pair.a_ended ? -1 : pair.a.get(), POLLIN, 0});
        fds.push_back({pair.b_ended ? -1 : pair.b.get(), POLLIN, 0});
      }
      if (::poll(fds.data(), fds.size(), -1) < 0) continue;
      if (fds[0].revents != 0) return;
      if (fds[1].revents != 0) {
        cut_.clear();
        pairs.clear();
        continue;
      }
      std::vector<Pair> alive;
      for (std::size_t i = 0; i < pairs.size(); ++i) {
        auto& pair = pairs[i];
        pass(fds[3 + 2 * i], pair.b, pair.a_ended);
        pass(fds[4 + 2 * i], pair.a, pair.b_ended);
        if (!pair.a_ended || !pair.b_ended) alive.push_back(std::move(pair));
      }
      pairs = std::move(alive);
      if (fds[2].revents != 0) {
        Pair pair{Fd(::accept(listener_.socket.get(), nullptr, nullptr)), connect_to(target_)};
        if (pair.a && pair.b) pairs.push_back(std::move(pair));
      }
    }
  }
  // The end of one side is passed on like its bytes: closing both would reset what is still under way.
  static void pass(const pollfd& from, const Fd& to, bool& ended) {
    if (from.revents == 0) return;
    std::array<char, 4096> chunk{};
    const auto got = ::read(from.fd, chunk.data(), chunk.size());
    if (got > 0 && ::send(to.get(), chunk.data(), static_cast<std::size_t>(got), MSG_NOSIGNAL) == got) return;
    ended = true;
    ::shutdown(to.get(), SHUT_WR);
  }

  std::uint16_t target_;
  Listener listener_;
  runtime::EventFd cut_;
  runtime::EventFd stop_;
  std::thread thread_;
};

// Hands each connection to `serve` on a thread of its own, one after another, and closes it afterwards.
class Server {
 public:
  explicit Server(std::function<void(const Fd&)> serve)
      : serve_(std::move(serve)), thread_([this] { run(); }) {}
  ~Server() {
    stop_.set();
    thread_.join();
  }
  [[nodiscard]] std::uint16_t port() const { return listener_.port; }

 private:
  void run() {
    for (;;) {
      std::array<pollfd, 2> fds{{{stop_.fd(), POLLIN, 0}, {listener_.socket.get(), POLLIN, 0}}};
      if (::poll(fds.data(), fds.size(), -1) < 0) continue;
      if (fds[0].revents != 0) return;
      const Fd connection(::accept(listener_.socket.get(), nullptr, nullptr));
      if (connection) serve_(connection);
    }
  }

  std::function<void(const Fd&)> serve_;
  Listener listener_;
  runtime::EventFd stop_;
  std::thread thread_;
};

inline void say(const Fd& socket, std::string_view text) {
  ::send(socket.get(), text.data(), text.size(), MSG_NOSIGNAL);
}

}  // namespace kiln::test
