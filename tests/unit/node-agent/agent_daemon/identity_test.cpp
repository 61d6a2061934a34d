#include "daemon/identity.h"

#include <stdlib.h>

#include <fstream>

#include "check.h"

namespace fs = std::filesystem;
using kiln::agent::StateFile;

namespace {

struct Folder {
  Folder() {
    std::string name = (fs::temp_directory_path() / "kiln-identity-XXXXXX").string();
    check(::mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~Folder() { fs::remove_all(path); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  void write(const char* name, const std::string& text) const { std::ofstream(path / name) << text; }
  fs::path path;
};

void a_host_name_becomes_the_start_of_an_id() {
  const struct {
    const char* host;
    const char* slug;
  } cases[] = {
      {"render07", "render07"},
      {"Render-Box 07.lan", "render-box-07"},
      {"--x--", "x"},
      {"a__b", "a-b"},
      {"", "box"},
      {"...", "box"},
      {"ÄÖ", "box"},
      {"abcdefghijklmnopqrstuvwxyz0123456789", "abcdefghijklmnopqrstuvwx"},
      {"abcdefghijklmnopqrstuvw-yz", "abcdefghijklmnopqrstuvw"},
  };
  for (const auto& one : cases) check_equal(kiln::agent::id_slug(one.host), one.slug);
}

void an_id_is_made_once() {
  const Folder data;
  check(!kiln::agent::find_node_id(data.path)->has_value());
  const auto id = kiln::agent::load_node_id(data.path);
  check_ok(id);
  check_equal(kiln::agent::load_node_id(data.path)->str(), id->str());
  check_equal(kiln::agent::find_node_id(data.path)->value().str(), id->str());
  data.write("node-id", "chosen-by-hand \n");
  check_equal(kiln::agent::load_node_id(data.path)->str(), "chosen-by-hand");
}

void a_damaged_id_is_refused_with_the_remedy() {
  const Folder data;
  for (const char* text : {"", "No Id", "a/b"}) {
    data.write("node-id", text);
    const auto id = kiln::agent::load_node_id(data.path);
    check(!id.has_value());
    check_contains(id.error().message, "delete the file to get a new id");
  }
}

void state_survives_a_restart() {
  const Folder data;
  const auto file = data.path / "state.json";
  {
    auto state = StateFile::open(file);
    check_ok(state);
    check_equal(state->epoch(), 0U);
    check_equal(state->raise_sid(), 1U);
    check_ok(state->set_farm("farm-a"));
    check_ok(state->set_epoch(7));
    state->skip_sid(40);
    state->skip_sid(20);
    check_equal(state->raise_sid(), 41U);
  }
  auto state = StateFile::open(file);
  check_ok(state);
  check_equal(state->farm(), "farm-a");
  check_equal(state->epoch(), 7U);
  check_equal(state->raise_sid(), 42U);
}

void damaged_state_is_set_aside_and_work_goes_on() {
  const Folder data;
  const auto file = data.path / "state.json";
  for (const auto& text :
       {std::string(), std::string("{\"farm\":\"a\",\"epoch\":7"),
        std::string("{\"farm\":\"a\",\"epoch\":-1,\"sid\":3}"), std::string(100'000, 'x')}) {
    data.write("state.json", text);
    auto state = StateFile::open(file);
    check_ok(state);
    check_equal(state->epoch(), 0U);
    check_equal(state->raise_sid(), 1U);
    check(fs::exists(data.path / "state.json.bad"));
  }
}

}  // namespace

int main() {
  return kiln::test::run(
      "agent identity",
      {{"a host name becomes the start of an id", a_host_name_becomes_the_start_of_an_id},
       {"an id is made once", an_id_is_made_once},
       {"a damaged id is refused with the remedy", a_damaged_id_is_refused_with_the_remedy},
       {"state survives a restart", state_survives_a_restart},
       {"damaged state is set aside and work goes on", damaged_state_is_set_aside_and_work_goes_on}});
}
