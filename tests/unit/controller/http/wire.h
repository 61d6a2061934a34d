// A client that sends what it is told, byte for byte, and reads one answer after another. For tests only.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>

namespace kiln::test {

struct Answer {
  int status = 0;  // 0: the connection ended, or the deadline passed, before a whole answer came
  std::map<std::string, std::string> fields;  // lower-case names
  std::string body;
  std::string text;  // everything, as it came
};

class Wire {
 public:
  explicit Wire(std::uint16_t port, int receive_buffer = 0)
      : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (receive_buffer > 0)
      ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    is_connected_ = ::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  ~Wire() { ::close(socket_); }
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  [[nodiscard]] bool is_connected() const { return is_connected_; }

  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t count = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(count));
    }
    return true;
  }

  // The next answer, also an interim one (100). `is_head`: it has no body whatever its length says.
  Answer answer(bool is_head = false) {
    Answer out;
    std::size_t end = 0;
    while ((end = inbox_.find("\r\n\r\n")) == std::string::npos) {
      if (!more()) return out;
    }
    const std::string head = inbox_.substr(0, end + 2);
    inbox_.erase(0, end + 4);
    out.text = head;
    for (std::size_t at = head.find("\r\n") + 2; at < head.size();) {
      const std::size_t line_end = head.find("\r\n", at);
      const std::size_t colon = head.find(": ", at);
      std::string name = head.substr(at, colon - at);
      std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
      out.fields[name] = head.substr(colon + 2, line_end - colon - 2);
      at = line_end + 2;
    }
    const int status = std::atoi(head.c_str() + 9);
    if (is_head || status == 100 || status == 204 || status == 304) {
      out.status = status;
      return out;
    }
    const auto length = out.fields.find("content-length");
    if (length == out.fields.end()) {  // a stream: its head is the answer, read_until() gives the rest
      out.status = status;
      return out;
    }
    const auto size = static_cast<std::size_t>(std::strtoull(length->second.c_str(), nullptr, 10));
    while (inbox_.size() < size) {
      if (!more()) return out;
    }
    out.body = inbox_.substr(0, size);
    inbox_.erase(0, size);
    out.text += out.body;
    out.status = status;
    return out;
  }

  // Everything up to and with `mark`; "" when the connection ended before.
  std::string read_until(std::string_view mark) {
    std::size_t at = 0;
    while ((at = inbox_.find(mark)) == std::string::npos) {
      if (!more()) return {};
    }
    std::string out = inbox_.substr(0, at + mark.size());
    inbox_.erase(0, at + mark.size());
    return out;
  }

  // True when the server ends the connection and sent nothing before.
  bool ends() { return inbox_.empty() && !more(); }
  // True when the server ends the connection, whatever it sent before.
  bool ends_at_last() {
    while (more()) inbox_.clear();
    return is_ended_;
  }

 private:
  static constexpr int deadline_ms = 20'000;

  bool more() {
    pollfd waiting{socket_, POLLIN, 0};
    if (::poll(&waiting, 1, deadline_ms) <= 0) return false;
    char bytes[16 * 1024];
    const ssize_t count = ::recv(socket_, bytes, sizeof bytes, 0);
    is_ended_ = count <= 0;
    if (is_ended_) return false;
    inbox_.append(bytes, static_cast<std::size_t>(count));
    return true;
  }

  int socket_;
  bool is_connected_ = false;
  bool is_ended_ = false;
  std::string inbox_;
};

}  // namespace kiln::test
