#include "box/facts.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "box/command.h"
#include "runtime/facts.h"
#include "runtime/files.h"

namespace kiln::box {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t max_json_bytes = 64UL * 1024;
constexpr std::size_t max_problems = 20;  // shown; each is a line on the screen

}  // namespace

std::string text_of(const Json& json, std::string_view key) {
  const auto* member = json.find(key);
  const auto* text = member != nullptr ? member->as_string() : nullptr;
  return text != nullptr ? *text : std::string();
}

Result<Json> read_json(const fs::path& file) {
  auto text = runtime::read_file(file, max_json_bytes);
  if (!text) return fail(std::move(text.error()));
  auto json = Json::parse(*text, {.bytes = max_json_bytes, .depth = 8, .values = 4096});
  if (!json) return fail(std::move(json.error()).with(file.string()));
  return json;
}

Result<AgentStatus> parse_agent_status(std::string_view json) {
  auto parsed = Json::parse(json, {.bytes = max_json_bytes, .depth = 8, .values = 4096});
  if (!parsed) return fail(std::move(parsed.error()));
  AgentStatus out;
  JsonReader in(*parsed, "status.json");
  in.optional("id", out.id);
  in.optional("name", out.name);
  in.optional("fingerprint", out.fingerprint);
  in.optional("controller", out.controller);
  in.optional("state", out.state);
  in.optional("ca_fingerprint", out.ca_fingerprint);
  in.optional("message", out.message, 4096);
  in.optional("temp_c", out.temp_c);
  if (const auto* running = in.array("running", 64)) {
    for (const auto& one : *running) {
      JsonReader row(one, "status.json running");
      AgentStatus::Running next;
      row.optional("job", next.job);
      // A frame is a number, a chunk "1-8", a step's name
      if (const auto* frame = one.find("frame"); frame != nullptr && frame->as_number() != nullptr) {
        next.frame = fmt::format("{}", *frame->as_number());
      } else {
        row.optional("frame", next.frame);
      }
      row.optional("percent", next.percent);
      if (!row.ok()) return fail(std::move(row.finish(0).error()));
      out.running.push_back(std::move(next));
    }
  }
  return in.finish(std::move(out));
}

AgentStatus read_agent_status(const Places& places) {
  const auto text = runtime::read_file(places.agent / "status.json", max_json_bytes);
  if (!text) return {};
  auto status = parse_agent_status(*text);
  if (status) return std::move(*status);
  AgentStatus out;
  out.message = status.error().message;
  return out;
}

BoxState read_box_state(const Places& places) {
  BoxState out;
  if (const auto json = read_json(places.run / "box.json")) {
    out.name = text_of(*json, "name");
    out.controller = text_of(*json, "controller");
    const auto* pinned = json->find("pinned");
    out.pinned = pinned != nullptr && pinned->as_bool() != nullptr && *pinned->as_bool();
  }
  std::error_code ignored;
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(places.run / "problems.d", ignored))
    files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  for (const auto& file : files) {
    const auto text = runtime::read_file(file, max_json_bytes);
    if (!text) continue;
    for (std::size_t at = 0; at < text->size() && out.problems.size() < max_problems;) {
      const auto end = std::min(text->find('\n', at), text->size());
      if (end > at) out.problems.push_back(text->substr(at, end - at));
      at = end + 1;
    }
  }
  return out;
}

Status write_box_state(const Places& places, const BoxState& state) {
  if (auto made = runtime::make_folders(places.run); !made) return made;
  const auto json =
      Json::object({{"name", state.name}, {"controller", state.controller}, {"pinned", state.pinned}});
  if (auto done = runtime::write_file_atomically(places.run / "box.json", json.dump() + "\n"); !done)
    return done;
  std::string text;
  for (const auto& problem : state.problems) text += problem + "\n";
  return write_problem(places, "settings", text);
}

Status write_problem(const Places& places, const std::string& source, const std::string& text) {
  if (auto made = runtime::make_folders(places.run / "problems.d"); !made) return made;
  if (auto done = runtime::write_file_atomically(places.run / "problems.d" / source, text); !done)
    return done;
  Json all = Json::Array();
  for (const auto& problem : read_box_state(places).problems) all.push(problem);
  return runtime::write_file_atomically(places.run / "problems.json", all.dump() + "\n");
}

std::string image_fact(const Places& places, std::string_view name) {
  return runtime::value_of(runtime::read_file(places.image, 4096).value_or(""),
                           fmt::format("KILN_IMAGE_{}", name));
}

unsigned count_gpus(const fs::path& sysfs) {
  unsigned count = 0;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(sysfs / "bus/pci/devices", ignored)) {
    // 0x03xxxx: display controllers (PCI code and ID assignment)
    if (runtime::first_line(entry.path() / "class").starts_with("0x03") &&
        fs::exists(entry.path() / "driver", ignored))
      ++count;
  }
  return count;
}

bool has_link(const fs::path& sysfs) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(sysfs / "class/net", ignored)) {
    // `device`: hardware; type 1: Ethernet
    if (fs::exists(entry.path() / "device", ignored) && runtime::first_line(entry.path() / "type") == "1" &&
        runtime::first_line(entry.path() / "carrier") == "1") {
      return true;
    }
  }
  return false;
}

std::vector<std::string> addresses() {
  std::vector<std::string> v4;
  std::vector<std::string> v6;
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return {};
  for (const auto* one = list; one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr == nullptr || (one->ifa_flags & IFF_LOOPBACK) != 0 || (one->ifa_flags & IFF_UP) == 0)
      continue;
    char host[NI_MAXHOST];
    const auto family = one->ifa_addr->sa_family;
    if (family != AF_INET && family != AF_INET6) continue;
    const socklen_t size = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    if (::getnameinfo(one->ifa_addr, size, host, sizeof host, nullptr, 0, NI_NUMERICHOST) != 0) continue;
    const std::string text(host);
    if (family == AF_INET) {
      v4.push_back(text);
    } else if (!text.starts_with("fe80")) {
      v6.push_back(text);
    }
  }
  ::freeifaddrs(list);
  v4.insert(v4.end(), v6.begin(), v6.end());
  return v4;
}

ServiceState service_state(const std::string& unit) {
  ServiceState out;
  const auto shown = output_of({"systemctl", "show", "--property=ActiveState,SubState,NRestarts", unit},
                               std::chrono::seconds(10));
  if (!shown) return out;
  const auto& text = *shown;
  out.active = text.find("ActiveState=active") != std::string::npos;
  constexpr std::string_view key = "NRestarts=";
  if (const auto at = text.find(key); at != std::string::npos) {
    std::from_chars(text.data() + at + key.size(), text.data() + text.size(), out.restarts);
  }
  return out;
}

bool is_reachable(const std::string& url, int timeout_ms) {
  const auto scheme = url.find("://");
  auto rest = scheme == url.npos ? url : url.substr(scheme + 3);
  rest = rest.substr(0, rest.find('/'));
  std::string port = url.starts_with("https://") ? "443" : url.starts_with("http://") ? "80" : "8780";
  if (const auto colon = rest.rfind(':'); colon != rest.npos && rest.find(']', colon) == rest.npos &&
                                          (rest.front() == '[' || rest.find(':') == colon)) {
    port = rest.substr(colon + 1);
    rest.resize(colon);
  }
  if (rest.starts_with('[') && rest.ends_with(']')) rest = rest.substr(1, rest.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (rest.empty() || ::getaddrinfo(rest.c_str(), port.c_str(), &hints, &found) != 0) return false;
  bool reached = false;
  for (const auto* one = found; one != nullptr && !reached; one = one->ai_next) {
    const runtime::Fd fd(::socket(one->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (fd.get() < 0) continue;
    reached = ::connect(fd.get(), one->ai_addr, one->ai_addrlen) == 0;
    if (reached) break;
    pollfd wait{.fd = fd.get(), .events = POLLOUT, .revents = 0};
    if (::poll(&wait, 1, timeout_ms) != 1) continue;
    int error = 0;
    socklen_t size = sizeof error;
    reached = ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0;
  }
  ::freeaddrinfo(found);
  return reached;
}

bool is_writable(const fs::path& folder) {
  const auto file = folder / "writable";
  const bool written = runtime::write_file_atomically(file, "yes\n").has_value();
  std::error_code ignored;
  fs::remove(file, ignored);
  return written;
}

std::string boot_id() {
  return runtime::first_line("/proc/sys/kernel/random/boot_id");
}

}  // namespace kiln::box
