#include "files/boot_logs.h"

#include <unistd.h>

#include <fmt/format.h>

#include "check.h"
#include "controller/store/scratch.h"

using namespace kiln;  // NOLINT(google-build-using-namespace)
using files::BootLogs;
using test::Scratch;

namespace {

NodeId node(const std::string& id) {
  auto parsed = NodeId::parse(id);
  check_ok(parsed);
  return *parsed;
}

std::string boot(unsigned number) {
  return fmt::format("{:08x}-0000-4000-8000-000000000000", number);
}

std::string text_of(const BootLogs& logs, const NodeId& who, const std::string& which) {
  const auto file = logs.open(who, which);
  check_ok(file);
  std::string text(file->size, '\0');
  check_equal(::pread(file->fd.get(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  return text;
}

void what_came_is_kept_by_node_and_boot() {
  const Scratch scratch;
  const BootLogs logs{files::Layout(scratch / "data")};
  check(logs.list(node("a")).empty());
  check_ok(logs.write(node("a"), boot(1), "panic"));
  check_ok(logs.write(node("a"), boot(1), "panic, whole"));
  check_ok(logs.write(node("b"), boot(1), "other"));
  check_equal(logs.list(node("a")).size(), std::size_t{1});
  check_equal(logs.list(node("a"))[0].boot, boot(1));
  check(logs.list(node("a"))[0].at_ms > 0);
  check_equal(text_of(logs, node("a"), boot(1)), "panic, whole");
  check_equal(text_of(logs, node("b"), boot(1)), "other");
  check(logs.open(node("b"), boot(2)).error().code == Code::not_found);
}

void there_are_never_more_than_that() {
  const Scratch scratch;
  const BootLogs logs{files::Layout(scratch / "data")};
  for (unsigned i = 0; i < files::max_boot_logs + 3; ++i) check_ok(logs.write(node("a"), boot(i), "x"));
  check_equal(logs.list(node("a")).size(), files::max_boot_logs);
}

void nothing_else_is_taken() {
  const Scratch scratch;
  const BootLogs logs{files::Layout(scratch / "data")};
  for (const char* bad :
       {"", "..", "../../../../../../../../../../etc/x", "0000", "ZZZZZZZZ-0000-4000-8000-000000000000"}) {
    check(logs.write(node("a"), bad, "x").error().code == Code::invalid);
    check(logs.open(node("a"), bad).error().code == Code::not_found);
  }
  check(logs.write(node("a"), boot(1), std::string(files::max_boot_log_bytes + 1, 'x')).error().code ==
        Code::too_large);
  check(logs.list(node("a")).empty());
}

}  // namespace

int main() {
  return kiln::test::run("boot_logs",
                         {{"what came is kept by node and boot", &what_came_is_kept_by_node_and_boot},
                          {"the oldest go", &there_are_never_more_than_that},
                          {"no other path, no endless log", &nothing_else_is_taken}});
}
