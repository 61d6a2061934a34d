#include "runtime/http_client.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <mutex>
#include <optional>

#include "base/json.h"
#include "runtime/files.h"

namespace kiln::runtime {

namespace {

constexpr std::size_t max_header_bytes = 64ULL * 1024;  // of one answer
constexpr std::size_t max_line_bytes = 1024ULL * 1024;  // of stream()

struct FreeEasy {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct FreeUrl {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
// curl_slist_append returns the list's head, which only the first call changes.
class HeaderList {
 public:
  ~HeaderList() { curl_slist_free_all(head_); }
  HeaderList() = default;
  HeaderList(const HeaderList&) = delete;
  HeaderList& operator=(const HeaderList&) = delete;
  void add(const std::string& line) { head_ = curl_slist_append(head_, line.c_str()); }
  [[nodiscard]] curl_slist* get() const { return head_; }

 private:
  curl_slist* head_ = nullptr;
};

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return std::tolower(c); });
  return out;
}

std::string_view trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

// "http://farm:8780/" -> "farm:8780"; nullopt when it is no http or https URL.
std::optional<std::string> host_and_port(const std::string& base_url) {
  const std::unique_ptr<CURLU, FreeUrl> url(curl_url());
  if (curl_url_set(url.get(), CURLUPART_URL, base_url.c_str(), 0) != CURLUE_OK) return std::nullopt;
  const auto part = [&](CURLUPart which, unsigned flags) {
    char* text = nullptr;
    if (curl_url_get(url.get(), which, &text, flags) != CURLUE_OK) return std::string();
    std::string copy(text);
    curl_free(text);
    return copy;
  };
  const auto scheme = part(CURLUPART_SCHEME, 0);
  if ((scheme != "http" && scheme != "https") || part(CURLUPART_HOST, 0).empty()) return std::nullopt;
  return fmt::format("{}:{}", part(CURLUPART_HOST, 0), part(CURLUPART_PORT, CURLU_DEFAULT_PORT));
}

// The first byte's place in "bytes 100-199/200".
std::optional<std::uint64_t> range_start(std::string_view content_range) {
  constexpr std::string_view unit = "bytes ";
  if (!content_range.starts_with(unit)) return std::nullopt;
  content_range.remove_prefix(unit.size());
  std::uint64_t start = 0;
  const auto [end, error] =
      std::from_chars(content_range.data(), content_range.data() + content_range.size(), start);
  const bool is_range =
      error == std::errc{} && end != content_range.data() + content_range.size() && *end == '-';
  return is_range ? std::optional(start) : std::nullopt;
}

// Where an answer's body goes once its head was read. An error ends the exchange and is what the caller gets.
class Sink {
 public:
  virtual ~Sink() = default;
  virtual Status take(const HttpResponse& head, std::string_view bytes) = 0;
};

class FileSink final : public Sink {
 public:
  FileSink(std::filesystem::path path, std::uint64_t offset, std::uint64_t max_bytes)
      : path_(std::move(path)), wanted_(offset), max_bytes_(max_bytes) {}

  Status take(const HttpResponse& head, std::string_view bytes) override {
    if (auto opened = open(head); !opened) return opened;
    if (bytes.size() > max_bytes_ - std::min(max_bytes_, place_)) {
      return fail(Code::too_large,
                  fmt::format("{} would be larger than {} bytes", path_.native(), max_bytes_));
    }
    while (!bytes.empty()) {
      const auto written = ::pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(place_));
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return fail(os_error(errno, fmt::format("writing {}", path_.native())));
      place_ += static_cast<std::uint64_t>(written);
      bytes.remove_prefix(static_cast<std::size_t>(written));
    }
    return {};
  }

  // Opened at the first byte, so that an error's answer leaves the file alone; and once more at the end, for
  // an empty one.
  Status open(const HttpResponse& head) {
    if (fd_) return {};
    constexpr int partial_content = 206;
    if (head.status == partial_content) {
      const auto range = head.headers.find("content-range");
      const auto start = range == head.headers.end() ? std::nullopt : range_start(range->second);
      if (start != wanted_) {
        return fail(Code::io,
                    fmt::format("the server answered another range than the one from byte {} on", wanted_));
      }
      offset_ = wanted_;
    }
    auto fd = open_file(path_, O_WRONLY | O_CREAT);
    if (!fd) return fail(std::move(fd.error()));
    fd_ = std::move(*fd);
    place_ = offset_;
    if (::ftruncate(fd_.get(), static_cast<off_t>(place_)) != 0) {
      return fail(os_error(errno, fmt::format("shortening {}", path_.native())));
    }
    return {};
  }

  [[nodiscard]] std::uint64_t offset() const { return offset_; }
  [[nodiscard]] std::uint64_t size() const { return place_; }

 private:
  std::filesystem::path path_;
  std::uint64_t wanted_;
  std::uint64_t max_bytes_;
  Fd fd_;
  std::uint64_t offset_ = 0;
  std::uint64_t place_ = 0;
};

class LineSink final : public Sink {
 public:
  explicit LineSink(const std::function<bool(std::string_view)>& on_line) : on_line_(on_line) {}

  Status take(const HttpResponse&, std::string_view bytes) override {
    for (;;) {
      const auto end = bytes.find('\n');
      rest_ += bytes.substr(0, end);
      if (rest_.size() > max_line_bytes) {
        return fail(Code::too_large, fmt::format("a line of more than {} bytes", max_line_bytes));
      }
      if (end == std::string_view::npos) return {};
      bytes.remove_prefix(end + 1);
      if (rest_.ends_with('\r')) rest_.pop_back();
      const auto line = std::exchange(rest_, {});
      if (!on_line_(line)) {
        has_enough_ = true;
        return fail(Code::timeout, "enough");
      }
    }
  }
  [[nodiscard]] bool has_enough() const { return has_enough_; }

 private:
  const std::function<bool(std::string_view)>& on_line_;
  std::string rest_;
  bool has_enough_ = false;
};

// What one exchange collects.
struct Exchange {
  HttpResponse response;
  Sink* sink = nullptr;  // for the body of a success; nullptr: memory
  std::size_t max_body_bytes = 0;
  const HttpOptions* options = nullptr;
  int upload_fd = -1;
  std::uint64_t upload_start = 0;
  std::uint64_t upload_place = 0;
  std::size_t header_bytes = 0;
  std::optional<Error> error;
};

std::size_t on_header(char* data, std::size_t, std::size_t size, void* self) {
  auto& exchange = *static_cast<Exchange*>(self);
  const std::string_view line(data, size);
  exchange.header_bytes += size;
  if (exchange.header_bytes > max_header_bytes) {
    exchange.error =
        Error{Code::too_large, fmt::format("an answer with more than {} bytes of headers", max_header_bytes)};
    return 0;
  }
  if (line.starts_with("HTTP/")) {  // the final answer follows "100 Continue"
    exchange.response.headers.clear();
    const auto space = line.find(' ');
    const auto digits = space == std::string_view::npos ? std::string_view() : line.substr(space + 1);
    exchange.response.status = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), exchange.response.status);
  } else if (const auto colon = line.find(':'); colon != std::string_view::npos) {
    exchange.response.headers[lower(line.substr(0, colon))] = trimmed(line.substr(colon + 1));
  }
  return size;
}

std::size_t on_body(char* data, std::size_t, std::size_t size, void* self) {
  auto& exchange = *static_cast<Exchange*>(self);
  const std::string_view bytes(data, size);
  Status taken;
  if (exchange.sink != nullptr && exchange.response.ok()) {
    taken = exchange.sink->take(exchange.response, bytes);
  } else if (exchange.response.body.size() + size > exchange.max_body_bytes) {
    taken = fail(Code::too_large, fmt::format("an answer of more than {} bytes", exchange.max_body_bytes));
  } else {
    exchange.response.body += bytes;
  }
  if (taken) return size;
  exchange.error = std::move(taken.error());
  return 0;
}

std::size_t on_upload(char* buffer, std::size_t, std::size_t size, void* self) {
  auto& exchange = *static_cast<Exchange*>(self);
  ssize_t got = 0;
  do {
    got = ::pread(exchange.upload_fd, buffer, size, static_cast<off_t>(exchange.upload_place));
  } while (got < 0 && errno == EINTR);
  if (got < 0) {
    exchange.error = os_error(errno, "reading the file to send");
    return CURL_READFUNC_ABORT;
  }
  exchange.upload_place += static_cast<std::uint64_t>(got);
  return static_cast<std::size_t>(got);
}

// curl goes back to the beginning when a kept connection turned out to be dead.
int on_seek(void* self, curl_off_t offset, int origin) {
  auto& exchange = *static_cast<Exchange*>(self);
  if (origin != SEEK_SET) return CURL_SEEKFUNC_CANTSEEK;
  exchange.upload_place = exchange.upload_start + static_cast<std::uint64_t>(offset);
  return CURL_SEEKFUNC_OK;
}

int on_progress(void* self, curl_off_t, curl_off_t received, curl_off_t, curl_off_t sent) {
  const auto& options = *static_cast<Exchange*>(self)->options;
  if (options.moved) options.moved(static_cast<std::uint64_t>(sent), static_cast<std::uint64_t>(received));
  return options.cancelled && options.cancelled() ? 1 : 0;
}

}  // namespace

struct HttpClient::State {
  std::string base_url;
  std::string peer;  // "host:port", for sentences; "" when base_url is none
  HttpOptions options;
  std::unique_ptr<CURL, FreeEasy> easy{curl_easy_init()};

  void set_base_url(std::string url) {
    while (url.ends_with('/')) url.pop_back();
    peer = host_and_port(url).value_or("");
    base_url = std::move(url);
  }

  // What was set up for one exchange must not leak into the next. Keeps the connection.
  struct ResetAtEnd {
    CURL* easy;
    ~ResetAtEnd() { curl_easy_reset(easy); }
  };

  // Sends what is set up in `easy` and fills the exchange.
  Status perform(Exchange& exchange, const std::string& path, const HttpHeaders& headers) {
    const ResetAtEnd reset{easy.get()};
    if (peer.empty()) {
      return fail(Code::invalid,
                  fmt::format("'{}' is no address of a controller: http://host:8780 is expected", base_url));
    }
    exchange.max_body_bytes = options.max_body_bytes;
    exchange.options = &options;
    CURL* curl = easy.get();
    HeaderList list;
    for (const HttpHeaders* some : {&std::as_const(options.headers), &headers}) {
      for (const auto& [name, value] : *some) {
        if (value.find_first_of("\r\n") != std::string::npos ||
            name.find_first_of("\r\n: ") != std::string::npos) {
          return fail(Code::invalid, fmt::format("the header '{}' would not be one line", name));
        }
        // "Name;" is how curl is told of an empty value.
        list.add(value.empty() ? fmt::format("{};", name) : fmt::format("{}: {}", name, value));
      }
    }
    const auto authorization = options.trust.authorization ? options.trust.authorization() : std::string();
    if (!authorization.empty()) list.add("Authorization: " + authorization);
    const auto url = base_url + path;
    std::array<char, CURL_ERROR_SIZE> text{};
    curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list.get());
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, text.data());
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "kiln");
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect_timeout.count()));
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, static_cast<long>(options.stall.count()));
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(options.overall.count()));
    curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, 256L * 1024);
    curl_easy_setopt(curl, CURLOPT_UPLOAD_BUFFERSIZE, 256L * 1024);
    if (!options.trust.ca_file.empty()) curl_easy_setopt(curl, CURLOPT_CAINFO, options.trust.ca_file.c_str());
    if (options.trusts_anyone) {
      curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
      curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, &exchange);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &exchange);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &exchange);
    const auto code = curl_easy_perform(curl);
    long os_errno = 0;
    curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &os_errno);
    if (exchange.error) return fail(*exchange.error);
    if (code != CURLE_OK) return fail(to_error(code, static_cast<int>(os_errno), text.data()));
    constexpr int unauthorized = 401;
    if (exchange.response.status == unauthorized && options.trust.on_unauthorized)
      options.trust.on_unauthorized();
    return {};
  }

  Result<HttpResponse> finish(Exchange& exchange, const std::string& path, const HttpHeaders& headers) {
    auto performed = perform(exchange, path, headers);
    if (!performed) return fail(std::move(performed.error()));
    return std::move(exchange.response);
  }

  [[nodiscard]] Error to_error(CURLcode code, int os_errno, const char* text) const {
    const std::string detail = *text == '\0' ? curl_easy_strerror(code) : text;
    switch (code) {
      case CURLE_COULDNT_CONNECT:
        return {Code::unavailable,
                fmt::format("nothing answers at {} ({}): is kiln-controller running there?", peer,
                            os_errno == 0 ? detail : std::strerror(os_errno))};
      case CURLE_COULDNT_RESOLVE_HOST:
        return {Code::unavailable, fmt::format("{}: no such host; check the controller's address", peer)};
      case CURLE_OPERATION_TIMEDOUT:
        return {Code::timeout, fmt::format("{} does not answer in time ({})", peer, detail)};
      case CURLE_ABORTED_BY_CALLBACK:
        return {Code::timeout, "cancelled"};
      case CURLE_URL_MALFORMAT:
      case CURLE_UNSUPPORTED_PROTOCOL:
        return {Code::invalid, fmt::format("{}: {}", peer, detail)};
      case CURLE_PEER_FAILED_VERIFICATION:
      case CURLE_SSL_CACERT_BADFILE:
        return {Code::denied, fmt::format("{} cannot prove who it is: {}", peer, detail)};
      case CURLE_OUT_OF_MEMORY:
        return {Code::internal, detail};
      default:
        return {Code::unavailable, fmt::format("the connection to {} broke: {}", peer, detail)};
    }
  }
};

bool is_this_machine(std::string_view host) {
  return host == "localhost" || host == "::1" || host == "[::1]" || host.starts_with("127.");
}

std::string HttpResponse::problem() const {
  if (const auto json = Json::parse(body)) {
    for (const char* key : {"detail", "title"}) {
      const Json* found = json->find(key);
      if (found != nullptr && found->as_string() != nullptr && !found->as_string()->empty())
        return *found->as_string();
    }
  }
  return fmt::format("the answer was HTTP {}", status);
}

HttpClient::HttpClient(std::string base_url, HttpOptions options) : state_(std::make_unique<State>()) {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  KILN_ASSERT(state_->easy != nullptr);
  state_->options = std::move(options);
  state_->set_base_url(std::move(base_url));
}
HttpClient::~HttpClient() = default;
HttpClient::HttpClient(HttpClient&&) noexcept = default;
HttpClient& HttpClient::operator=(HttpClient&&) noexcept = default;

void HttpClient::set_base_url(std::string base_url) {
  state_->set_base_url(std::move(base_url));
}

Result<HttpResponse> HttpClient::get(const std::string& path, const HttpHeaders& headers) {
  Exchange exchange;
  curl_easy_setopt(state_->easy.get(), CURLOPT_HTTPGET, 1L);
  return state_->finish(exchange, path, headers);
}

Result<HttpResponse> HttpClient::head(const std::string& path, const HttpHeaders& headers) {
  Exchange exchange;
  curl_easy_setopt(state_->easy.get(), CURLOPT_NOBODY, 1L);
  return state_->finish(exchange, path, headers);
}

Result<HttpResponse> HttpClient::send(const std::string& method, const std::string& path,
                                      std::string_view body, const HttpHeaders& headers) {
  Exchange exchange;
  CURL* curl = state_->easy.get();
  curl_easy_setopt(curl, CURLOPT_POST, 1L);
  curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
  curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.empty() ? "" : body.data());
  curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method.c_str());
  auto all = headers;
  const bool has_type =
      std::any_of(all.begin(), all.end(), [](const auto& h) { return lower(h.first) == "content-type"; });
  if (!has_type) all["Content-Type"] = "application/json";
  return state_->finish(exchange, path, all);
}

Result<HttpResponse> HttpClient::post(const std::string& path, std::string_view json,
                                      const HttpHeaders& headers) {
  return send("POST", path, json, headers);
}
Result<HttpResponse> HttpClient::patch(const std::string& path, std::string_view json,
                                       const HttpHeaders& headers) {
  return send("PATCH", path, json, headers);
}

Result<HttpResponse> HttpClient::remove(const std::string& path, const HttpHeaders& headers) {
  Exchange exchange;
  curl_easy_setopt(state_->easy.get(), CURLOPT_HTTPGET, 1L);
  curl_easy_setopt(state_->easy.get(), CURLOPT_CUSTOMREQUEST, "DELETE");
  return state_->finish(exchange, path, headers);
}

Result<HttpClient::Download> HttpClient::get_file(const std::string& path, const std::filesystem::path& file,
                                                  std::uint64_t offset, std::uint64_t max_bytes,
                                                  const HttpHeaders& headers) {
  std::error_code error;
  if (offset > 0 && std::filesystem::file_size(file, error) < offset) offset = 0;
  if (error) offset = 0;  // nothing there to go on from
  FileSink sink(file, offset, max_bytes);
  Exchange exchange;
  exchange.sink = &sink;
  curl_easy_setopt(state_->easy.get(), CURLOPT_HTTPGET, 1L);
  const auto range = fmt::format("{}-", offset);
  if (offset > 0) curl_easy_setopt(state_->easy.get(), CURLOPT_RANGE, range.c_str());
  auto response = state_->finish(exchange, path, headers);
  if (!response) return fail(std::move(response.error()));
  if (response->ok()) {
    if (auto opened = sink.open(*response); !opened) return fail(std::move(opened.error()));
  }
  return Download{std::move(*response), sink.offset(), sink.size()};
}

Result<HttpResponse> HttpClient::put_file(const std::string& path, const std::filesystem::path& file,
                                          std::uint64_t offset, const HttpHeaders& headers) {
  auto fd = open_file(file, O_RDONLY);
  if (!fd) return fail(std::move(fd.error()));
  struct stat status {};
  if (::fstat(fd->get(), &status) != 0)
    return fail(os_error(errno, fmt::format("reading {}", file.native())));
  const auto size = static_cast<std::uint64_t>(status.st_size);
  if (offset > 0 && offset >= size) {
    return fail(Code::invalid,
                fmt::format("{} has {} bytes: nothing to send from byte {} on", file.native(), size, offset));
  }
  Exchange exchange;
  exchange.upload_fd = fd->get();
  exchange.upload_start = offset;
  exchange.upload_place = offset;
  auto all = headers;
  if (offset > 0) all["Content-Range"] = fmt::format("bytes {}-{}/{}", offset, size - 1, size);
  CURL* curl = state_->easy.get();
  curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
  curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(size - offset));
  curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_upload);
  curl_easy_setopt(curl, CURLOPT_READDATA, &exchange);
  curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, on_seek);
  curl_easy_setopt(curl, CURLOPT_SEEKDATA, &exchange);
  return state_->finish(exchange, path, all);
}

Result<HttpResponse> HttpClient::stream(const std::string& path,
                                        const std::function<bool(std::string_view)>& on_line,
                                        const HttpHeaders& headers) {
  LineSink sink(on_line);
  Exchange exchange;
  exchange.sink = &sink;
  curl_easy_setopt(state_->easy.get(), CURLOPT_HTTPGET, 1L);
  auto response = state_->finish(exchange, path, headers);
  if (!response && sink.has_enough()) return std::move(exchange.response);
  return response;
}

std::string escape_segment(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool is_plain = std::isalnum(static_cast<unsigned char>(c)) != 0 ||
                          std::string_view("-._~").find(c) != std::string_view::npos;
    if (is_plain) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

std::string escape_path(std::string_view path) {
  std::string out;
  for (std::size_t begin = 0; begin <= path.size();) {
    const auto end = std::min(path.find('/', begin), path.size());
    if (begin > 0) out += '/';
    out += escape_segment(path.substr(begin, end - begin));
    begin = end + 1;
  }
  return out;
}

}  // namespace kiln::runtime
