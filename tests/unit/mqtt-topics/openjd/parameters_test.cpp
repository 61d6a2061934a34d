#include "openjd/parameters.h"

#include "check.h"
#include "templates.h"

using namespace kiln::openjd;
using namespace kiln::test;

namespace {

template <class T>
T parsed(const std::string& text) {
  auto out = parse_template(text, Syntax::yaml);
  if (!out) print_error("%s\n  %s\n", text.c_str(), out.error().list()[0].to_text().c_str());
  check(out.has_value());
  return std::get<T>(std::move(*out));
}

Checked<std::vector<ParameterDefinition>> merged(const std::string& first, const std::string& second) {
  const auto outer = parsed<EnvironmentTemplate>(
      environment("name: Outer, variables: {A: b}", ", parameterDefinitions: [{name: P, " + first + "}]"));
  const auto job = parsed<JobTemplate>(with_parameter("name: P, " + second));
  return merge_parameters({&outer}, job);
}

ParameterInput input(const std::string& yaml) {
  const auto document = parse_document(yaml, Syntax::yaml);
  check_ok(document);
  ParameterInput out;
  for (std::size_t i = 0; i < document->keys.size(); ++i) out.emplace(document->keys[i], document->items[i]);
  return out;
}

void definitions_become_the_narrowest() {
  const struct {
    std::string first;
    std::string second;
    std::string want;  // "min max allowed default"
  } cases[] = {
      {"type: INT, minValue: 0, maxValue: 40", "type: INT, minValue: 5, maxValue: 50", "5 40 - -"},
      {"type: INT, allowedValues: [10, '020', 30]", "type: INT, allowedValues: [20, 10]", "- - 10,20 -"},
      {"type: INT, default: 3", "type: INT", "- - - 3"},
      {"type: INT, default: 3", "type: INT, default: 4", "- - - 4"},
      {"type: FLOAT, minValue: '0.5'", "type: FLOAT, maxValue: 2.5", "0.5 2.5 - -"},
      {"type: STRING, minLength: 2, maxLength: 9", "type: STRING, minLength: 1, maxLength: 5", "2 5 - -"},
      {"type: STRING, allowedValues: [a, b]", "type: STRING", "- - a,b -"},
      {"type: PATH, objectType: FILE", "type: PATH, dataFlow: IN", "- - - -"},
  };
  for (const auto& one : cases) {
    const auto definitions = merged(one.first, one.second);
    check(definitions.has_value());
    check_equal(definitions->size(), 1U);
    const auto& p = (*definitions)[0];
    std::string allowed = "-";
    if (p.allowed) {
      allowed.clear();
      for (const auto& value : *p.allowed) allowed += (allowed.empty() ? "" : ",") + value;
    }
    const std::string low = p.min_value    ? p.min_value->text
                            : p.min_length ? fmt::format("{}", *p.min_length)
                                           : "-";
    const std::string high = p.max_value    ? p.max_value->text
                             : p.max_length ? fmt::format("{}", *p.max_length)
                                            : "-";
    check_equal(fmt::format("{} {} {} {}", low, high, allowed, p.default_value.value_or("-")), one.want);
  }
}

void conflicts_name_the_templates() {
  const struct {
    std::string first;
    std::string second;
    std::string part;
  } cases[] = {
      {"type: INT", "type: STRING",
       "type is INT in the environment template 'Outer' and STRING in the job template"},
      {"type: PATH, objectType: FILE", "type: PATH, objectType: DIRECTORY", "objectType is FILE"},
      {"type: PATH, dataFlow: IN", "type: PATH, dataFlow: OUT", "dataFlow is IN"},
      {"type: INT, minValue: 5", "type: INT, maxValue: 4", "at least 5 and at most 4"},
      {"type: STRING, minLength: 5", "type: STRING, maxLength: 4", "at least 5 and at most 4"},
      {"type: INT, allowedValues: [1]", "type: INT, allowedValues: [2]", "no value is in"},
      {"type: INT, minValue: 5", "type: INT, default: 4", "the default does not fit"},
      {"type: FLOAT, minValue: 5", "type: FLOAT, default: 4.5", "the default does not fit"},
      {"type: STRING, minLength: 3", "type: STRING, default: ab", "the default does not fit"},
      {"type: INT, default: 5", "type: INT, allowedValues: [1]", "the default does not fit"},
  };
  for (const auto& one : cases) {
    const auto definitions = merged(one.first, one.second);
    check(!definitions.has_value());
    check_equal(definitions.error().list()[0].path, "parameterDefinitions.P");
    check_contains(definitions.error().list()[0].message, one.part);
  }
}

void values_are_checked_against_their_definition() {
  const struct {
    std::string fields;
    std::string given;
    std::string want;  // "!part" of the problem, when it starts so
  } cases[] = {
      {"type: INT", "{P: 5}", "5"},
      {"type: INT", "{P: '5'}", "5"},
      {"type: INT", "{P: '007'}", "7"},
      {"type: INT, default: '007'", "{}", "7"},
      {"type: INT", "{P: 9223372036854775807}", "9223372036854775807"},
      {"type: INT", "{P: 9223372036854775808}", "!64 bits"},
      {"type: INT", "{P: 5.0}", "!no whole number"},
      {"type: INT", "{P: five}", "!'five' is no whole number"},
      {"type: INT", "{P: true}", "!a boolean is no whole number"},
      {"type: INT", "{P: [1]}", "!a list is no whole number"},
      {"type: INT", "{}", "!has no value"},
      {"type: INT, minValue: '5'", "{P: 4}", "!at least 5"},
      {"type: INT, minValue: 5, maxValue: 5", "{P: 5}", "5"},
      {"type: INT, allowedValues: ['01']", "{P: 1}", "1"},
      {"type: INT, allowedValues: ['01']", "{P: 2}", "!allowed are '1'"},
      {"type: FLOAT", "{P: 1.50}", "1.50"},
      {"type: FLOAT", "{P: '3.141592653589793'}", "3.141592653589793"},
      {"type: FLOAT", "{P: 5}", "5"},
      {"type: FLOAT", "{P: x}", "!no number"},
      {"type: FLOAT, allowedValues: ['1.5', '04.5']", "{P: 4.5}", "4.5"},
      {"type: FLOAT, minValue: '0.5'", "{P: 0.25}", "!at least 0.5"},
      {"type: FLOAT, default: '3.500'", "{}", "3.500"},
      {"type: STRING", "{P: ''}", ""},
      {"type: STRING", "{P: 5}", "!put it in quotes"},
      {"type: STRING, maxLength: 2", "{P: äö}", "äö"},
      {"type: STRING, maxLength: 2", "{P: abc}", "!at most 2"},
      {"type: STRING", "{P: a, Q: b}", "!no such parameter; is 'P' meant"},
      {"type: PATH", "{P: sub/a}", "/shots/sub/a"},
      {"type: PATH", "{P: ../a}", "/a"},
      {"type: PATH", "{P: /x/a}", "/x/a"},
      {"type: PATH", "{P: 's3://bucket/key'}", "/shots/s3:/bucket/key"},
      {"type: PATH", "{P: ''}", ""},
      {"type: PATH, allowedValues: [a]", "{P: a}", "/shots/a"},
      {"type: PATH, allowedValues: [a]", "{P: b}", "!not allowed"},
      {"type: PATH, maxLength: 1", "{P: a}", "/shots/a"},
      {"type: PATH, default: a/b", "{}", "/templates/t/a/b"},
      {"type: PATH, default: .", "{}", "/templates/t"},
      {"type: PATH, default: ./a/./../b/.", "{}", "/templates/t/b"},
      {"type: PATH, default: ..name/name../...", "{}", "/templates/t/..name/name../..."},
      {"type: PATH, default: ''", "{}", ""},
      {"type: PATH, default: /tmp/a", "{}", "!is absolute"},
      {"type: PATH, default: ..", "{}", "!leads out"},
      {"type: PATH, default: ../tt", "{}", "!leads out"},
      {"type: PATH, default: a/../../b", "{}", "!leads out"},
      {"type: PATH, default: a, maxLength: 3", "{}", "!at most 3"},
      {"type: PATH, default: a, allowedValues: [a]", "{}", "!not allowed"},
  };
  for (const auto& one : cases) {
    const auto job = parsed<JobTemplate>(with_parameter("name: P, " + one.fields));
    const auto values = parameter_values(job.parameters, input(one.given), {"/templates/t/", "/shots"});
    if (one.want.starts_with('!')) {
      if (values) print_error("accepted: %s %s\n", one.fields.c_str(), one.given.c_str());
      check(!values.has_value());
      check_contains(values.error().list()[0].message, one.want.substr(1));
      check(values.error().list()[0].path.starts_with("parameters."));
    } else {
      if (!values)
        print_error("%s %s: %s\n", one.fields.c_str(), one.given.c_str(),
                    values.error().list()[0].to_text().c_str());
      check(values.has_value());
      check_equal((*values)[0].value, one.want);
    }
  }
}

void without_folders_paths_stay_as_they_are() {
  const auto job =
      parsed<JobTemplate>(with_parameter("name: P, type: PATH, default: ../a}, {name: Q, type: PATH"));
  const auto values = parameter_values(job.parameters, input("{Q: b}"), {});
  check(values.has_value());
  check_equal((*values)[0].value, "../a");
  check_equal((*values)[1].value, "b");
}

void all_values_are_told_at_once() {
  const auto job =
      parsed<JobTemplate>(with_parameter("name: P, type: INT}, {name: Q, type: INT}, {name: R, type: INT"));
  const auto values = parameter_values(job.parameters, input("{P: x, Q: 1, Nonsense: 2}"), {});
  check(!values.has_value());
  check_equal(values.error().list().size(), 3U);
}

}  // namespace

int main() {
  return kiln::test::run(
      "parameters",
      {{"merged definitions become the narrowest", &definitions_become_the_narrowest},
       {"conflicts name the templates", &conflicts_name_the_templates},
       {"values are checked against their definition", &values_are_checked_against_their_definition},
       {"without folders, paths stay as they are", &without_folders_paths_stay_as_they_are},
       {"all values are told at once", &all_values_are_told_at_once}});
}
