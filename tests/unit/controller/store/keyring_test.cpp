#include "store/keyring.h"

#include <sys/stat.h>

#include <filesystem>

#include "check.h"
#include "runtime/files.h"

namespace {

namespace fs = std::filesystem;
using namespace kiln;

fs::path file() {
  std::string name = (fs::temp_directory_path() / "kiln-keyring-XXXXXX").string();
  return fs::path(::mkdtemp(name.data())) / "nodes.db";
}

enrollment::NodeKey key(const std::string& id) {
  enrollment::NodeKey key;
  key.id = *NodeId::parse(id);
  key.public_key = std::string("\x00\x01\xff", 3) + id;
  key.name = "Box";
  key.hardware = "board";
  key.state = enrollment::KeyState::approved;
  key.peer = "10.0.0.7";
  key.first_seen_ms = 1;
  key.last_seen_ms = 2;
  key.decided_by = "ann";
  key.remark = "odd";
  key.secret_hash = key.broker_salt = key.broker_hash = std::string("\xfe\x00", 2);
  return key;
}

void what_is_saved_is_there_after_a_restart() {
  const auto at = file();
  {
    auto ring = store::Keyring::open(at);
    check_ok(ring);
    check_ok((*ring)->save(key("a")));
    check_ok((*ring)->save(key("b")));
    check_ok((*ring)->erase(*NodeId::parse("b")));
    enrollment::JoinToken token{"t1", std::string("\x00h", 2), "label", 9, 3, "ann", 8};
    check_ok((*ring)->save(token));
    token.uses_left = 2;
    check_ok((*ring)->save(token));
    check_ok((*ring)->save_known("k3xq-7jv2-m5nw-4hfa"));
    check_ok((*ring)->save_known("k3xq-7jv2-m5nw-4hfa"));
  }
  struct stat about {};
  check(::stat(at.c_str(), &about) == 0 && (about.st_mode & 0777U) == 0600);
  auto ring = store::Keyring::open(at);
  check_ok(ring);
  auto all = (*ring)->load();
  check_ok(all);
  check_equal(all->keys.size(), std::size_t{1});
  const auto& got = all->keys.front();
  const auto want = key("a");
  check(got.public_key == want.public_key && got.secret_hash == want.secret_hash &&
        got.broker_salt == want.broker_salt && got.state == want.state && got.remark == want.remark &&
        got.decided_by == want.decided_by && got.hardware == want.hardware && got.last_seen_ms == 2);
  check_equal(all->tokens.front().uses_left, 2U);
  check(all->tokens.front().hash == std::string("\x00h", 2));
  check_equal(all->known.size(), std::size_t{1});
  check_ok((*ring)->erase_token("t1"));
  check_ok((*ring)->erase_known("k3xq-7jv2-m5nw-4hfa"));
  all = (*ring)->load();
  check(all->tokens.empty() && all->known.empty());
}

void a_strangers_file_is_left_alone() {
  const auto at = file();
  check_ok(
      runtime::write_file_atomically(at,
                                     "this is no database, and longer than a header of one hundred bytes: "
                                     "................................................................"));
  check(!store::Keyring::open(at));
}

}  // namespace

int main() {
  return kiln::test::run("keyring",
                         {{"what is saved is there after a restart", &what_is_saved_is_there_after_a_restart},
                          {"a stranger's file is refused", &a_strangers_file_is_left_alone}});
}
