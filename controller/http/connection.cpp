#include "http/connection.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace kiln::http {

namespace {

// sendfile(2) moves at most this much at a time, so that a slow client is noticed and cut() is seen.
constexpr std::size_t max_file_step = 4U << 20U;

// A client must take this much within the patience: one byte now and then would hold a thread for ever.
constexpr std::uint64_t least_progress = 16ULL * 1024;

// How long a client may stand still while it is sent something.
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

// What both forms do with the socket itself.
class OnSocket : public Connection {
 public:
  explicit OnSocket(Fd socket) : socket_(std::move(socket)) {}
  void finish_writing() override { ::shutdown(socket_.get(), SHUT_WR); }
  void cut() override { ::shutdown(socket_.get(), SHUT_RDWR); }

 protected:
  [[nodiscard]] int fd() const { return socket_.get(); }

  Status wait_for(const char* what, short events, Milliseconds patience) {
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
  // The same against the client's pace.
  Status wait_for(const char* what, short events, Pace& pace) {
    const auto begin = std::chrono::steady_clock::now();
    auto ready = wait_for(what, events, std::max(pace.patience - pace.waited, Milliseconds(1)));
    pace.waited += std::chrono::duration_cast<Milliseconds>(std::chrono::steady_clock::now() - begin);
    if (ready && pace.waited >= pace.patience) {
      return fail(Code::timeout,
                  fmt::format("{}: it took only {} bytes in {} ms", what, pace.taken, pace.waited.count()));
    }
    return ready;
  }

 private:
  Fd socket_;
};

class Plain final : public OnSocket {
 public:
  using OnSocket::OnSocket;

  Result<std::size_t> read_some(std::span<char> out, Milliseconds patience) override {
    for (;;) {
      const ssize_t count = ::recv(fd(), out.data(), out.size(), 0);
      if (count >= 0) return static_cast<std::size_t>(count);
      auto ready = after_failure("reading from the client", POLLIN, patience);
      if (!ready) return fail(std::move(ready.error()));
    }
  }

  Status write(std::string_view bytes, Milliseconds patience, bool more) override {
    Pace pace{patience};
    while (!bytes.empty()) {
      const ssize_t count = ::send(fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL | (more ? MSG_MORE : 0));
      if (count >= 0) {
        bytes.remove_prefix(static_cast<std::size_t>(count));
        pace.moved(static_cast<std::uint64_t>(count));
        continue;
      }
      auto ready = after_failure("writing to the client", POLLOUT, pace);
      if (!ready) return ready;
    }
    return {};
  }

  Status send_file(int fd, std::uint64_t offset, std::uint64_t length, Milliseconds patience) override {
    Pace pace{patience};
    auto at = static_cast<off_t>(offset);
    while (length > 0) {
      const ssize_t count = ::sendfile(this->fd(), fd, &at, std::min<std::uint64_t>(length, max_file_step));
      if (count > 0) {
        length -= static_cast<std::uint64_t>(count);
        pace.moved(static_cast<std::uint64_t>(count));
        continue;
      }
      if (count == 0) return fail(Code::io, fmt::format("the file ended {} bytes early", length));
      auto ready = after_failure("sending a file to the client", POLLOUT, pace);
      if (!ready) return ready;
    }
    return {};
  }

 private:
  // errno says why the call did nothing: waits when it would have blocked.
  template <class Patience>
  Status after_failure(const char* what, short events, Patience& patience) {
    if (errno == EINTR) return {};
    if (errno != EAGAIN && errno != EWOULDBLOCK) {
      return fail(Code::io, fmt::format("{}: {}", what, std::strerror(errno)));
    }
    return wait_for(what, events, patience);
  }
};

// What OpenSSL has queued for this thread, the oldest first; emptied.
std::string tls_error() {
  const unsigned long code = ::ERR_get_error();
  ::ERR_clear_error();
  if (code == 0) return "the connection broke";
  const char* reason = ::ERR_reason_error_string(code);
  return reason != nullptr ? reason : fmt::format("error {:#x}", code);
}

constexpr unsigned char handshake = 22;  // the first byte of every TLS connection (RFC 8446, 5.1)
// A record holds 16 KiB: more at a time spares calls, not bytes.
constexpr std::size_t file_piece = 256ULL * 1024;

struct SslFree {
  void operator()(SSL* ssl) const { ::SSL_free(ssl); }
};

class Secure final : public OnSocket {
 public:
  Secure(Fd socket, std::shared_ptr<const TlsContext> tls);

  Result<std::size_t> read_some(std::span<char> out, Milliseconds patience) override {
    for (;;) {
      const int count =
          ::SSL_read(ssl_.get(), out.data(), static_cast<int>(std::min<std::size_t>(out.size(), 1U << 30U)));
      if (count > 0) return static_cast<std::size_t>(count);
      const int error = ::SSL_get_error(ssl_.get(), count);
      if (error == SSL_ERROR_ZERO_RETURN) return std::size_t{0};
      auto ready = after_failure("reading from the client", error, patience);
      if (!ready) return fail(std::move(ready.error()));
    }
  }

  Status write(std::string_view bytes, Milliseconds patience, bool) override {
    Pace pace{patience};
    return put(bytes, pace);
  }

  Status send_file(int file, std::uint64_t offset, std::uint64_t length, Milliseconds patience) override {
    Pace pace{patience};
    std::string piece(std::min<std::uint64_t>(length, file_piece), '\0');
    while (length > 0) {
      const std::size_t wanted = std::min<std::uint64_t>(length, piece.size());
      const ssize_t count = ::pread(file, piece.data(), wanted, static_cast<off_t>(offset));
      if (count < 0)
        return fail(Code::io, fmt::format("reading a file for the client: {}", std::strerror(errno)));
      if (count == 0) return fail(Code::io, fmt::format("the file ended {} bytes early", length));
      if (auto sent = put({piece.data(), static_cast<std::size_t>(count)}, pace); !sent) return sent;
      offset += static_cast<std::uint64_t>(count);
      length -= static_cast<std::uint64_t>(count);
    }
    return {};
  }

  void finish_writing() override {
    ::SSL_shutdown(ssl_.get());  // close_notify, as far as the socket takes it; the answer is not awaited
    ::ERR_clear_error();
    OnSocket::finish_writing();
  }
  [[nodiscard]] bool is_secure() const override { return true; }

 private:
  Status put(std::string_view bytes, Pace& pace) {
    while (!bytes.empty()) {
      const int count = ::SSL_write(ssl_.get(), bytes.data(),
                                    static_cast<int>(std::min<std::size_t>(bytes.size(), 1U << 30U)));
      if (count > 0) {
        bytes.remove_prefix(static_cast<std::size_t>(count));
        pace.moved(static_cast<std::uint64_t>(count));
        continue;
      }
      auto ready = after_failure("writing to the client", ::SSL_get_error(ssl_.get(), count), pace);
      if (!ready) return ready;
    }
    return {};
  }
  // `error`: SSL_get_error's.
  template <class Patience>
  Status after_failure(const char* what, int error, Patience& patience) {
    if (error == SSL_ERROR_WANT_READ) return wait_for(what, POLLIN, patience);
    if (error == SSL_ERROR_WANT_WRITE) return wait_for(what, POLLOUT, patience);
    return fail(Code::io, fmt::format("{}: {}", what, tls_error()));
  }

  std::shared_ptr<const TlsContext> tls_;
  std::unique_ptr<SSL, SslFree> ssl_;
};

// Becomes one or the other when the first byte is there.
class Either final : public Connection {
 public:
  Either(Fd socket, std::shared_ptr<const TlsContext> tls)
      : fd_(socket.get()), undecided_(std::move(socket)), tls_(std::move(tls)) {}

  Result<std::size_t> read_some(std::span<char> out, Milliseconds patience) override {
    if (!form_) {
      auto decided = decide(patience);
      if (!decided) return fail(std::move(decided.error()));
      if (!form_) return std::size_t{0};
    }
    return form_->read_some(out, patience);
  }
  Status write(std::string_view bytes, Milliseconds patience, bool more) override {
    return form_ ? form_->write(bytes, patience, more) : silent();
  }
  Status send_file(int fd, std::uint64_t offset, std::uint64_t length, Milliseconds patience) override {
    return form_ ? form_->send_file(fd, offset, length, patience) : silent();
  }
  void finish_writing() override {
    if (form_) form_->finish_writing();
  }
  // The descriptor lives as long as this object, whoever owns it.
  void cut() override { ::shutdown(fd_, SHUT_RDWR); }
  [[nodiscard]] bool is_secure() const override { return form_ && form_->is_secure(); }

 private:
  // Without a form afterwards: the client said nothing and left.
  Status decide(Milliseconds patience) {
    pollfd waiting{fd_, POLLIN, 0};
    const auto until = std::chrono::steady_clock::now() + patience;
    for (;;) {
      unsigned char first = 0;
      const ssize_t count = ::recv(fd_, &first, 1, MSG_PEEK);
      if (count == 0) return {};
      if (count == 1) {
        form_ = first == handshake
                    ? std::unique_ptr<Connection>(new Secure(std::move(undecided_), std::move(tls_)))
                    : plain_connection(std::move(undecided_));
        return {};
      }
      if (errno != EAGAIN && errno != EINTR) return fail(Code::io, std::strerror(errno));
      const auto left = std::chrono::ceil<Milliseconds>(until - std::chrono::steady_clock::now()).count();
      if (left <= 0) return fail(Code::timeout, "the client says nothing");
      ::poll(&waiting, 1, static_cast<int>(std::min<std::int64_t>(left, 1 << 30)));
    }
  }
  static Status silent() { return fail(Code::io, "the client has said nothing yet"); }

  const int fd_;
  Fd undecided_;
  std::shared_ptr<const TlsContext> tls_;
  std::unique_ptr<Connection> form_;
};

}  // namespace

struct TlsContext::State {
  struct Free {
    void operator()(SSL_CTX* context) const { ::SSL_CTX_free(context); }
  };
  std::unique_ptr<SSL_CTX, Free> context;
};

TlsContext::TlsContext(std::unique_ptr<State> state) : state_(std::move(state)) {}
TlsContext::~TlsContext() = default;

Result<std::shared_ptr<const TlsContext>> TlsContext::make(const std::string& certificate,
                                                           const std::string& private_key) {
  auto state = std::make_unique<State>();
  state->context.reset(::SSL_CTX_new(::TLS_server_method()));
  SSL_CTX* context = state->context.get();
  KILN_ASSERT(context != nullptr);
  ::SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  // A connection that was cut is one that ended early: bodies have their lengths.
  ::SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_NO_RENEGOTIATION);
  ::SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
  const auto read_bio = [](const std::string& text) {
    return std::unique_ptr<BIO, decltype(&::BIO_free_all)>(
        ::BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), &::BIO_free_all);
  };
  const std::unique_ptr<X509, decltype(&::X509_free)> own(
      ::PEM_read_bio_X509(read_bio(certificate).get(), nullptr, nullptr, nullptr), &::X509_free);
  const std::unique_ptr<EVP_PKEY, decltype(&::EVP_PKEY_free)> key(
      ::PEM_read_bio_PrivateKey(read_bio(private_key).get(), nullptr, nullptr, nullptr), &::EVP_PKEY_free);
  const bool is_whole = own && key && ::SSL_CTX_use_certificate(context, own.get()) == 1 &&
                        ::SSL_CTX_use_PrivateKey(context, key.get()) == 1 &&
                        ::SSL_CTX_check_private_key(context) == 1;
  if (!is_whole) return fail(Code::invalid, fmt::format("the server's certificate or key: {}", tls_error()));
  return std::shared_ptr<const TlsContext>(std::make_shared<TlsContext>(std::move(state)));
}

namespace {

Secure::Secure(Fd socket, std::shared_ptr<const TlsContext> tls)
    : OnSocket(std::move(socket)), tls_(std::move(tls)), ssl_(::SSL_new(tls_->state().context.get())) {
  KILN_ASSERT(ssl_ != nullptr && ::SSL_set_fd(ssl_.get(), fd()) == 1);
  ::SSL_set_accept_state(ssl_.get());
}

}  // namespace

std::unique_ptr<Connection> either_connection(Fd socket, std::shared_ptr<const TlsContext> tls) {
  return std::make_unique<Either>(std::move(socket), std::move(tls));
}

std::unique_ptr<Connection> plain_connection(Fd socket) {
  return std::make_unique<Plain>(std::move(socket));
}

}  // namespace kiln::http
