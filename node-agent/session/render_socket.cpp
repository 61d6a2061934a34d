#include "session/render_socket.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "runtime/files.h"

namespace kiln::session {

namespace fs = std::filesystem;

namespace {

constexpr timeval patience{10, 0};  // with a peer that takes nothing

// Through the folder's descriptor, since sun_path holds 108 bytes.
struct Address {
  runtime::Fd folder;
  sockaddr_un name{};
};

Result<Address> address_of(const fs::path& socket) {
  Address out;
  out.folder.reset(::open(socket.parent_path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  const auto doing = "opening the socket " + socket.string();
  if (!out.folder) return fail(runtime::os_error(errno, doing));
  const auto text = fmt::format("/proc/self/fd/{}/{}", out.folder.get(), socket.filename().string());
  if (text.size() >= sizeof out.name.sun_path) return fail(runtime::os_error(ENAMETOOLONG, doing));
  out.name.sun_family = AF_UNIX;
  std::memcpy(out.name.sun_path, text.c_str(), text.size() + 1);
  return out;
}

Result<runtime::Fd> make_socket() {
  runtime::Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return fail(runtime::os_error(errno, "making a socket"));
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  return fd;
}

}  // namespace

Result<runtime::Fd> listen_at(const fs::path& socket) {
  const auto address = address_of(socket);
  if (!address) return fail(address.error());
  auto fd = make_socket();
  if (!fd) return fail(fd.error());
  ::unlink(socket.c_str());
  const auto* name = reinterpret_cast<const sockaddr*>(&address->name);
  constexpr int backlog = 64;  // commands of one task that wait for their turn
  if (::bind(fd->get(), name, sizeof address->name) != 0 || ::chmod(socket.c_str(), 0600) != 0 ||
      ::listen(fd->get(), backlog) != 0) {
    return fail(runtime::os_error(errno, "listening at " + socket.string()));
  }
  return std::move(*fd);
}

Result<runtime::Fd> connect_to(const fs::path& socket) {
  const auto address = address_of(socket);
  if (!address) return fail(address.error());
  auto fd = make_socket();
  if (!fd) return fail(fd.error());
  const auto* name = reinterpret_cast<const sockaddr*>(&address->name);
  if (::connect(fd->get(), name, sizeof address->name) != 0)
    return fail(runtime::os_error(errno, "connecting to " + socket.string()));
  return std::move(*fd);
}

bool send_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const auto sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

}  // namespace kiln::session
