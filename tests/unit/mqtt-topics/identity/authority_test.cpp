#include "identity/authority.h"

#include <filesystem>

#include "check.h"
#include "runtime/files.h"
#include "runtime/process.h"

namespace {

namespace fs = std::filesystem;
using namespace kiln;
using namespace kiln::identity;

fs::path folder() {
  std::string name = (fs::temp_directory_path() / "kiln-authority-XXXXXX").string();
  return ::mkdtemp(name.data());
}

Authority open(const fs::path& at) {
  auto authority = Authority::open(at);
  check_ok(authority);
  return std::move(*authority);
}

// What another reader of the standard says of it.
bool is_verified(const fs::path& at, const std::string& pem, const std::string& purpose) {
  check_ok(runtime::write_file_atomically(at / "one.pem", pem));
  runtime::SpawnOptions options;
  options.argv = {"openssl", "verify",  "-x509_strict",           "-purpose",
                  purpose,   "-CAfile", (at / "ca.pem").string(), (at / "one.pem").string()};
  auto process = runtime::Process::spawn(options);
  check_ok(process);
  const auto ended = process->wait(std::chrono::seconds(30));
  check(ended.has_value());
  return ended->ok();
}

void made_once() {
  const auto at = folder();
  const auto fingerprint = open(at).fingerprint();
  check_equal(open(at).fingerprint(), fingerprint);
  auto of_pem = fingerprint_of_certificate(open(at).certificate());
  check_ok(of_pem);
  check_equal(*of_pem, fingerprint);
}

void certificates_hold() {
  const auto at = folder();
  const auto authority = open(at);
  const Key key = Key::make();
  const auto server =
      authority.issue_server(key, {"farm", "farm.local", "127.0.0.1", "::1", "bad,IP:1.2.3.4", ""});
  check(is_verified(at, server, "sslserver"));
  check(!is_verified(at, server, "sslclient"));
  auto names = names_of_certificate(server);
  check_ok(names);
  check(*names == std::vector<std::string>({"farm", "farm.local", "127.0.0.1", "::1"}));
  check(is_verified(at, authority.issue_client(key.public_key(), "box"), "sslclient"));
  check(!is_verified(at, open(folder()).issue_server(key, {"farm"}), "sslserver"));
}

void strangers_are_refused() {
  const auto at = folder();
  (void)open(at);
  check_ok(runtime::write_file_atomically(at / "ca.pem", open(folder()).certificate()));
  check_contains(Authority::open(at).error().message, "is not the certificate of");
  check(!fingerprint_of_certificate("-----BEGIN nonsense"));
}

}  // namespace

int main() {
  return kiln::test::run("authority",
                         {{"an authority is made once and keeps its fingerprint", &made_once},
                          {"OpenSSL accepts what it issues, for its purpose only", &certificates_hold},
                          {"a certificate that is not the key's is refused", &strangers_are_refused}});
}
