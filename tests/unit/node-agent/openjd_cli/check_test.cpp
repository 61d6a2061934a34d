#include "openjd/check.h"

#include <filesystem>
#include <fstream>

#include "check.h"

namespace {

namespace fs = std::filesystem;

// A folder of its own, gone with the test.
class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "kiln-openjd-XXXXXX").string();
    check(mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~Folder() { fs::remove_all(path_); }
  [[nodiscard]] fs::path file(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name) << text;
    return path_ / name;
  }
  [[nodiscard]] const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

struct Said {
  int status = 0;
  std::string out;
  std::string err;
};

std::string all(std::FILE* file) {
  std::string text;
  std::rewind(file);
  for (int c = std::fgetc(file); c != EOF; c = std::fgetc(file)) text += static_cast<char>(c);
  std::fclose(file);
  return text;
}

Said checked(const fs::path& file) {
  std::FILE* out = std::tmpfile();
  std::FILE* err = std::tmpfile();
  Said said;
  said.status = kiln::openjd::check_file(file, out, err);
  said.out = all(out);
  said.err = all(err);
  return said;
}

const std::string valid =
    "{\"specificationVersion\": \"jobtemplate-2023-09\", \"name\": \"n\", \"steps\": [{\"name\": \"s\", "
    "\"script\": "
    "{\"actions\": {\"onRun\": {\"command\": \"c\"}}}}]}";

void a_valid_template_is_said_to_be_one() {
  const Folder folder;
  for (const std::string name : {"a.json", "a.yaml", "a.template"}) {
    const auto said = checked(folder.file(name, valid));
    check_equal(said.status, 0);
    check_contains(said.out, "a valid job template: 1 step, 0 parameters\n");
    check_equal(said.err, "");
  }
  const auto said = checked(folder.file(
      "e.yaml", "{specificationVersion: environment-2023-09, environment: {name: e, variables: {A: b}}}"));
  check_equal(said.status, 0);
  check_contains(said.out, "a valid environment template");
}

void each_problem_is_a_line() {
  const Folder folder;
  const auto file =
      folder.file("a.yaml", "{specificationVersion: jobtemplate-2023-09, name: '', steps: [{name: s}]}");
  const auto said = checked(file);
  check_equal(said.status, 1);
  check_equal(said.out, "");
  check_equal(
      said.err,
      fmt::format(
          "{0}: name: is empty; at least one character belongs here\n{0}: steps[0].script: is missing\n",
          file.string()));
}

void what_is_left_out_is_counted() {
  const Folder folder;
  std::string fields;
  for (int i = 0; i < 120; ++i) fields += fmt::format(", x{}: 1", i);
  const auto said =
      checked(folder.file("a.yaml", "{specificationVersion: jobtemplate-2023-09" + fields + "}"));
  check_equal(said.status, 1);
  check_contains(said.err, "22 more are not listed");
}

void a_file_that_cannot_be_read_is_named() {
  const Folder folder;
  const auto missing = checked(folder.path() / "nothing.yaml");
  check_equal(missing.status, 1);
  check_contains(missing.err, "nothing.yaml");
  const auto large = checked(folder.file("large.yaml", std::string(2 << 20U, ' ')));
  check_equal(large.status, 1);
  check_contains(large.err, "large.yaml");
  // JSON is not read as YAML, which would take it.
  const auto loose = checked(folder.file("loose.json", "{specificationVersion: jobtemplate-2023-09}"));
  check_equal(loose.status, 1);
  check_contains(loose.err, "double quotes");
}

}  // namespace

int main() {
  return kiln::test::run("check",
                         {{"a valid template is said to be one", &a_valid_template_is_said_to_be_one},
                          {"each problem is a line on stderr", &each_problem_is_a_line},
                          {"what is left out is counted", &what_is_left_out_is_counted},
                          {"a file that cannot be read is named", &a_file_that_cannot_be_read_is_named}});
}
