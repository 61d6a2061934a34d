#include "identity/key.h"

#include <sys/stat.h>

#include <filesystem>

#include "check.h"
#include "identity/bytes.h"
#include "runtime/files.h"

namespace {

namespace fs = std::filesystem;
using namespace kiln;
using namespace kiln::identity;

fs::path folder() {
  std::string name = (fs::temp_directory_path() / "kiln-key-XXXXXX").string();
  return ::mkdtemp(name.data());
}

void same_key_again() {
  const auto at = folder() / "node.key";
  const auto made = Key::load_or_make(at);
  check_ok(made);
  struct stat about {};
  check(::stat(at.c_str(), &about) == 0 && (about.st_mode & 0777U) == 0600);
  const auto again = Key::load_or_make(at);
  check_ok(again);
  check_equal(again->public_key(), made->public_key());
  check(Key::make().public_key() != made->public_key());
}

void names_follow_from_the_key() {
  const Key key = Key::make();
  const auto id = id_of_key(key.public_key());
  check_equal(id.size(), std::size_t{16});
  check(id.find_first_not_of("abcdefghijklmnopqrstuvwxyz234567") == std::string::npos);
  const auto fingerprint = fingerprint_of_key(key.public_key());
  check_equal(fingerprint.size(), std::size_t{19});
  auto read = read_fingerprint(" " + id.substr(0, 8) + " " + id.substr(8));
  check_ok(read);
  check_equal(*read, fingerprint);
  for (const char* wrong : {"", "k3xq", "k3xq-7jv2-m5nw-4hf1", "k3xq-7jv2-m5nw-4hfaa"}) {
    check_contains(read_fingerprint(wrong).error().message, "k3xq-7jv2-m5nw-4hfa");
  }
}

void only_its_own_signature() {
  const Key key = Key::make();
  const Key other = Key::make();
  const auto signature = key.sign("a box");
  check(verify(key.public_key(), "a box", signature));
  check(!verify(key.public_key(), "a bux", signature));
  check(!verify(other.public_key(), "a box", signature));
  check(!verify(key.public_key(), "a box", signature.substr(1)));
  check(!verify(key.public_key(), "a box", ""));
  check(!verify("nonsense", "a box", signature));
  check(!is_public_key(key.public_key() + "x"));
  check(!is_public_key(""));
}

void bad_files_are_refused() {
  const auto at = folder() / "node.key";
  check_ok(runtime::write_file_atomically(at, "nonsense", 0600));
  check_contains(Key::load_or_make(at).error().message, "move this one away");
  fs::remove(at);
  check_ok(Key::load_or_make(at));
  ::chmod(at.c_str(), 0644);
  check_contains(Key::load_or_make(at).error().message, "chmod 600");
}

void bytes_are_written_as_the_standard_says() {
  check_equal(to_base32("foobar"), "mzxw6ytboi");  // RFC 4648, 10
  check_equal(to_base32("foob"), "mzxw6yq");
  check_equal(to_base64("foob"), "Zm9vYg==");
  check_equal(to_base64url("\xfb\xff"), "-_8");
  check_equal(from_base64("Zm9vYg==").value_or("?"), "foob");
  check_equal(from_base64(to_base64("foobar")).value_or("?"), "foobar");
  for (const char* wrong : {"Zm9vYg=", "Zm9v Yg=", "Zm9vYh==", "Zm9vYg==\n"}) check(!from_base64(wrong));
  check_equal(random_secret().size(), std::size_t{43});
  check(random_secret() != random_secret());
  check(is_same_secret("abc", "abc") && !is_same_secret("abc", "abd") && !is_same_secret("abc", "ab"));
}

}  // namespace

int main() {
  return kiln::test::run("key",
                         {{"a key is made once, readable by its owner alone", &same_key_again},
                          {"id and fingerprint are one name of the public key", &names_follow_from_the_key},
                          {"only the key's own signature over the same bytes holds", &only_its_own_signature},
                          {"a damaged or open key file is refused with what to do", &bad_files_are_refused},
                          {"base32 and base64 are the standard's", &bytes_are_written_as_the_standard_says}});
}
