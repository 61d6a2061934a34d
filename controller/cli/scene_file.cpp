#include "cli/scene_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <optional>

#include "base/text.h"
#include "runtime/fd.h"
#include "runtime/files.h"

namespace kiln::cli {

Result<compiler::BlendFile> read_scene_file(const std::filesystem::path& scene) {
  const auto name = to_utf8(scene.string());
  const runtime::Fd fd(::open(scene.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail(runtime::os_error(errno, fmt::format("while opening {}", name)));
  std::optional<int> failed;
  auto file = compiler::inspect([&](std::span<char> bytes) -> std::size_t {
    ssize_t got = 0;
    do {
      got = ::read(fd.get(), bytes.data(), bytes.size());
    } while (got < 0 && errno == EINTR);
    if (got < 0) failed = errno;
    return got < 0 ? 0 : static_cast<std::size_t>(got);
  });
  if (failed) return fail(runtime::os_error(*failed, fmt::format("while reading {}", name)));
  if (!file) return fail(std::move(file.error()).with(name));
  return *file;
}

}  // namespace kiln::cli
