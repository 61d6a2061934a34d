// Bytes to and from one client: plain or under TLS, which share a port.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "http/file.h"

namespace kiln::http {

using Milliseconds = std::chrono::milliseconds;

// Used by one thread, except for cut().
class Connection {
 public:
  virtual ~Connection() = default;

  // What has arrived, at least one byte; 0: the client will send no more. Errors: timeout when nothing came
  // for `patience`; io when the connection broke or was cut.
  virtual Result<std::size_t> read_some(std::span<char> out, Milliseconds patience) = 0;
  // All of `bytes`. `more`: the rest of the message follows at once. Errors: timeout when the client took
  // less than 16 KiB within `patience`; io.
  virtual Status write(std::string_view bytes, Milliseconds patience, bool more) = 0;
  // That part of the file, without a copy through this process where the transport can. Errors: as write();
  // io also when the file is shorter.
  virtual Status send_file(int fd, std::uint64_t offset, std::uint64_t length, Milliseconds patience) = 0;
  // We send no more; the client may still be heard.
  virtual void finish_writing() = 0;
  // Ends both directions and wakes whoever waits in a call above. From any thread.
  virtual void cut() = 0;
  // Under TLS. Known once something was read.
  [[nodiscard]] virtual bool is_secure() const { return false; }
};

// Takes a connected, non-blocking stream socket.
std::unique_ptr<Connection> plain_connection(Fd socket);

// The certificate that this server shows, from one moment on: a renewed one serves new connections.
class TlsContext {
 public:
  // Both PEM. Errors: invalid when they do not belong together.
  static Result<std::shared_ptr<const TlsContext>> make(const std::string& certificate,
                                                        const std::string& private_key);
  struct State;
  explicit TlsContext(std::unique_ptr<State> state);
  ~TlsContext();
  [[nodiscard]] const State& state() const { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

// The same port for both: what begins like a TLS handshake becomes one (TLS 1.2 or 1.3) at the first read,
// all else is plain.
std::unique_ptr<Connection> either_connection(Fd socket, std::shared_ptr<const TlsContext> tls);

}  // namespace kiln::http
