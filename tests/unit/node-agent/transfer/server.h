// A small HTTP server that does what a test says: answers, cuts connections, sends wrong bytes, hangs.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace kiln::test {

// Everything a test waits for comes within this, or the test fails.
inline constexpr std::chrono::seconds deadline{60};

// For what no one announces (a file, say): looks until it is so, or the deadline. False then.
inline bool eventually(const std::function<bool()>& is_so) {
  const auto until = std::chrono::steady_clock::now() + deadline;
  while (!is_so()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

struct Request {
  std::string method;
  std::string path;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  [[nodiscard]] std::string header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? "" : found->second;
  }
  [[nodiscard]] std::string line() const { return method + " " + path; }
};

struct Reply {
  int status = 200;
  std::string body;
  std::string headers;                                   // more of them, each with its line end
  std::string::size_type cut_after = std::string::npos;  // bytes of the body, then the connection breaks
  bool hang = false;                                     // after cut_after bytes, until the server ends
};

class Server {
 public:
  using Handler = std::function<Reply(const Request&)>;

  explicit Server(Handler handler) : handler_(std::move(handler)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener_, 64) != 0 ||
        ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      ::abort();
    }
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { accept_all(); });
  }
  ~Server() {
    {
      const std::lock_guard lock(mutex_);
      is_over_ = true;
      for (const int fd : open_) ::shutdown(fd, SHUT_RDWR);
      changed_.notify_all();
    }
    ::shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    for (auto& thread : threads_) thread.join();
    ::close(listener_);
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }

  // What was asked so far, in order of arrival.
  std::vector<Request> requests() {
    const std::lock_guard lock(mutex_);
    return seen_;
  }
  std::size_t count(const std::string& line) {
    const auto all = requests();
    return static_cast<std::size_t>(
        std::count_if(all.begin(), all.end(), [&](const Request& r) { return r.line() == line; }));
  }
  // False at the deadline.
  bool wait(const std::function<bool(const std::vector<Request>&)>& is_enough) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, deadline, [&] { return is_enough(seen_); });
  }

 private:
  void accept_all() {
    for (;;) {
      const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      const std::lock_guard lock(mutex_);
      if (is_over_ || fd < 0) {
        if (fd >= 0) ::close(fd);
        return;
      }
      open_.push_back(fd);
      threads_.emplace_back([this, fd] {
        serve(fd);
        const std::lock_guard inner(mutex_);
        std::erase(open_, fd);
        ::close(fd);
      });
    }
  }

  static bool more(int fd, std::string& buffer) {
    char bytes[16 * 1024];
    const auto got = ::recv(fd, bytes, sizeof bytes, 0);
    if (got <= 0) return false;
    buffer.append(bytes, static_cast<std::size_t>(got));
    return true;
  }
  static bool put(int fd, const std::string& bytes) {
    std::size_t sent = 0;
    while (sent < bytes.size()) {
      const auto put = ::send(fd, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (put <= 0) return false;
      sent += static_cast<std::size_t>(put);
    }
    return true;
  }

  void serve(int fd) {
    std::string buffer;
    for (;;) {
      while (buffer.find("\r\n\r\n") == std::string::npos) {
        if (!more(fd, buffer)) return;
      }
      Request request;
      const auto head_end = buffer.find("\r\n\r\n");
      std::string head = buffer.substr(0, head_end + 2);
      buffer.erase(0, head_end + 4);
      request.method = head.substr(0, head.find(' '));
      const auto path_at = request.method.size() + 1;
      request.path = head.substr(path_at, head.find(' ', path_at) - path_at);
      for (auto at = head.find("\r\n") + 2; at < head.size();) {
        const auto end = head.find("\r\n", at);
        const auto colon = head.find(':', at);
        std::string name = head.substr(at, colon - at);
        for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
        request.headers[name] = head.substr(colon + 2, end - colon - 2);
        at = end + 2;
      }
      if (!request.header("expect").empty()) put(fd, "HTTP/1.1 100 Continue\r\n\r\n");
      const auto length = std::strtoull(request.header("content-length").c_str(), nullptr, 10);
      while (buffer.size() < length) {
        if (!more(fd, buffer)) return;
      }
      request.body = buffer.substr(0, length);
      buffer.erase(0, length);
      {
        const std::lock_guard lock(mutex_);
        seen_.push_back(request);
        changed_.notify_all();
      }
      const auto reply = handler_(request);
      put(fd, "HTTP/1.1 " + std::to_string(reply.status) + " x\r\nContent-Length: " +
                  std::to_string(reply.body.size()) + "\r\n" + reply.headers + "\r\n");
      if (request.method != "HEAD") put(fd, reply.body.substr(0, reply.cut_after));
      if (reply.hang) {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return is_over_; });
      }
      if (reply.hang || reply.cut_after != std::string::npos) {
        ::shutdown(fd, SHUT_RDWR);
        return;
      }
    }
  }

  const Handler handler_;
  int listener_ = -1;
  int port_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_over_ = false;
  std::vector<Request> seen_;
  std::vector<int> open_;
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

}  // namespace kiln::test
