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

void the_id_follows_from_the_key() {
  const Folder data;
  check(!kiln::agent::find_node_id(data.path)->has_value());
  const auto key = kiln::identity::Key::load_or_make(data.path / kiln::agent::key_name);
  check_ok(key);
  const auto id = kiln::agent::load_node_id(data.path, *key);
  check_ok(id);
  check_equal(id->str(), kiln::identity::id_of_key(key->public_key()));
  check_equal(kiln::agent::find_node_id(data.path)->value().str(), id->str());
  data.write("node-id", "from-before \n");  // boxes of before there were keys keep theirs
  check_equal(kiln::agent::load_node_id(data.path, *key)->str(), "from-before");
}

void a_damaged_id_is_refused_with_the_remedy() {
  const Folder data;
  const auto key = kiln::identity::Key::make();
  for (const char* text : {"", "No Id", "a/b"}) {
    data.write("node-id", text);
    const auto id = kiln::agent::load_node_id(data.path, key);
    check(!id.has_value());
    check_contains(id.error().message, "delete the file");
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
      {{"the id follows from the key, and one of before is kept", the_id_follows_from_the_key},
       {"a damaged id is refused with the remedy", a_damaged_id_is_refused_with_the_remedy},
       {"state survives a restart", state_survives_a_restart},
       {"damaged state is set aside and work goes on", damaged_state_is_set_aside_and_work_goes_on}});
}
