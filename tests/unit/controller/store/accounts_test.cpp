#include "store/accounts.h"

#include <sys/stat.h>

#include <fstream>
#include <iterator>
#include <thread>

#include "check.h"
#include "controller/store/scratch.h"
#include "runtime/files.h"
#include "source_dir.h"

using namespace kiln;  // NOLINT(google-build-using-namespace)
using accounts::Role;
using store::Accounts;
using test::Scratch;

namespace {

accounts::User some_user(const std::string& name, Role role = Role::artist) {
  return {.name = name, .role = role, .created_ms = 1'000};
}
accounts::Token some_token(const std::string& id, const std::string& user) {
  return {.id = id, .user = user, .label = "nightly", .role = Role::viewer, .created_ms = 5, .expires_ms = 9};
}

std::unique_ptr<Accounts> fresh() {
  auto book = Accounts::open_in_memory();
  check_ok(book);
  return std::move(*book);
}

void a_user_is_kept_as_it_was_written() {
  const auto book = fresh();
  check(!book->user("ada")->has_value());
  check_equal(*book->password_hash("ada"), "");
  check_ok(book->add_user(some_user("ada", Role::operator_), "$argon2id$x"));
  check_ok(book->add_user(some_user("abe"), ""));
  check(book->add_user(some_user("ada"), "").error().code == Code::conflict);
  auto ada = **book->user("ada");
  check(ada.role == Role::operator_ && ada.has_password && !ada.is_disabled && ada.created_ms == 1'000);
  check_equal(*book->password_hash("ada"), "$argon2id$x");
  const auto all = *book->users();
  check_equal(all.size(), 2U);
  check_equal(all[0].name, "abe");
  check(!all[0].has_password);

  ada.role = Role::viewer;
  ada.is_disabled = true;
  check_ok(book->save_user(ada));
  check((*book->user("ada"))->role == Role::viewer && (*book->user("ada"))->is_disabled);
  check_equal(*book->password_hash("ada"), "$argon2id$x");
  check_ok(book->saw("ada", "", "", 77));
  check_ok(book->saw("ada", "", "", 70));
  check_equal((*book->user("ada"))->seen_ms, 77);
  check_ok(book->remove_user("ada"));
  check(book->remove_user("ada").error().code == Code::not_found);
  check(book->save_user(ada).error().code == Code::not_found);
  check(book->set_password("ada", "x", "").error().code == Code::not_found);
}

void who_goes_or_changes_the_password_takes_sessions_along() {
  const auto book = fresh();
  check_ok(book->add_user(some_user("ada"), "h"));
  check_ok(book->add_user(some_user("bob"), "h"));
  for (const auto* key : {"k1", "k2", "k3"}) check_ok(book->add_session(key, {"ada", 10, 10}, 0));
  check_ok(book->add_session("b", {"bob", 10, 10}, 0));
  check_ok(book->add_token(some_token("t", "ada"), "hash"));
  check_ok(book->set_password("ada", "new", "k2"));
  check(!book->session("k1")->has_value() && !book->session("k3")->has_value());
  check_equal((*book->session("k2"))->user, "ada");
  auto ada = **book->user("ada");
  ada.is_disabled = true;
  check_ok(book->save_user(ada));
  check(!book->session("k2")->has_value());
  check(book->token("t")->has_value());
  check_ok(book->remove_user("ada"));
  check(!book->token("t")->has_value());
  check_equal(*book->token_hash("t"), "");
  check(book->session("b")->has_value());
  check_ok(book->end_session("b"));
  check(!book->session("b")->has_value());
  check_ok(book->end_session("b"));
}

void sessions_and_tokens_are_bounded() {
  const auto book = fresh();
  check_ok(book->add_user(some_user("ada"), ""));
  check_ok(book->add_user(some_user("bob"), ""));
  check_ok(book->add_session("old", {"bob", 1, 1}, 0));
  for (int i = 0; i < 25; ++i)
    check_ok(book->add_session(fmt::format("s{}", i), {"ada", 100 + i, 100 + i}, 50));
  check(!book->session("old")->has_value());  // idle
  check(!book->session("s4")->has_value());
  check(book->session("s5")->has_value() && book->session("s24")->has_value());
  check_ok(book->saw("ada", "s5", "", 999));
  check_equal((*book->session("s5"))->seen_ms, 999);

  for (std::uint32_t i = 0; i < accounts::max_tokens; ++i)
    check_ok(book->add_token(some_token(fmt::format("t{}", i), "ada"), "h"));
  check(book->add_token(some_token("one-more", "ada"), "h").error().code == Code::conflict);
  check(book->add_token(some_token("t1", "bob"), "h").error().code == Code::conflict);
  check_ok(book->add_token(some_token("tb", "bob"), "hb"));
  check_equal(book->tokens("ada")->size(), accounts::max_tokens);
  check_equal(book->tokens(std::nullopt)->size(), accounts::max_tokens + 1);
  const auto token = **book->token("tb");
  check(token.user == "bob" && token.label == "nightly" && token.role == Role::viewer &&
        token.expires_ms == 9);
  check_equal(*book->token_hash("tb"), "hb");
  check_ok(book->saw("bob", "", "tb", 55));
  check_equal((*book->token("tb"))->seen_ms, 55);
  check_ok(book->remove_token("tb"));
  check(book->remove_token("tb").error().code == Code::not_found);
}

void deeds_come_newest_first_in_pages() {
  const auto book = fresh();
  for (int i = 1; i <= 5; ++i) {
    check_ok(book->add_deed({.at_ms = i,
                             .caller = i % 2 == 0 ? "ada" : "bob",
                             .role = "artist",
                             .peer = "10.0.0.1",
                             .method = "PATCH",
                             .path = "/p",
                             .what = fmt::format("job {}", i),
                             .status = 200}));
  }
  auto page = *book->deeds({.limit = 2});
  check_equal(page.size(), 2U);
  check_equal(page[0].seq, 5U);
  check_equal(page[0].what, "job 5");
  check(page[0].caller == "bob" && page[0].peer == "10.0.0.1" && page[0].method == "PATCH" &&
        page[0].status == 200);
  page = *book->deeds({.before = page[1].seq, .limit = 10});
  check_equal(page.size(), 3U);
  check_equal(page[0].seq, 3U);
  page = *book->deeds({.caller = "ada"});
  check_equal(page.size(), 2U);
  check_equal(page[1].seq, 2U);
}

void the_oldest_deeds_go_when_there_are_too_many() {
  const Scratch scratch;
  check_ok(Accounts::open(scratch / "a.db"));
  {
    auto database = store::Database::open(scratch / "a.db", store::Access::write);
    check_ok(database->execute(fmt::format(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) INSERT INTO deed "
        "(at_ms, caller, role, peer, method, path, what, status) SELECT i, '', '', '', '', '', '', 200 FROM "
        "n",
        accounts::max_deeds)));
  }
  const auto book = std::move(*Accounts::open(scratch / "a.db"));
  check_ok(book->add_deed({}));
  check_ok(book->add_deed({}));
  check_equal(book->deeds({.limit = 1})->front().seq, accounts::max_deeds + 2);
  check_equal(book->deeds({.before = 4, .limit = 10})->size(), 1U);  // 1 and 2 are gone
}

void the_file_is_its_owners_and_lives_on() {
  const Scratch scratch;
  {
    const auto book = std::move(*Accounts::open(scratch / "accounts.db"));
    check_ok(book->add_user(some_user("ada"), "h"));
    for (const auto* name : {"accounts.db", "accounts.db-wal", "accounts.db-shm"}) {
      struct stat info {};
      check_equal(::stat((scratch / name).c_str(), &info), 0);
      check_equal(info.st_mode & 0777U, 0600U);
    }
  }
  const auto book = std::move(*Accounts::open(scratch / "accounts.db"));
  check(book->user("ada")->has_value());
}

void what_is_no_file_of_accounts_is_refused() {
  const Scratch scratch;
  check_ok(runtime::write_file_atomically(scratch / "bad.db", std::string(4096, 'x')));
  const auto bad = Accounts::open(scratch / "bad.db");
  check(!bad.has_value());
  check_contains(bad.error().message, "bad.db");
  {
    auto database = store::Database::open(scratch / "new.db", store::Access::create);
    check_ok(database->execute("PRAGMA user_version = 99"));
  }
  const auto newer = Accounts::open(scratch / "new.db");
  check(!newer.has_value() && newer.error().code == Code::unsupported);
  check(!Accounts::open(scratch / "no" / "folder.db").has_value());
}

// account_schemas/0001.sql is what a released version 1 has on its users' disks: it never changes.
void a_released_schema_stays_as_it_was_released() {
  const auto all = store::account_migrations();
  for (std::size_t version = 1; version <= all.size(); ++version) {
    auto database = store::Database::open(":memory:", store::Access::create);
    check_ok(store::migrate(*database, all.first(version)));
    auto statement =
        database->prepare("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type DESC, name");
    std::string schema;
    check_ok(statement->each([&](const store::Row& row) -> Status {
      schema += row.text(0) + ";\n";
      return {};
    }));
    std::ifstream file(test::source_dir() / "tests/unit/controller/store/account_schemas" /
                       fmt::format("{:04}.sql", version));
    const std::string released{std::istreambuf_iterator<char>(file), {}};
    if (schema != released) std::fputs(schema.c_str(), stderr);
    check(schema == released);
  }
}

void many_threads_may_use_it() {
  const auto book = fresh();
  check_ok(book->add_user(some_user("ada"), ""));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 100; ++i) {
        check(book->user("ada")->has_value());
        check(book->add_deed({.caller = "ada"}).has_value());
      }
    });
  }
  for (auto& thread : threads) thread.join();
  check_equal(book->deeds({.limit = 1})->front().seq, 400U);
}

}  // namespace

int main() {
  return test::run(
      "accounts",
      {{"a user is kept as it was written", a_user_is_kept_as_it_was_written},
       {"who goes, or changes the password, takes sessions along",
        who_goes_or_changes_the_password_takes_sessions_along},
       {"sessions and tokens are bounded", sessions_and_tokens_are_bounded},
       {"deeds come newest first, in pages", deeds_come_newest_first_in_pages},
       {"the oldest deeds go when there are too many", the_oldest_deeds_go_when_there_are_too_many},
       {"the file is its owner's, and lives on", the_file_is_its_owners_and_lives_on},
       {"what is no file of accounts is refused", what_is_no_file_of_accounts_is_refused},
       {"a released schema stays as it was released", a_released_schema_stays_as_it_was_released},
       {"many threads may use it", many_threads_may_use_it}});
}
