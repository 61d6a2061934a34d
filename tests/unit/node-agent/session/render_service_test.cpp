// The socket between a slot and kiln-resident, with peers that do not behave.
#include "session/render_service.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <string>

#include "session/render_request.h"
#include "session/render_socket.h"

#include "check.h"

using namespace kiln;
using namespace kiln::session;
namespace fs = std::filesystem;

namespace {

struct Rig {
  fs::path root;
  std::optional<Blender> blender;
  std::unique_ptr<RenderService> service;

  // The socket's path is longer than an address can hold.
  Rig() {
    auto pattern = (fs::temp_directory_path() / "kiln-service-XXXXXX").native();
    check(::mkdtemp(pattern.data()) != nullptr);
    root = fs::path(pattern) / std::string(120, 'd');
    fs::create_directories(root);
    Blender::Config config;
    config.program = "no-such-blender";
    config.folder = root;
    config.scratch = root;
    blender.emplace(std::move(config));
    auto made = RenderService::create(root / "resident.sock", *blender);
    check_ok(made);
    service = std::move(*made);
  }
  ~Rig() {
    service.reset();
    fs::remove_all(root.parent_path());
  }
  [[nodiscard]] runtime::Fd call(const std::string& text) const {
    auto connection = connect_to(root / "resident.sock");
    check_ok(connection);
    check(send_all(connection->get(), text));
    return std::move(*connection);
  }
  [[nodiscard]] RenderRequest request() const {
    RenderRequest wanted;
    wanted.scene = "/nowhere/a.blend";
    wanted.frames = "1";
    wanted.output = (root / "out").native();
    return wanted;
  }
};

// All that comes until the other side closes.
std::string answer(const runtime::Fd& connection) {
  std::string text;
  std::array<char, 4096> buffer{};
  for (;;) {
    const auto got = ::recv(connection.get(), buffer.data(), buffer.size(), 0);
    if (got <= 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

void nonsense_is_answered() {
  Rig rig;
  rig.service->begin({});
  check_contains(answer(rig.call("nonsense\n")), R"("code":"bad-request")");
  check_contains(answer(rig.call("{\"output\":\"out\"}\n")), "must be an absolute path");
  const auto account = rig.service->finish();
  check(account.failure.has_value());
  check_equal(account.failure->code, "bad-request");
}

void a_failure_is_told_to_both_sides() {
  Rig rig;
  rig.service->begin({});
  check_contains(answer(rig.call(encode(rig.request()) + "\n")), R"("code":"renderer-missing")");
  const auto account = rig.service->finish();
  check(account.failure.has_value());
  check_equal(account.failure->code, "renderer-missing");
}

void whoever_says_nothing_holds_nobody_up() {
  Rig rig;
  rig.service->begin({});
  const auto silent = rig.call("");
  const auto half = rig.call("{\"output\"");
  static_cast<void>(rig.service->finish());
  // The next action begins anew.
  rig.service->begin({});
  const auto account = rig.service->finish();
  check(!account.failure);
}

void commands_wait_for_their_turn() {
  Rig rig;
  const auto first = rig.call(encode(rig.request()) + "\n");
  const auto second = rig.call(encode(rig.request()) + "\n");
  rig.service->begin({});
  check_contains(answer(first), "renderer-missing");
  check_contains(answer(second), "renderer-missing");
  static_cast<void>(rig.service->finish());
}

}  // namespace

int main() {
  return kiln::test::run("render_service",
                         {{"nonsense is answered", &nonsense_is_answered},
                          {"a failure is told to both sides", &a_failure_is_told_to_both_sides},
                          {"whoever says nothing holds nobody up", &whoever_says_nothing_holds_nobody_up},
                          {"commands wait for their turn", &commands_wait_for_their_turn}});
}
