#include "http/connection.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace kiln::http {

namespace {

// sendfile(2) moves at most this much at a time, so that a slow client is noticed and cut() is seen.
constexpr std::size_t max_file_step = 4U << 20U;

// A client must take this much within the patience: one byte now and then would hold a thread for ever.
constexpr std::uint64_t least_progress = 16ULL * 1024;

class Plain final : public Connection {
 public:
  explicit Plain(Fd socket) : socket_(std::move(socket)) {}

  Result<std::size_t> read_some(std::span<char> out, Milliseconds patience) override {
    for (;;) {
      const ssize_t count = ::recv(socket_.get(), out.data(), out.size(), 0);
      if (count >= 0) return static_cast<std::size_t>(count);
      auto ready = after_failure("reading from the client", POLLIN, patience);
      if (!ready) return fail(std::move(ready.error()));
    }
  }

  Status write(std::string_view bytes, Milliseconds patience, bool more) override {
    Pace pace{patience};
    while (!bytes.empty()) {
      const ssize_t count =
          ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | (more ? MSG_MORE : 0));
      if (count >= 0) {
        bytes.remove_prefix(static_cast<std::size_t>(count));
        pace.moved(static_cast<std::uint64_t>(count));
        continue;
      }
      auto ready = wait_for_client("writing to the client", pace);
      if (!ready) return ready;
    }
    return {};
  }

  Status send_file(int fd, std::uint64_t offset, std::uint64_t length, Milliseconds patience) override {
    Pace pace{patience};
    auto at = static_cast<off_t>(offset);
    while (length > 0) {
      const ssize_t count =
          ::sendfile(socket_.get(), fd, &at, std::min<std::uint64_t>(length, max_file_step));
      if (count > 0) {
        length -= static_cast<std::uint64_t>(count);
        pace.moved(static_cast<std::uint64_t>(count));
        continue;
      }
      if (count == 0) return fail(Code::io, fmt::format("the file ended {} bytes early", length));
      auto ready = wait_for_client("sending a file to the client", pace);
      if (!ready) return ready;
    }
    return {};
  }

  void finish_writing() override { ::shutdown(socket_.get(), SHUT_WR); }
  void cut() override { ::shutdown(socket_.get(), SHUT_RDWR); }

 private:
  struct Pace {
    Milliseconds patience;
    Milliseconds waited{0};  // since the client last took least_progress bytes
    std::uint64_t taken = 0;

    void moved(std::uint64_t bytes) {
      taken += bytes;
      if (taken < least_progress) return;
      taken = 0;
      waited = Milliseconds(0);
    }
  };
  // errno as after_failure has it.
  Status wait_for_client(const char* what, Pace& pace) {
    const auto begin = std::chrono::steady_clock::now();
    auto ready = after_failure(what, POLLOUT, std::max(pace.patience - pace.waited, Milliseconds(1)));
    pace.waited += std::chrono::duration_cast<Milliseconds>(std::chrono::steady_clock::now() - begin);
    if (ready && pace.waited >= pace.patience) {
      return fail(Code::timeout,
                  fmt::format("{}: it took only {} bytes in {} ms", what, pace.taken, pace.waited.count()));
    }
    return ready;
  }
  // errno says why the call did nothing: waits when it would have blocked.
  Status after_failure(const char* what, short events, Milliseconds patience) {
    if (errno == EINTR) return {};
    if (errno != EAGAIN && errno != EWOULDBLOCK) {
      return fail(Code::io, fmt::format("{}: {}", what, std::strerror(errno)));
    }
    const auto until = std::chrono::steady_clock::now() + patience;
    for (;;) {
      const auto left = std::chrono::ceil<Milliseconds>(until - std::chrono::steady_clock::now()).count();
      pollfd waiting{socket_.get(), events, 0};
      const int count = ::poll(&waiting, 1, static_cast<int>(std::clamp<std::int64_t>(left, 0, 1 << 30)));
      if (count > 0) return {};
      if (count == 0)
        return fail(Code::timeout, fmt::format("{}: nothing moved for {} ms", what, patience.count()));
      if (errno != EINTR) return fail(Code::io, fmt::format("{}: {}", what, std::strerror(errno)));
    }
  }

  Fd socket_;
};

}  // namespace

std::unique_ptr<Connection> plain_connection(Fd socket) {
  return std::make_unique<Plain>(std::move(socket));
}

}  // namespace kiln::http
