// What a handler gets and what it gives back.
#pragma once

#include <any>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"
#include "http/file.h"
#include "http/head.h"

namespace kiln::http {

enum class Method : std::uint8_t { get, head, put, post, patch, delete_ };

std::string_view to_string(Method method);             // "GET"
std::optional<Method> parse_method(std::string_view);  // nullopt: none of the above

// A request's body as it arrives. The first read tells a client that waits for it to go on (100 Continue):
// check what can be checked before.
class Body {
 public:
  virtual ~Body() = default;
  [[nodiscard]] virtual std::uint64_t size() const = 0;  // of the whole body
  // The next bytes, at most out.size(); 0 at the end. Errors: timeout when the client stalls; io when it goes
  // away early. After an error the connection ends with the answer.
  virtual Result<std::size_t> read_some(std::span<char> out) = 0;
  // The whole body. Errors: as above; too_large, before a byte is read, when it is over `max_bytes`.
  Result<std::string> read_all(std::size_t max_bytes);
};

struct Request {
  Method method = Method::get;                              // HEAD comes to the handler of GET
  std::string path;                                         // decoded, for people
  std::vector<std::pair<std::string, std::string>> params;  // of the route's pattern, decoded
  std::vector<std::pair<std::string, std::string>> query;
  Fields fields;
  std::string host;        // as the client calls us, with its port
  std::string peer;        // "192.168.1.7"
  bool is_secure = false;  // it came over TLS
  Body* body = nullptr;    // never null while a handler runs
  std::any caller;         // whom a wrapper around the handlers found out to ask; nothing to the server

  // From this very machine, or from a proxy there.
  [[nodiscard]] bool is_loopback() const { return peer == "::1" || peer.starts_with("127."); }
  // The pattern has it: a wrong name is a bug.
  [[nodiscard]] const std::string& param(std::string_view name) const;
  [[nodiscard]] const std::string* query_value(std::string_view name) const;
  [[nodiscard]] const std::string* field(std::string_view name) const { return find_field(fields, name); }
};

// Where a streaming response goes.
class Sink {
 public:
  virtual ~Sink() = default;
  // Errors: io or timeout when the client is gone: give up then.
  virtual Status write(std::string_view bytes) = 0;
  virtual Status send_file(int fd, std::uint64_t offset, std::uint64_t length) = 0;
  // The server wants to end: a stream without an end must return.
  [[nodiscard]] virtual bool is_stopping() const = 0;
};

// Bytes of this program's own that outlive every response.
struct StaticBytes {
  std::string_view bytes;
};
// Written by the handler's function while the connection waits. With `size` the client learns it and must get
// exactly that many bytes; without, the end of the connection ends the stream.
struct Stream {
  std::optional<std::uint64_t> size;
  std::function<Status(Sink&)> write;
};

struct Response {
  int status = 200;
  std::string content_type = {};
  Fields fields = {};     // beside those that the server adds
  std::string etag = {};  // quoted; "" for none. Conditional requests are answered from it
  std::variant<std::string, StaticBytes, File, Stream> body = {};  // a File is served with Range

  Response& set(std::string name, std::string value) {
    fields.emplace_back(std::move(name), std::move(value));
    return *this;
  }
};

}  // namespace kiln::http
