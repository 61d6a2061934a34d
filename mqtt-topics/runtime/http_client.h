// An HTTP client. Hides libcurl. One object holds one connection and is used by one thread at a time.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace kiln::runtime {

// Names in lower case in what comes back; as given in what is sent.
using HttpHeaders = std::map<std::string, std::string>;

struct HttpResponse {
  int status = 0;
  HttpHeaders headers;
  std::string body;

  [[nodiscard]] bool ok() const { return status >= 200 && status < 300; }
  // What the server says went wrong: the detail or title of a problem JSON, else the status.
  [[nodiscard]] std::string problem() const;
};

// Whom we believe to be the server, and who we are to it.
struct HttpTrust {
  std::string ca_file;  // "" = the system's
  // The Authorization field's value, asked for at every request; "" = none. Thread-safe.
  std::function<std::string()> authorization;
  // Told of every answer 401: what `authorization` says is not, or no longer, good. Thread-safe.
  std::function<void()> on_unauthorized;
};

struct HttpOptions {
  std::chrono::milliseconds connect_timeout{5'000};
  std::chrono::seconds stall{30};                   // no byte moves for this long: given up
  std::chrono::milliseconds overall{0};             // for a whole exchange; 0 = none
  std::size_t max_body_bytes = 4ULL * 1024 * 1024;  // of an answer kept in memory
  HttpTrust trust;
  bool trusts_anyone = false;  // to get the authority itself, and nothing else
  HttpHeaders headers;         // sent with every request
  // Asked about once a second, and whenever bytes move; true ends the exchange.
  std::function<bool()> cancelled;
  // Told as often: bytes of the bodies of this exchange so far. For progress bars.
  std::function<void(std::uint64_t sent, std::uint64_t received)> moved;
};

// A status code is no error here: callers look at `status`. Errors of every call: unavailable when nothing
// answers (says which host and port, and what to do), denied when its certificate is not one of ca_file's,
// timeout when it stalls or was cancelled, too_large for a body beyond its bound, io and full for files,
// invalid for a URL that is none.
class HttpClient {
 public:
  // base_url: "http://host:port"; http and https only. Redirects are not followed and proxies not used: the
  // farm is a LAN.
  explicit HttpClient(std::string base_url, HttpOptions options = {});
  ~HttpClient();
  HttpClient(HttpClient&&) noexcept;
  HttpClient& operator=(HttpClient&&) noexcept;

  void set_base_url(std::string base_url);

  // `path` starts with '/', already escaped (see escape_path).
  Result<HttpResponse> get(const std::string& path, const HttpHeaders& headers = {});
  Result<HttpResponse> head(const std::string& path, const HttpHeaders& headers = {});
  // Any method with a body in memory; content type application/json unless a header says otherwise.
  Result<HttpResponse> send(const std::string& method, const std::string& path, std::string_view body,
                            const HttpHeaders& headers = {});
  Result<HttpResponse> post(const std::string& path, std::string_view json, const HttpHeaders& headers = {});
  Result<HttpResponse> patch(const std::string& path, std::string_view json, const HttpHeaders& headers = {});
  Result<HttpResponse> remove(const std::string& path, const HttpHeaders& headers = {});  // DELETE

  // Into the file, from `offset` on (the bytes before it are there already; Range is asked for). A server
  // that sends the whole (200) makes the file start anew. `body` stays empty unless the status is an error,
  // which leaves the file as it was. Not synced. max_bytes bounds the whole file.
  struct Download {
    HttpResponse response;
    std::uint64_t offset = 0;  // where this answer began in the file
    std::uint64_t size = 0;    // of the file now
  };
  Result<Download> get_file(const std::string& path, const std::filesystem::path& file, std::uint64_t offset,
                            std::uint64_t max_bytes, const HttpHeaders& headers = {});

  // PUTs the file's bytes [offset, size). With an offset, Content-Range says so.
  Result<HttpResponse> put_file(const std::string& path, const std::filesystem::path& file,
                                std::uint64_t offset = 0, const HttpHeaders& headers = {});

  // Hands over the answer's body line by line (without the line end) until it ends or on_line returns false.
  // `response.body` is filled when the status is an error. Lines beyond 1 MiB are an error.
  Result<HttpResponse> stream(const std::string& path,
                              const std::function<bool(std::string_view line)>& on_line,
                              const HttpHeaders& headers = {});

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// True for the names of loopback, in brackets or not: plain HTTP is spoken there, and nowhere else.
bool is_this_machine(std::string_view host);

// Percent-encodes a path's segments and keeps its slashes: for file names in URLs.
std::string escape_path(std::string_view path);
// The same, slashes too: for one segment or a query's value.
std::string escape_segment(std::string_view text);

// Server-sent events out of the lines of stream().
struct ServerEvent {
  std::string id;     // the last one given
  std::string event;  // "message" where none is named
  std::string data;   // lines joined by '\n'
};
class ServerEvents {
 public:
  explicit ServerEvents(std::function<bool(const ServerEvent&)> on_event) : on_event_(std::move(on_event)) {}
  // One line; what on_event last said.
  bool line(std::string_view text);

 private:
  std::function<bool(const ServerEvent&)> on_event_;
  ServerEvent next_;
  bool has_data_ = false;
};

}  // namespace kiln::runtime
