// The unix socket between a slot and the `kiln-resident` commands in its sessions.
#pragma once

#include <filesystem>

#include "base/result.h"
#include "runtime/fd.h"

namespace kiln::session {

// Paths may be longer than a socket's address holds. Errors: io.
Result<runtime::Fd> listen_at(const std::filesystem::path& socket);
// Errors: not_found, denied, io: nobody listens there.
Result<runtime::Fd> connect_to(const std::filesystem::path& socket);
// All of it, without SIGPIPE. False when the other side is gone, or takes nothing for ten seconds.
bool send_all(int fd, std::string_view bytes);

}  // namespace kiln::session
