#include "session/render_service.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <utility>

#include "session/render_request.h"
#include "session/render_socket.h"

namespace kiln::session {

namespace fs = std::filesystem;

namespace {

constexpr int request_patience_ms = 10'000;  // a command sends its request as soon as it is connected

bool is_readable(int fd) {
  pollfd one{fd, POLLIN | POLLRDHUP, 0};
  return ::poll(&one, 1, 0) != 0;
}

}  // namespace

Result<std::unique_ptr<RenderService>> RenderService::create(fs::path socket, Blender& blender,
                                                             fs::path confines) {
  auto listener = listen_at(socket);
  if (!listener) return fail(std::move(listener.error()));
  return std::unique_ptr<RenderService>(
      new RenderService(std::move(socket), std::move(*listener), blender, std::move(confines)));
}

RenderService::~RenderService() {
  if (thread_.joinable()) finish();
  ::unlink(socket_.c_str());
}

void RenderService::begin(Task task) {
  task_ = std::move(task);
  account_ = {};
  stop_.clear();
  thread_ = std::thread([this] { serve(); });
}

RenderService::Account RenderService::finish() {
  stop_.set();
  thread_.join();
  task_ = {};
  return std::exchange(account_, {});
}

void RenderService::serve() {
  for (;;) {
    std::array<pollfd, 2> fds{{{listener_.get(), POLLIN, 0}, {stop_.fd(), POLLIN, 0}}};
    if (::poll(fds.data(), fds.size(), -1) < 0) continue;
    if (fds[1].revents != 0) return;
    answer(runtime::Fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)));
  }
}

void RenderService::answer(runtime::Fd connection) {
  if (!connection) return;
  const auto text = read_request(connection.get());
  if (!text) return;
  account_.failure.reset();
  const auto end = render(connection.get(), *text);
  if (!end && !end.error().cancelled) account_.failure = end.error().failure;
  send_all(connection.get(), end_answer(end));
}

std::optional<std::string> RenderService::read_request(int connection) const {
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(request_patience_ms);
  std::string text;
  for (;;) {
    std::array<pollfd, 2> fds{{{connection, POLLIN, 0}, {stop_.fd(), POLLIN, 0}}};
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    if (left.count() <= 0) return std::nullopt;
    if (::poll(fds.data(), fds.size(), static_cast<int>(left.count())) < 0) continue;
    if (fds[1].revents != 0) return std::nullopt;
    if (fds[0].revents == 0) continue;
    std::array<char, 4096> buffer{};
    const auto got = ::recv(connection, buffer.data(), buffer.size(), 0);
    if (got <= 0) return std::nullopt;
    text.append(buffer.data(), static_cast<std::size_t>(got));
    if (const auto end = text.find('\n'); end != std::string::npos) return text.substr(0, end);
    if (text.size() > max_request_bytes) return std::nullopt;
  }
}

Step<void> RenderService::render(int connection, const std::string& text) {
  const auto request = decode_render_request(text);
  if (!request) {
    return tl::make_unexpected(
        Stop{false, {"bad-request", request.error().message, payloads::FailureScope::attempt}});
  }
  BlenderWork work;
  work.identity = task_.manifest;
  work.tree = task_.tree;
  work.hang_ms = task_.hang_ms;
  work.confines = confines_;
  // The command says nothing more: whatever comes from it is its end, and the end of the action is ours.
  work.wakes = {connection, stop_.fd()};
  work.cancelled = [this, connection] { return is_readable(connection) || stop_.is_set(); };
  work.on_line = [connection](std::string_view line) { send_all(connection, line_answer(line)); };
  work.on_progress = [connection, &work] { send_all(connection, progress_answer(work)); };
  auto end = carry_out(*request, blender_, work);
  take(work);
  blender_.check_growth();
  return end;
}

void RenderService::take(const BlenderWork& work) {
  for (const auto& warning : work.warnings) {
    if (account_.warnings.size() < payloads::max_warnings) account_.warnings.push_back(warning);
  }
  for (const auto& file : work.files) {
    const auto place = (work.output / file.path).lexically_normal().native();
    const auto stamp = stamp_of(place);
    if (!stamp || !place.starts_with(task_.output.native() + "/")) continue;
    auto below = place.substr(task_.output.native().size() + 1);
    KnownFile known{file, *stamp};
    known.file.path = below;
    account_.files.insert_or_assign(std::move(below), std::move(known));
  }
}

}  // namespace kiln::session
