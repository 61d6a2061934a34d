#include "resident/run.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "base/json.h"
#include "runtime/files.h"
#include "session/fields.h"
#include "session/render_socket.h"

namespace kiln::resident {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t max_answer_bytes = 256UL * 1024;  // the longest line of a renderer, escaped

bool is_readable(int fd) {
  pollfd one{fd, POLLIN, 0};
  return ::poll(&one, 1, 0) > 0;
}

// What it says to the session that it runs in, each line once.
class Voice {
 public:
  explicit Voice(std::FILE* out) : out_(out) {}

  void line(std::string_view text) { print(text); }
  void progress(const std::string& doing, double percent) {
    if (doing != doing_) {
      doing_ = doing;
      print("openjd_status: " + doing);
    }
    // Tenths: what a person sees move.
    const auto tenths = std::floor(percent * 10);
    if (tenths <= tenths_) return;
    tenths_ = tenths;
    print(fmt::format("openjd_progress: {:.1f}", tenths / 10));
  }
  int failed(std::string_view code, std::string_view message) {
    print(fmt::format("openjd_fail: {} ({})", message, code));
    return exit_failed;
  }

 private:
  void print(std::string_view text) {
    fmt::print(out_, "{}\n", text);
    std::fflush(out_);
  }

  std::FILE* out_;
  std::string doing_;
  double tenths_ = 0;
};

// 128 and its number, as a shell has it.
int status_of_signal(int signals) {
  signalfd_siginfo info{};
  const bool is_known = ::read(signals, &info, sizeof info) == sizeof info;
  return 128 + (is_known ? static_cast<int>(info.ssi_signo) : SIGTERM);
}

// ---- by the slot ----------------------------------------------------------------------------------------

// The exit status once it is the last one.
std::optional<int> hear(std::string_view text, Voice& voice) {
  const auto answer = Json::parse(text, {.bytes = max_answer_bytes, .depth = 8, .values = 256});
  if (!answer) return voice.failed("renderer-crashed", "the slot answered nonsense");
  if (const auto* failure = answer->find("failed"))
    return voice.failed(session::text_of(*failure, "code"), session::text_of(*failure, "message"));
  if (answer->find("done") != nullptr) return 0;
  if (answer->find("percent") != nullptr) {
    voice.progress(session::text_of(*answer, "doing"), session::number_of(*answer, "percent"));
  } else {
    voice.line(session::text_of(*answer, "line"));
  }
  return std::nullopt;
}

int run_at_slot(const Options& options, const fs::path& socket, int signals, Voice& voice) {
  const auto connection = session::connect_to(socket);
  if (!connection) return voice.failed("renderer-missing", connection.error().message);
  if (!session::send_all(connection->get(), session::encode(options.request) + "\n"))
    return voice.failed("renderer-missing", "the slot did not take the request");
  std::string bytes;
  for (;;) {
    std::array<pollfd, 2> fds{{{connection->get(), POLLIN, 0}, {signals, POLLIN, 0}}};
    if (::poll(fds.data(), fds.size(), -1) < 0) continue;
    // The slot ends the render when this end of the socket goes.
    if (fds[1].revents != 0) return status_of_signal(signals);
    std::array<char, 16UL * 1024> buffer{};
    const auto got = ::recv(connection->get(), buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return voice.failed("renderer-crashed", "the slot went away");
    bytes.append(buffer.data(), static_cast<std::size_t>(got));
    for (std::size_t end = 0; (end = bytes.find('\n')) != std::string::npos; bytes.erase(0, end + 1)) {
      if (const auto status = hear(std::string_view(bytes).substr(0, end), voice)) return *status;
    }
    if (bytes.size() > max_answer_bytes)
      return voice.failed("renderer-crashed", "the slot answered nonsense");
  }
}

// ---- by itself ------------------------------------------------------------------------------------------

class Folder {
 public:
  Folder() {
    std::error_code error;
    auto pattern = (fs::temp_directory_path(error) / "kiln-resident-XXXXXX").native();
    if (::mkdtemp(pattern.data()) != nullptr) path = pattern;
  }
  ~Folder() {
    std::error_code ignored;
    if (!path.empty()) fs::remove_all(path, ignored);
  }
  Folder(const Folder&) = delete;
  fs::path path;  // "": it could not be made
};

int run_alone(const Options& options, int signals, Voice& voice) {
  const Folder folder;
  if (folder.path.empty())
    return voice.failed("scratch-unusable", runtime::os_error(errno, "making a temporary folder").message);
  session::Blender::Config config;
  config.program = options.blender;
  config.folder = folder.path;
  config.scratch = folder.path;
  session::Blender blender(std::move(config));
  session::BlenderWork work;
  work.wakes = {signals, -1};
  work.cancelled = [signals] { return is_readable(signals); };
  work.on_line = [&voice](std::string_view line) { voice.line(line); };
  work.on_progress = [&voice, &work] {
    const auto now = work.now();
    voice.progress(work.doing, now ? now->percent : 0);
  };
  const auto end = session::carry_out(options.request, blender, work);
  if (end) return 0;
  if (end.error().cancelled) return status_of_signal(signals);
  return voice.failed(end.error().failure.code, end.error().failure.message);
}

}  // namespace

int run(const Options& options, int signals, std::FILE* out) {
  Voice voice(out);
  const char* socket = std::getenv(std::string(session::socket_variable).c_str());
  if (socket != nullptr && *socket != '\0') return run_at_slot(options, socket, signals, voice);
  return run_alone(options, signals, voice);
}

}  // namespace kiln::resident
