// Bytes to and from one client. A plain form now; a TLS form has the same face.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
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
};

// Takes a connected, non-blocking stream socket.
std::unique_ptr<Connection> plain_connection(Fd socket);

}  // namespace kiln::http
