#include "api/api.h"

#include <stdlib.h>

#include "controller/api/fakes.h"
#include "mqtt-topics/bundles/archives.h"

#include "check.h"

using namespace kiln::test;

namespace {

constexpr const char* renderers = "/api/v1/renderers";

// Puts an archive of these among the blobs; its digest is the letter's.
void put(World& world, char letter, const std::vector<Packed>& entries) {
  char name[] = "/tmp/kiln-archive-XXXXXX";
  const int fd = ::mkstemp(name);
  if (fd >= 0) ::close(fd);
  write_archive(name, entries);
  world.storage.blobs[digest_of_letter(letter)] = content_of(name);
  ::unlink(name);
}

std::string wish(char letter, const std::string& file, const std::string& more = "") {
  return R"({"file":")" + file + R"(","digest":")" + digest_of_letter(letter) + '"' + more + "}";
}

void one_is_added_listed_and_removed() {
  World world;
  put(world, 'a', honest());
  const auto file = "blender-4.2.1-linux-x64.tar.xz";
  check_equal(world.ask("GET", renderers).body, R"({"renderers":[]})");
  auto answer = world.ask("POST", renderers, wish('a', file));
  check_equal(answer.status, 201);
  check_contains(answer.body, R"("name":"blender-4.2.1","version":"4.2.1")");
  check_contains(answer.body, R"("unpacked_bytes":100028,"program":"blender-4.2.1-linux-x64/blender")");
  check_equal(world.ask("POST", renderers, wish('a', file)).status, 200);  // the same again
  check_contains(world.ask("GET", renderers).body, R"([{"name":"blender-4.2.1")");
  check_equal(world.ask("GET", "/api/v1/renderers/blender-4.2.1").status, 200);
  check_equal(world.ask("GET", "/api/v1/renderers/blender-9").status, 404);

  // Under another name it is the same blob, which stays until the last one goes.
  answer = world.ask("POST", renderers, wish('a', file, R"(,"name":"studio","version":"1.0")"));
  check_equal(answer.status, 201);
  check_contains(answer.body, R"("name":"studio-1.0")");
  check_equal(world.ask("DELETE", "/api/v1/renderers/blender-4.2.1").status, 204);
  check(world.storage.blobs.contains(digest_of_letter('a')));
  check_equal(world.ask("DELETE", "/api/v1/renderers/studio-1.0").status, 204);
  check(!world.storage.blobs.contains(digest_of_letter('a')));
  check_equal(world.ask("DELETE", "/api/v1/renderers/studio-1.0").status, 404);
}

void what_is_no_renderer_is_refused_with_what_would_be_right() {
  World world;
  auto hostile = honest();
  hostile.push_back({"../evil", "x"});
  put(world, 'a', honest());
  put(world, 'b', hostile);
  put(world, 'c', {{"readme", "x"}});
  world.storage.blobs[digest_of_letter('d')] = "no archive";
  const struct {
    std::string body;
    int status;
    const char* said;
  } cases[] = {
      {wish('f', "blender-4.2.1.tar.xz"), 422, "PUT /api/v1/blobs/sha256:"},
      {wish('b', "blender-4.2.1.tar.xz"), 422, "outside of its folder"},
      {wish('c', "blender-4.2.1.tar.xz"), 422, "holds no executable 'blender'"},
      {wish('d', "blender-4.2.1.tar.xz"), 422, "cannot be read"},
      {wish('a', "b.tar.xz"), 400, "--name and --version"},
      {wish('a', "blender-4.2.1-windows-x64.zip"), 400, "another system"},
      {wish('a', "b", R"(,"name":"../b","version":"1")"), 400, "is no renderer's name"},
      {R"({"file":"blender-4.2.1.tar.xz","digest":"md5:1"})", 400, "renderer.digest"},
      {R"({"digest":"md5:1"})", 400, "renderer.file: missing"},
  };
  for (const auto& one : cases) {
    const auto answer = world.ask("POST", renderers, one.body);
    check_equal(answer.status, one.status);
    check_contains(answer.body, one.said);
  }
  check(world.reader.renderer_rows.empty());
}

void it_is_an_operators_business() {
  World world;
  put(world, 'a', honest());
  const auto artist = world.key_of("ada", kiln::accounts::Role::artist);
  check_equal(world.ask("GET", renderers, "", artist).status, 200);
  check_equal(world.ask("POST", renderers, wish('a', "blender-4.2.1.tar.xz"), artist).status, 403);
  check_equal(world.ask("DELETE", "/api/v1/renderers/blender-4.2.1", "", artist).status, 403);
  const auto grace = world.key_of("grace", kiln::accounts::Role::operator_);
  const auto answer = world.ask("POST", renderers, wish('a', "blender-4.2.1.tar.xz"), grace);
  check_equal(answer.status, 201);
  check_contains(answer.body, R"("user":"grace")");
}

}  // namespace

int main() {
  return kiln::test::run("renderers", {{"one is added, listed and removed", one_is_added_listed_and_removed},
                                       {"what is no renderer is refused with what would be right",
                                        what_is_no_renderer_is_refused_with_what_would_be_right},
                                       {"it is an operator's business", it_is_an_operators_business}});
}
