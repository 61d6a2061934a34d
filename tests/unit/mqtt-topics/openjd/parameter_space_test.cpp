#include "openjd/parameter_space.h"

#include "check.h"
#include "openjd/value.h"

using namespace kiln::openjd;

namespace {

// The first step's space of a template with these task parameters.
Checked<ParameterSpace> space_of(const std::string& parameters, const std::string& combination,
                                 const Symbols& symbols = {}) {
  const auto parsed = parse_template(
      fmt::format("specificationVersion: jobtemplate-2023-09\nextensions: [TASK_CHUNKING]\nname: n\n"
                  "parameterDefinitions: [{{name: P, type: STRING}}]\n"
                  "steps: [{{name: s, parameterSpace: {{taskParameterDefinitions: [{}]{}}}, script: "
                  "{{actions: {{onRun: {{command: c}}}}}}}}]",
                  parameters, combination.empty() ? "" : fmt::format(", combination: \"{}\"", combination)),
      Syntax::yaml);
  if (!parsed) return tl::make_unexpected(parsed.error());
  Problems problems;
  auto space = ParameterSpace::create(std::get<JobTemplate>(*parsed).steps[0].space, symbols,
                                      "steps[0].parameterSpace", problems);
  if (!space) return tl::make_unexpected(std::move(problems));
  return std::move(*space);
}

std::string tasks(const ParameterSpace& space) {
  std::string out;
  for (std::uint64_t i = 0; i < space.size(); ++i) {
    if (i > 0) out += ' ';
    std::string task;
    for (const auto& one : space.at(i)) task += (task.empty() ? "" : "/") + one.value;
    out += task;
  }
  return out;
}

const std::string a = "{name: A, type: INT, range: [1,2,3]},";
const std::string b = "{name: B, type: INT, range: 10-12},";
const std::string c = "{name: C, type: STRING, range: [x, y]}";
const std::string d = "{name: D, type: FLOAT, range: [0.5, 1.0, 02.50]}";

std::string chunk(const std::string& range, int count, const std::string& constraint) {
  return fmt::format(
      "{{name: F, type: 'CHUNK[INT]', range: {}, chunks: {{defaultTaskCount: {}, rangeConstraint: {}}}}}",
      range, count, constraint);
}

void parameters_combine_in_the_order_written() {
  const struct {
    std::string parameters;
    std::string combination;
    std::string want;
  } cases[] = {
      {c, "", "x y"},
      {d, "", "0.5 1.0 02.50"},
      {"{name: I, type: INT, range: ['02', 1, '{{RawParam.P}}']}", "", "2 1 9"},
      {"{name: R, type: INT, range: '1,{{Param.P}},10'}", "", "1 9 10"},
      {a + c, "", "1/x 1/y 2/x 2/y 3/x 3/y"},
      {a + c, "C * A", "1/x 2/x 3/x 1/y 2/y 3/y"},
      {a + b, "(A, B)", "1/10 2/11 3/12"},
      {a + b + c, "(A, B) * C", "1/10/x 1/10/y 2/11/x 2/11/y 3/12/x 3/12/y"},
      {"{name: E, type: INT, range: [1,2,3,4]}," + c + ",{name: G, type: PATH, range: [/a, /b]}",
       "(E, (C * G))", "1/x//a 2/x//b 3/y//a 4/y//b"},
  };
  for (const auto& one : cases) {
    const auto space = space_of(one.parameters, one.combination, {{"Param.P", "9"}, {"RawParam.P", "9"}});
    check(space.has_value());
    check_equal(tasks(*space), one.want);
  }
}

void chunks_are_cut_evenly() {
  const struct {
    std::string range;
    int count;
    std::string constraint;
    std::string want;
  } cases[] = {
      {"1-12", 5, "CONTIGUOUS", "1-4 5-8 9-12"},
      {"1-8", 3, "CONTIGUOUS", "1-3 4-6 7-8"},
      {"1-5", 100, "CONTIGUOUS", "1-5"},
      {"1-3", 1, "CONTIGUOUS", "1-1 2-2 3-3"},
      {"'1,10-12,18-50'", 10, "CONTIGUOUS", "1-1 10-12 18-26 27-34 35-42 43-50"},
      {"1-9:2", 3, "CONTIGUOUS", "1-1 3-3 5-5 7-7 9-9"},
      {"'1-5:2,6-8,9-13:2'", 10, "CONTIGUOUS", "1-1 3-3 5-9 11-11 13-13"},
      {"[3,1,2,7]", 5, "CONTIGUOUS", "1-3 7-7"},
      {"1-8", 3, "NONCONTIGUOUS", "1-3 4-6 7,8"},
      {"1-10", 5, "NONCONTIGUOUS", "1-5 6-10"},
      {"1-19:2", 5, "NONCONTIGUOUS", "1-9:2 11-19:2"},
      {"'1,3,7-9'", 3, "NONCONTIGUOUS", "1,3,7 8,9"},
      {"-3--1", 2, "NONCONTIGUOUS", "-3,-2 -1"},
  };
  for (const auto& one : cases) {
    const auto space = space_of(chunk(one.range, one.count, one.constraint), "");
    check(space.has_value());
    check_equal(tasks(*space), one.want);
    check(space->chunks().has_value());
    check_equal(space->chunks()->task_count, static_cast<std::uint64_t>(one.count));
  }
  const auto product = space_of(c + "," + chunk("1-4", 2, "CONTIGUOUS"), "C * F");
  check(product.has_value());
  check_equal(tasks(*product), "x/1-2 x/3-4 y/1-2 y/3-4");
}

void every_value_is_in_one_chunk() {
  for (const std::string range :
       {"1-100", "1-100:3", "1-10,12-30:2,31-40,50", "1-7:3,8,9-11,12-20:4,21-21"}) {
    for (int count = 1; count < 40; ++count) {
      for (const bool contiguous : {true, false}) {
        const ChunkedRange chunks(*IntRanges::parse(range),
                                  {static_cast<std::uint64_t>(count), 0, contiguous});
        std::vector<std::int64_t> seen;
        for (std::uint64_t i = 0; i < chunks.size(); ++i) {
          const auto part = IntRanges::parse(chunks.at(i));
          check_ok(part);
          check(part->size() >= 1 && part->size() <= static_cast<std::uint64_t>(count));
          for (std::uint64_t j = 0; j < part->size(); ++j) seen.push_back(part->at(j));
        }
        const auto all = *IntRanges::parse(range);
        check_equal(seen.size(), all.size());
        for (std::uint64_t i = 0; i < all.size(); ++i) check_equal(seen[i], all.at(i));
      }
    }
  }
}

void a_large_space_costs_nothing() {
  const auto space = space_of(chunk("1-1000000000", 7, "CONTIGUOUS"), "");
  check(space.has_value());
  check_equal(space->size(), 142'857'143U);
  check_equal(space->at(0)[0].value, "1-7");
  check_equal(space->at(142'857'142)[0].value, "999999995-1000000000");
}

void what_cannot_be_is_refused_by_path() {
  const struct {
    std::string parameters;
    std::string combination;
    std::string symbol;
    std::string path;
    std::string part;
  } cases[] = {
      {a + c, "(A, C)", "", "steps[0].parameterSpace.combination", "3 values beside 2"},
      {a + c + ",{name: E, type: INT, range: 1-3}", "(A, (C, E))", "", "steps[0].parameterSpace.combination",
       "2 values beside 3"},
      {chunk("1-3", 1, "CONTIGUOUS") + "," + a, "(F, A)", "", "steps[0].parameterSpace.combination",
       "cannot stand beside"},
      {"{name: X, type: INT, range: 1-1000000},{name: Y, type: INT, range: 1-1000000}", "", "",
       "steps[0].parameterSpace.combination", "more than 1000000000 tasks"},
      {"{name: X, type: INT, range: '{{Param.P}}'}", "", "1-",
       "steps[0].parameterSpace.taskParameterDefinitions[0].range", "becomes '1-'"},
      {"{name: X, type: INT, range: ['{{Param.P}}']}", "", "a",
       "steps[0].parameterSpace.taskParameterDefinitions[0].range[0]", "no whole number"},
      {"{name: X, type: FLOAT, range: ['{{Param.P}}']}", "", "1e999",
       "steps[0].parameterSpace.taskParameterDefinitions[0].range[0]", "double"},
      {"{name: X, type: PATH, range: ['{{Param.P}}']}", "", "",
       "steps[0].parameterSpace.taskParameterDefinitions[0].range[0]", "empty"},
      {chunk("1-3", 1, "CONTIGUOUS").replace(0, 0, ""), "", "", "", ""},
      {"{name: F, type: 'CHUNK[INT]', range: 1-3, chunks: {defaultTaskCount: '{{Param.P}}', rangeConstraint: "
       "CONTIGUOUS}}",
       "", "0", "steps[0].parameterSpace.taskParameterDefinitions[0].chunks.defaultTaskCount", "at least 1"},
  };
  for (const auto& one : cases) {
    const auto space = space_of(one.parameters, one.combination, {{"Param.P", one.symbol}});
    if (one.path.empty()) {
      check(space.has_value());
      continue;
    }
    check(!space.has_value());
    check_equal(space.error().list()[0].path, one.path);
    check_contains(space.error().list()[0].message, one.part);
  }
}

void chunks_with_a_target_are_cut_as_one_likes() {
  const auto with_target = [](const std::string& range, const std::string& constraint) {
    return fmt::format(
        "{{name: F, type: 'CHUNK[INT]', range: {}, chunks: {{defaultTaskCount: 4, "
        "targetRuntimeSeconds: 60, rangeConstraint: {}}}}}",
        range, constraint);
  };
  const auto one_run = space_of(with_target("1-100", "CONTIGUOUS"), "");
  check(one_run && one_run->adapts());
  check_equal(one_run->units(), 100U);
  check_equal(one_run->cut(10, 5)[0].value, "11-15");
  check_equal(one_run->cut(99, 1)[0].value, "100-100");
  const auto scattered = space_of(with_target("'1-9:2,20'", "NONCONTIGUOUS"), "");
  check(scattered && scattered->adapts());
  check_equal(scattered->cut(3, 3)[0].value, "7,9,20");
  // Neighbours alone may stand in a contiguous chunk: the template's own chunks are what there is.
  const auto gaps = space_of(with_target("'1-3,7-9'", "CONTIGUOUS"), "");
  check(gaps && !gaps->adapts());
  check_equal(gaps->units(), gaps->size());
  check_equal(gaps->cut(1, 1)[0].value, gaps->at(1)[0].value);
  // Two parameters: not this easily.
  const auto two = space_of(with_target("1-9", "CONTIGUOUS") + "," + c, "");
  check(two && !two->adapts() && two->only_integers() == nullptr);
  const auto frames = space_of(b, "");
  check(frames && !frames->adapts() && frames->only_integers() != nullptr);
  check_equal(frames->only_integers()->to_text(), "10-12");
}

}  // namespace

int main() {
  return kiln::test::run(
      "parameter_space",
      {{"parameters combine in the order written", &parameters_combine_in_the_order_written},
       {"chunks are cut evenly", &chunks_are_cut_evenly},
       {"every value is in exactly one chunk, in order", &every_value_is_in_one_chunk},
       {"chunks with a target are cut as one likes", &chunks_with_a_target_are_cut_as_one_likes},
       {"a billion frames cost as much as ten", &a_large_space_costs_nothing},
       {"what cannot be is refused by path", &what_cannot_be_is_refused_by_path}});
}
