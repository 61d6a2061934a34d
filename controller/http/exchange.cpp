#include "http/exchange.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <exception>

#include "http/problem.h"
#include "http/range.h"
#include "http/target.h"

namespace kiln::http {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t read_step = 16ULL * 1024;
// A body must bring this much within `stall`: one byte a second would hold a thread for ever.
constexpr std::uint64_t least_progress = 16ULL * 1024;
// What a refused client still sends is read this long, so that it sees the answer instead of a reset.
constexpr Milliseconds linger{2'000};
// An unread body up to this size is cheaper to read than a new connection.
constexpr std::uint64_t worth_draining = 64ULL * 1024;

// What one connection has read but not used, and how much it read in all.
struct Inbox {
  Connection& connection;
  std::string bytes;
  std::uint64_t total = 0;

  Result<std::size_t> more(Milliseconds patience) {
    const std::size_t have = bytes.size();
    bytes.resize(have + read_step);
    auto count = connection.read_some(std::span(bytes).subspan(have), patience);
    bytes.resize(have + (count ? *count : 0));
    if (count) total += *count;
    return count;
  }
};

class InboxBody final : public Body {
 public:
  InboxBody(Inbox& inbox, const Head& head, Milliseconds stall)
      : inbox_(inbox),
        size_(head.content_length.value_or(0)),
        left_(size_),
        stall_(stall),
        must_continue_(head.expects_continue && size_ > 0) {}

  [[nodiscard]] std::uint64_t size() const override { return size_; }
  [[nodiscard]] std::uint64_t left() const { return left_; }
  // The client waits for our word before it sends, and has not got it.
  [[nodiscard]] bool is_withheld() const { return must_continue_; }

  Result<std::size_t> read_some(std::span<char> out) override {
    if (left_ == 0 || out.empty()) return std::size_t{0};
    if (must_continue_) {
      must_continue_ = false;
      auto sent = inbox_.connection.write("HTTP/1.1 100 Continue\r\n\r\n", stall_, false);
      if (!sent) return fail(std::move(sent.error()));
    }
    const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(left_, out.size()));
    std::size_t count = std::min(wanted, inbox_.bytes.size());
    if (count > 0) {
      std::copy_n(inbox_.bytes.begin(), count, out.begin());
      inbox_.bytes.erase(0, count);
    } else {
      auto read = read_socket(out.first(wanted));
      if (!read) return read;
      count = *read;
    }
    left_ -= count;
    return count;
  }

 private:
  Result<std::size_t> read_socket(std::span<char> out) {
    const auto begin = Clock::now();
    auto count = inbox_.connection.read_some(out, std::max(stall_ - waited_, Milliseconds(1)));
    waited_ += std::chrono::duration_cast<Milliseconds>(Clock::now() - begin);
    if (!count && count.error().code == Code::timeout) {
      return fail(Code::timeout, fmt::format("the body stalled with {} of {} bytes to come", left_, size_));
    }
    if (!count) return count;
    if (*count == 0)
      return fail(Code::io, fmt::format("the client left with {} of {} bytes to come", left_, size_));
    inbox_.total += *count;
    progress_ += *count;
    if (progress_ >= least_progress) {
      progress_ = 0;
      waited_ = Milliseconds(0);
    }
    return count;
  }

  Inbox& inbox_;
  std::uint64_t size_;
  std::uint64_t left_;
  Milliseconds stall_;
  bool must_continue_;
  Milliseconds waited_{0};  // since the last least_progress bytes
  std::uint64_t progress_ = 0;
};

std::string http_date() {
  const auto now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  return fmt::format("{:%a, %d %b %Y %H:%M:%S GMT}", fmt::gmtime(now));
}

// A field value of ours may carry a file's name: nothing in it may end the line.
std::string one_line(std::string_view value) {
  std::string out(value);
  std::replace_if(
      out.begin(), out.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
  return out;
}

class Writer final : public Sink {
 public:
  Writer(const Exchange& exchange, bool is_head) : exchange_(exchange), is_head_(is_head) {}

  [[nodiscard]] std::uint64_t written() const { return written_; }
  [[nodiscard]] bool is_stopping() const override { return exchange_.is_stopping; }

  Status write(std::string_view bytes) override { return put(bytes, false); }
  Status send_file(int fd, std::uint64_t offset, std::uint64_t length) override {
    auto sent = exchange_.connection.send_file(fd, offset, length, exchange_.config.stall);
    if (sent) written_ += length;
    return sent;
  }

  // The whole response. False: the connection cannot go on.
  bool respond(Response& response, const Request& request, bool keep_alive) {
    // Not of localhost: all that somebody develops there is called so.
    is_pinned_to_tls_ = request.is_secure && !request.host.starts_with("localhost");
    if (auto* file = std::get_if<File>(&response.body)) choose_part(response, *file, request);
    const bool reads = request.method == Method::get || request.method == Method::head;
    const std::string* known = request.field("if-none-match");
    if (reads && response.status == 200 && known != nullptr && names_etag(*known, response.etag)) {
      response.status = 304;
    }
    const bool is_endless = endless(response);
    const bool goes_on = keep_alive && !is_endless;
    const bool has_body = response.status != 204 && response.status != 304;
    const std::string head = head_text(response, goes_on, has_body);
    const bool sends_body = has_body && !is_head_;
    if (!put(head, sends_body && !is_endless && size_ > 0)) return false;
    if (sends_body && !send_body(response)) return false;
    return goes_on;
  }

 private:
  Status put(std::string_view bytes, bool more) {
    auto sent = exchange_.connection.write(bytes, exchange_.config.stall, more);
    if (sent) written_ += bytes.size();
    return sent;
  }

  static bool endless(const Response& response) {
    const auto* stream = std::get_if<Stream>(&response.body);
    return stream != nullptr && !stream->size;
  }

  void choose_part(Response& response, const File& file, const Request& request) {
    first_ = 0;
    size_ = file.size;
    if (response.status != 200) return;
    response.set("Accept-Ranges", "bytes");
    const std::string* range = request.field("range");
    const std::string* if_range = request.field("if-range");
    if (range == nullptr || (if_range != nullptr && (response.etag.empty() || *if_range != response.etag)))
      return;
    const std::string* known = request.field("if-none-match");
    if (known != nullptr && names_etag(*known, response.etag)) return;  // 304 comes before Range
    const ByteRange part = parse_range(*range, file.size);
    if (part.kind == ByteRange::Kind::part) {
      response.status = 206;
      first_ = part.first;
      size_ = part.length;
      response.set("Content-Range", fmt::format("bytes {}-{}/{}", first_, first_ + size_ - 1, file.size));
    } else if (part.kind == ByteRange::Kind::unsatisfiable) {
      const std::uint64_t size = file.size;
      response = problem(416, fmt::format("the range '{}' lies outside the {} bytes", *range, size));
      response.set("Content-Range", fmt::format("bytes */{}", size));
    }
  }

  std::string head_text(const Response& response, bool keep_alive, bool has_body) {
    std::string head = fmt::format("HTTP/1.1 {} {}\r\nDate: {}\r\nServer: kiln\r\n", response.status,
                                   reason_of(response.status), http_date());
    const auto add = [&](std::string_view name, std::string_view value) {
      head.append(name).append(": ").append(one_line(value)).append("\r\n");
    };
    const auto add_default = [&](std::string_view name, std::string_view value) {
      if (find_field(response.fields, name) == nullptr) add(name, value);
    };
    if (const auto* text = std::get_if<std::string>(&response.body)) size_ = text->size();
    if (const auto* fixed = std::get_if<StaticBytes>(&response.body)) size_ = fixed->bytes.size();
    if (const auto* stream = std::get_if<Stream>(&response.body)) size_ = stream->size.value_or(0);
    if (has_body && !response.content_type.empty()) add("Content-Type", response.content_type);
    if (has_body && !endless(response)) add("Content-Length", fmt::format("{}", size_));
    if (!response.etag.empty()) add("ETag", response.etag);
    for (const auto& [name, value] : response.fields) add(name, value);
    // Asking again is cheap with an etag; without one an answer is out of date at once.
    add_default("Cache-Control", response.etag.empty() ? "no-store" : "no-cache");
    add_default("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
    add("X-Content-Type-Options", "nosniff");
    add("Referrer-Policy", "no-referrer");
    // No other site's page may hold a window of ours, or put what is ours into itself.
    add("Cross-Origin-Opener-Policy", "same-origin");
    add("Cross-Origin-Resource-Policy", "same-origin");
    if (is_pinned_to_tls_) add("Strict-Transport-Security", "max-age=2592000");
    if (!keep_alive) add("Connection", "close");
    return head.append("\r\n");
  }

  bool send_body(Response& response) {
    if (const auto* text = std::get_if<std::string>(&response.body)) return put(*text, false).has_value();
    if (const auto* fixed = std::get_if<StaticBytes>(&response.body))
      return put(fixed->bytes, false).has_value();
    if (const auto* file = std::get_if<File>(&response.body))
      return send_file(file->fd.get(), first_, size_).has_value();
    const auto& stream = std::get<Stream>(response.body);
    const std::uint64_t before = written_;
    if (!stream.write(*this)) return false;
    if (stream.size && written_ - before != *stream.size) {
      if (exchange_.config.on_complaint) {
        exchange_.config.on_complaint(
            fmt::format("a stream of {} bytes gave {}", *stream.size, written_ - before));
      }
      return false;
    }
    return true;
  }

  const Exchange& exchange_;
  bool is_head_;
  bool is_pinned_to_tls_ = false;
  std::uint64_t written_ = 0;
  std::uint64_t first_ = 0;  // of a file: where the part begins
  std::uint64_t size_ = 0;   // of what is sent
};

class Client {
 public:
  explicit Client(const Exchange& exchange) : exchange_(exchange), inbox_{exchange.connection, {}, 0} {}

  void serve() {
    bool is_first = true;
    while (serve_one(is_first)) is_first = false;
  }

  void turn_away() {
    auto head = read_head(true);
    if (!head || *head == 0) return;
    Response response = problem(503, "too many connections are open; try again in a moment");
    answer_last(response, {});
  }

 private:
  // 0: the client left, or stayed silent between two requests.
  tl::expected<std::size_t, Refusal> read_head(bool is_first) {
    const HeadRules& rules = exchange_.config.head;
    std::size_t seen = 0;
    if (inbox_.bytes.empty() && !is_first) {
      if (!exchange_.set_idle(true)) return std::size_t{0};
      const auto count = inbox_.more(exchange_.config.idle);
      if (!exchange_.set_idle(false) || !count || *count == 0) return std::size_t{0};
    }
    begun_ = Clock::now();
    const auto until = begun_ + exchange_.config.head_deadline;
    for (;;) {
      auto end = find_head_end(inbox_.bytes, seen, rules);
      if (!end || *end > 0) return end;
      seen = inbox_.bytes.size();
      const auto left = std::chrono::duration_cast<Milliseconds>(until - Clock::now());
      auto count = left.count() > 0 ? inbox_.more(left) : Result<std::size_t>(fail(Code::timeout, ""));
      if (!count && count.error().code == Code::timeout) {
        if (inbox_.bytes.empty())
          return std::size_t{0};  // connected early and said nothing: no request to answer
        return tl::make_unexpected(Refusal{
            408, fmt::format("the head took longer than {} ms", exchange_.config.head_deadline.count())});
      }
      if (!count || *count == 0) return std::size_t{0};
    }
  }

  // False: this was the connection's last request.
  bool serve_one(bool is_first) {
    const std::uint64_t before = inbox_.total - inbox_.bytes.size();
    request_ = Request();
    request_.peer = exchange_.peer;
    method_.clear();
    auto end = read_head(is_first);
    request_.is_secure = exchange_.connection.is_secure();
    if (!end) return refuse(end.error(), before);
    if (*end == 0) return false;
    auto head = parse_head(std::string_view(inbox_.bytes).substr(0, *end), exchange_.config.head);
    inbox_.bytes.erase(0, *end);
    if (!head) return refuse(head.error(), before);
    method_ = head->method;
    auto target = parse_target(head->target);
    if (!target) return refuse(target.error(), before);

    for (const auto& segment : target->segments) request_.path.append("/").append(segment);
    if (request_.path.empty()) request_.path.assign(1, '/');
    request_.method = parse_method(head->method).value_or(Method::get);
    request_.query = std::move(target->query);
    request_.host = std::move(head->host);
    request_.fields = std::move(head->fields);
    InboxBody body(inbox_, *head, exchange_.config.stall);
    request_.body = &body;

    auto match = exchange_.router.find(head->method, target->segments);
    request_.params = std::move(match.params);
    const bool is_open_text = exchange_.config.tls && !request_.is_secure && !request_.is_loopback();
    Response response = is_open_text               ? to_https(head->target)
                        : match.handler != nullptr ? handle(*match.handler)
                                                   : unmatched(match.allowed);

    // What is left of the body would be read as the next request: read past it, or end the connection.
    const bool is_drainable = !body.is_withheld() && body.left() <= worth_draining;
    const bool goes_on = head->keep_alive && !exchange_.is_stopping && is_drainable;
    Writer writer(exchange_, request_.method == Method::head);
    const bool is_open = writer.respond(response, request_, goes_on);
    const bool is_drained = is_open && drain(body);
    if (!is_drained) part();
    log(response.status, before, writer.written());
    return is_drained;
  }

  Response handle(const Handler& handler) {
    try {
      return handler(request_);
    } catch (const std::exception& error) {
      if (exchange_.config.on_complaint) {
        exchange_.config.on_complaint(fmt::format("{} {}: {}", method_, request_.path, error.what()));
      }
      return problem(500, Code::internal, "this is a fault of the controller; its log says more");
    }
  }

  // Whoever reads along must not see more than that we exist: nothing is done, a reader is shown the way.
  Response to_https(const std::string& target) {
    const bool reads = request_.method == Method::get;
    Response response = problem(
        reads ? 308 : 403, fmt::format("over the network this controller speaks https only: https://{}{}",
                                       request_.host, reads ? target : ""));
    if (reads) response.set("Location", "https://" + request_.host + target);
    return response;
  }

  Response unmatched(const std::string& allowed) {
    if (allowed.empty()) return problem(404, fmt::format("there is nothing at {}", request_.path));
    Response response = problem(
        405, fmt::format("{} cannot be used on {}; {} can", method_.substr(0, 16), request_.path, allowed));
    response.set("Allow", allowed);
    return response;
  }

  static bool drain(InboxBody& body) {
    std::string rest(std::min<std::uint64_t>(body.left(), read_step), '\0');
    while (body.left() > 0) {
      const auto count = body.read_some(rest);
      if (!count || *count == 0) return false;
    }
    return true;
  }

  bool refuse(const Refusal& refusal, std::uint64_t before) {
    Response response = problem(refusal.status, refusal.detail);
    if (refusal.status == 405) response.set("Allow", "GET, HEAD, PUT, POST, PATCH, DELETE");
    const std::uint64_t written = answer_last(response, request_);
    log(refusal.status, before, written);
    return false;
  }

  std::uint64_t answer_last(Response& response, const Request& request) {
    Writer writer(exchange_, method_ == "HEAD");
    writer.respond(response, request, false);
    part();
    return writer.written();
  }

  // Closing a socket with unread input resets the connection and the client may lose the answer: end our
  // side, then read on for a moment.
  void part() {
    exchange_.connection.finish_writing();
    const auto until = Clock::now() + linger;
    std::string rest(read_step, '\0');
    for (;;) {
      const auto left = std::chrono::duration_cast<Milliseconds>(until - Clock::now());
      if (left.count() <= 0 || exchange_.is_stopping) return;
      const auto count = exchange_.connection.read_some(rest, left);
      if (!count || *count == 0) return;
    }
  }

  void log(int status, std::uint64_t before, std::uint64_t written) {
    const std::uint64_t read = inbox_.total - inbox_.bytes.size() - before;
    if (Counters* counters = exchange_.config.counters) {
      counters->answers.at(static_cast<std::size_t>(std::clamp(status / 100, 0, 5)))++;
      counters->bytes_in += read;
      counters->bytes_out += written;
    }
    if (!exchange_.config.on_served) return;
    const auto took = std::chrono::duration_cast<Milliseconds>(Clock::now() - begun_).count();
    exchange_.config.on_served({exchange_.peer, method_, request_.path, status, read, written, took});
  }

  const Exchange& exchange_;
  Inbox inbox_;
  Request request_;
  std::string method_;
  Clock::time_point begun_;
};

}  // namespace

void serve(const Exchange& exchange) {
  Client(exchange).serve();
}
void turn_away(const Exchange& exchange) {
  Client(exchange).turn_away();
}

}  // namespace kiln::http
