#include "actions/path_mapping.h"

#include "check.h"

using namespace kiln::actions;

namespace {

PathMapping mapping(std::vector<PathRule> rules) {
  auto out = PathMapping::create(std::move(rules));
  check_ok(out);
  return std::move(*out);
}

struct Row {
  std::string_view path;
  std::string_view want;
};

void expect(const PathMapping& rules, std::initializer_list<Row> rows) {
  for (const auto& [path, want] : rows)
    check_equal(fmt::format("{} -> {}", path, rules.apply(path)), fmt::format("{} -> {}", path, want));
}

void posix_rules_map_whole_folders() {
  expect(mapping({{PathFormat::posix, "/show", "/mnt/show"}}),
         {
             {"/show", "/mnt/show"},
             {"/show/", "/mnt/show/"},
             {"/show/a/b.png", "/mnt/show/a/b.png"},
             {"/show//a/./b", "/mnt/show/a/b"},
             {"/shows/a", "/shows/a"},
             {"/SHOW/a", "/SHOW/a"},
             {"show/a", "show/a"},
             {"/other/show", "/other/show"},
             {"", ""},
             {"/show/../etc", "/mnt/show/../etc"},
             {"/show/with space/ä", "/mnt/show/with space/ä"},
         });
  expect(mapping({{PathFormat::posix, "/show/", "/mnt/show/"}}),
         {{"/show/a", "/mnt/show/a"}, {"/show", "/mnt/show"}});
  expect(mapping({{PathFormat::posix, "/", "/all"}}), {{"/a/b", "/all/a/b"}, {"/", "/all/"}, {"a", "a"}});
  expect(mapping({{PathFormat::posix, "/a", "/"}}), {{"/a/b", "/b"}, {"/a", "/"}});
}

void windows_rules_take_either_slash_and_any_case() {
  expect(mapping({{PathFormat::windows, "C:\\Users\\Me", "/home/me"},
                  {PathFormat::windows, "\\\\server\\share", "/mnt/share"}}),
         {
             {"C:\\Users\\Me\\a\\b.png", "/home/me/a/b.png"},
             {"c:/users/ME/a\\B.png", "/home/me/a/B.png"},
             {"C:\\Users\\Me\\", "/home/me/"},
             {"C:\\Users\\Meg\\a", "C:\\Users\\Meg\\a"},
             {"D:\\Users\\Me\\a", "D:\\Users\\Me\\a"},
             {"\\\\SERVER\\share\\a", "/mnt/share/a"},
             {"//server/share/a", "/mnt/share/a"},
             {"server\\share\\a", "server\\share\\a"},
         });
}

void the_longest_source_wins_and_only_one_rule_applies() {
  expect(mapping({{PathFormat::posix, "/show", "/one"},
                  {PathFormat::posix, "/show/shot/deep", "/three"},
                  {PathFormat::posix, "/show/shot", "/two"},
                  {PathFormat::posix, "/one", "/never"}}),
         {{"/show/a", "/one/a"},
          {"/show/shot/a", "/two/a"},
          {"/show/shot/deep/a", "/three/a"},
          {"/one/a", "/never/a"}});
  // Of two equal ones the first.
  expect(mapping({{PathFormat::posix, "/a", "/first"}, {PathFormat::posix, "/a/", "/second"}}),
         {{"/a/x", "/first/x"}});
}

void the_document_is_read_and_written() {
  const std::string text =
      R"({"version":"pathmapping-1.0","path_mapping_rules":[{"source_path_format":"WINDOWS","source_path":"Z:\\","destination_path":"/mnt/z"}]})";
  const auto rules = PathMapping::parse(text);
  check_ok(rules);
  check(!rules->empty());
  check_equal(rules->dump(), text);
  expect(*rules, {{"z:\\a", "/mnt/z/a"}});
  for (const auto* none : {"{}", R"({"version":"pathmapping-1.0","path_mapping_rules":[]})"}) {
    const auto empty = PathMapping::parse(none);
    check_ok(empty);
    check(empty->empty());
    check_equal(empty->dump(), R"({"version":"pathmapping-1.0","path_mapping_rules":[]})");
  }
}

void bad_documents_are_refused_by_what_is_wrong() {
  struct Bad {
    std::string_view text;
    std::string_view why;
  };
  const std::vector<Bad> all{
      {"", "path mapping rules"},
      {"[]", "must be an object"},
      {R"({"path_mapping_rules":[]})", "version"},
      {R"({"version":"pathmapping-2.0","path_mapping_rules":[]})", "it must be 'pathmapping-1.0'"},
      {R"({"version":"pathmapping-1.0"})", "path_mapping_rules"},
      {R"({"version":"pathmapping-1.0","path_mapping_rules":{}})", "path_mapping_rules"},
      {R"({"version":"pathmapping-1.0","path_mapping_rules":[1]})", "path_mapping_rules[0]"},
      {R"({"version":"pathmapping-1.0","path_mapping_rules":[{"source_path_format":"MAC","source_path":"/a","destination_path":"/b"}]})",
       "POSIX or WINDOWS"},
      {R"({"version":"pathmapping-1.0","path_mapping_rules":[{"source_path_format":"POSIX","source_path":"a","destination_path":"/b"}]})",
       "source_path: 'a' is not absolute"},
      {R"({"version":"pathmapping-1.0","path_mapping_rules":[{"source_path_format":"POSIX","source_path":"/a","destination_path":""}]})",
       "destination_path: '' is not absolute"},
  };
  for (const auto& [text, why] : all) {
    const auto rules = PathMapping::parse(text);
    check(!rules.has_value());
    check_contains(rules.error().message, why);
  }
}

}  // namespace

int main() {
  return kiln::test::run(
      "path_mapping",
      {
          {"POSIX rules map whole folders", &posix_rules_map_whole_folders},
          {"Windows rules take either slash and any case", &windows_rules_take_either_slash_and_any_case},
          {"the longest source wins, and only one rule applies",
           &the_longest_source_wins_and_only_one_rule_applies},
          {"the specification's document is read and written", &the_document_is_read_and_written},
          {"bad documents are refused by what is wrong", &bad_documents_are_refused_by_what_is_wrong},
      });
}
