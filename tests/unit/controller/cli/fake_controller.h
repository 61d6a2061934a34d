// A controller that answers from a function, on a loopback port of its own: one request a connection.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace kiln::test {

struct FakeRequest {
  std::string method, path, body;
  std::map<std::string, std::string> headers;  // names in lower case
};
struct FakeReply {
  int status = 200;
  std::string body = "{}";
  std::string headers;      // "Name: value\r\n" each
  bool breaks_off = false;  // half of the body, then the connection is gone
};

class FakeController {
 public:
  explicit FakeController(std::function<FakeReply(const FakeRequest&)> answer) : answer_(std::move(answer)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* raw = reinterpret_cast<sockaddr*>(&address);
    if (::bind(listener_, raw, size) != 0 || ::listen(listener_, 16) != 0) std::abort();
    ::getsockname(listener_, raw, &size);
    port_ = ntohs(address.sin_port);
    if (::pipe(stop_) != 0) std::abort();
    thread_ = std::thread([this] { serve(); });
  }
  FakeController(const FakeController&) = delete;
  FakeController& operator=(const FakeController&) = delete;
  ~FakeController() {
    (void)::write(stop_[1], "x", 1);
    thread_.join();
    for (const int fd : {listener_, stop_[0], stop_[1]}) ::close(fd);
  }

  [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  [[nodiscard]] std::vector<FakeRequest> requests() {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  void serve() {
    for (;;) {
      pollfd waits[2] = {{listener_, POLLIN, 0}, {stop_[0], POLLIN, 0}};
      ::poll(waits, 2, -1);
      if (waits[1].revents != 0) return;
      const int peer = ::accept(listener_, nullptr, nullptr);
      if (peer < 0) continue;
      converse(peer);
      ::shutdown(peer, SHUT_WR);
      char rest[4096];
      while (::read(peer, rest, sizeof rest) > 0) {
      }
      ::close(peer);
    }
  }

  void converse(int peer) {
    std::string text;
    const auto more = [&] {
      char buffer[65536];
      const auto got = ::read(peer, buffer, sizeof buffer);
      if (got > 0) text.append(buffer, static_cast<std::size_t>(got));
      return got > 0;
    };
    std::size_t head = 0;
    while ((head = text.find("\r\n\r\n")) == std::string::npos) {
      if (!more()) return;
    }
    FakeRequest request;
    request.method = text.substr(0, text.find(' '));
    const auto path = request.method.size() + 1;
    request.path = text.substr(path, text.find(' ', path) - path);
    for (auto line = text.find("\r\n") + 2; line < head;) {
      const auto end = text.find("\r\n", line);
      const auto colon = text.find(':', line);
      std::string name = text.substr(line, colon - line);
      for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      request.headers[name] = text.substr(colon + 2, end - colon - 2);
      line = end + 2;
    }
    if (request.headers.contains("expect")) send_all(peer, "HTTP/1.1 100 Continue\r\n\r\n");
    const auto length =
        request.headers.contains("content-length") ? std::stoul(request.headers["content-length"]) : 0;
    while (text.size() < head + 4 + length) {
      if (!more()) return;
    }
    request.body = text.substr(head + 4, length);
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(request);
    }
    const auto reply = answer_(request);
    std::string answer =
        "HTTP/1.1 " + std::to_string(reply.status) + " X\r\nConnection: close\r\n" + reply.headers;
    if (reply.headers.find("event-stream") == std::string::npos) {
      answer += "Content-Length: " + std::to_string(reply.body.size()) + "\r\n";
    }
    answer += "\r\n";
    if (request.method != "HEAD")
      answer += reply.body.substr(0, reply.breaks_off ? reply.body.size() / 2 : reply.body.size());
    send_all(peer, answer);
  }

  static void send_all(int peer, std::string_view bytes) {
    while (!bytes.empty()) {
      const auto sent = ::send(peer, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  }

  std::function<FakeReply(const FakeRequest&)> answer_;
  int listener_ = -1;
  int stop_[2] = {-1, -1};
  int port_ = 0;
  std::thread thread_;
  std::mutex mutex_;
  std::vector<FakeRequest> requests_;
};

}  // namespace kiln::test
