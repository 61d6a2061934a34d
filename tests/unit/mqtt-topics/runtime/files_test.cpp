#include "runtime/files.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "check.h"
#include "runtime/sha256.h"

using kiln::Code;
namespace fs = std::filesystem;
namespace runtime = kiln::runtime;

namespace {

struct Folder {
  fs::path path;
  Folder() {
    char name[] = "/tmp/kiln-files-XXXXXX";
    path = ::mkdtemp(name);
  }
  ~Folder() { fs::remove_all(path); }
};

void a_file_is_replaced_whole_and_read_back() {
  const Folder folder;
  const auto file = folder.path / "state.json";
  check_ok(runtime::write_file_atomically(file, "one"));
  check_ok(runtime::write_file_atomically(file, "two"));
  const auto bytes = runtime::read_file(file, 100);
  check_ok(bytes);
  check_equal(*bytes, "two");
  check(std::distance(fs::directory_iterator(folder.path), {}) == 1);  // no temporary stays
  check(runtime::read_file(file, 2).error().code == Code::too_large);
  check(runtime::read_file(folder.path / "none", 2).error().code == Code::not_found);
}

void a_write_that_fails_leaves_the_old_file() {
  const Folder folder;
  const auto file = folder.path / "state.json";
  check_ok(runtime::write_file_atomically(file, "old"));
  ::signal(SIGXFSZ, SIG_IGN);
  struct rlimit before {};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const struct rlimit small { 1'000, before.rlim_max };
  ::setrlimit(RLIMIT_FSIZE, &small);
  const auto written = runtime::write_file_atomically(file, std::string(5'000, 'x'));
  ::setrlimit(RLIMIT_FSIZE, &before);
  check(!written.has_value());
  check_contains(written.error().message, "state.json");
  check_equal(*runtime::read_file(file, 100), "old");
  check(std::distance(fs::directory_iterator(folder.path), {}) == 1);
}

void a_full_disk_has_its_own_code() {
  check(runtime::os_error(ENOSPC, "x").code == Code::full);
  check(runtime::write_file_atomically("/dev/full/x", "a").error().code == Code::not_found);  // no folder
  const runtime::Fd full(::open("/dev/full", O_WRONLY));
  check(runtime::write_all(full.get(), "a", "x").error().code == Code::full);
}

void a_folder_is_locked_once() {
  const Folder folder;
  {
    const auto first = runtime::lock_folder(folder.path, "kiln-agent");
    check_ok(first);
    const auto second = runtime::lock_folder(folder.path, "kiln-agent");
    check(!second.has_value());
    check(second.error().code == Code::conflict);
    check_contains(second.error().message, "kiln-agent");
  }
  check_ok(runtime::lock_folder(folder.path, "kiln-agent"));
}

void digests_are_those_of_sha256sum() {
  const std::string abc =
      "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";  // FIPS 180-2, B.1
  check_equal(runtime::digest_of("abc"), abc);
  const Folder folder;
  check_ok(runtime::write_file_atomically(folder.path / "f", "abc"));
  check_equal(*runtime::digest_of_file(folder.path / "f"), abc);
  check(runtime::digest_of_file(folder.path / "f", [] { return true; }).error().code == Code::timeout);
}

void a_content_digest_goes_there_and_back() {
  const auto digest = runtime::digest_of("abc");
  const auto header = runtime::to_content_digest(digest);
  check_equal(header, "sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:");
  check_equal(*runtime::from_content_digest(header), digest);
  check_equal(*runtime::from_content_digest("sha-512=:AAAA:, " + header), digest);
  check_equal(*runtime::from_content_digest(header + ", unixsum=:AA==:"), digest);
  for (const char* bad : {"", "sha-256", "sha-256=", "sha-256=::", "sha-256=:AAAA:", "sha-512=:AAAA:",
                          "sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa==:",
                          "sha-256=:!ngWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:"}) {
    check(!runtime::from_content_digest(bad).has_value());
  }
}

}  // namespace

int main() {
  return kiln::test::run("files",
                         {{"a file is replaced whole and read back", a_file_is_replaced_whole_and_read_back},
                          {"a write that fails leaves the old file", a_write_that_fails_leaves_the_old_file},
                          {"a full disk has its own code", a_full_disk_has_its_own_code},
                          {"a folder is locked once", a_folder_is_locked_once},
                          {"digests are those of sha256sum", digests_are_those_of_sha256sum},
                          {"a Content-Digest goes there and back", a_content_digest_goes_there_and_back}});
}
