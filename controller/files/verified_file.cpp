#include "files/verified_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace kiln::files {
namespace {

constexpr std::size_t read_bytes = 256UL * 1024;

Status hash_start(int fd, std::uint64_t size, runtime::Sha256& hash) {
  std::string buffer(std::min<std::uint64_t>(size, read_bytes), '\0');
  for (std::uint64_t offset = 0; offset < size;) {
    const auto wanted = std::min<std::uint64_t>(size - offset, buffer.size());
    const auto got = ::pread(fd, buffer.data(), wanted, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return fail(runtime::os_error(got < 0 ? errno : EIO, "cannot read the part that is there"));
    hash.update({buffer.data(), static_cast<std::size_t>(got)});
    offset += static_cast<std::uint64_t>(got);
  }
  return {};
}

}  // namespace

Result<VerifiedFile> VerifiedFile::open(const std::filesystem::path& path, std::string digest,
                                        std::uint64_t size, std::uint64_t keep) {
  VerifiedFile file;
  file.fd_.reset(::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644));
  const auto failed = [&path](std::string_view doing) {
    return fail(runtime::os_error(errno, fmt::format("{}: {}", path.string(), doing)));
  };
  if (!file.fd_) return failed("cannot write");
  if (::ftruncate(file.fd_.get(), static_cast<off_t>(keep)) != 0) return failed("cannot cut");
  if (::lseek(file.fd_.get(), static_cast<off_t>(keep), SEEK_SET) < 0) return failed("cannot seek");
  if (auto status = hash_start(file.fd_.get(), keep, file.hash_); !status)
    return fail(std::move(status.error()));
  // Better to learn of a full disk now than after an hour of upload; a file system that cannot reserve is
  // fine.
  if (size > keep &&
      ::fallocate(file.fd_.get(), FALLOC_FL_KEEP_SIZE, static_cast<off_t>(keep),
                  static_cast<off_t>(size - keep)) != 0 &&
      (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)) {
    const auto status = failed(fmt::format("{} bytes are to come", size - keep));
    file.release();
    return status;
  }
  file.digest_ = std::move(digest);
  file.size_ = size;
  file.written_ = keep;
  return file;
}

Status VerifiedFile::write(std::string_view bytes) {
  if (bytes.size() > size_ - written_) {
    return fail(Code::too_large, fmt::format("more than the {} bytes that were declared arrived", size_));
  }
  if (auto status = runtime::write_all(fd_.get(), bytes, "a received file"); !status) {
    release();  // half a write: whoever continues starts behind the last whole one
    return status;
  }
  hash_.update(bytes);
  written_ += bytes.size();
  return {};
}

Status VerifiedFile::verify() {
  if (written_ != size_) return fail(Code::invalid, fmt::format("{} of {} bytes arrived", written_, size_));
  const auto actual = hash_.finish();
  if (actual != digest_) {
    return fail(Code::invalid, fmt::format("the content is {}, not {} as declared", actual, digest_));
  }
  if (::fsync(fd_.get()) != 0) return fail(runtime::os_error(errno, "cannot sync a received file"));
  return {};
}

void VerifiedFile::release() const {
  if (!fd_) return;
  // Where it fails, the digest still tells a whole file from another.
  static_cast<void>(::ftruncate(fd_.get(), static_cast<off_t>(written_)) == 0 &&
                    ::lseek(fd_.get(), static_cast<off_t>(written_), SEEK_SET) >= 0);
}

}  // namespace kiln::files
