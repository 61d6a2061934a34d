// Ten thousand built-in types broken at random, each submitted: taken or refused in words, and what is taken
// is a job that the scheduler and a node can use.
#include "compiler/compile.h"
#include "mqtt-topics/openjd/mutate.h"
#include "openjd/create_job.h"

// check.h last
#include "check.h"

using namespace kiln;
using namespace kiln::compiler;
using kiln::test::Random;

namespace {

constexpr std::uint64_t first_seed = 20261126;

payloads::JobSubmission submission_of(const JobType& type, payloads::TemplateText text) {
  payloads::JobSubmission job;
  job.type = "openjd";
  job.job_template = std::move(text);
  const auto digest = "sha256:" + std::string(64, '0');
  job.manifest.files = {{"a.blend", digest, 1}, {"in/1.png", digest, 1}, {"in/2.png", digest, 1}};
  if (type.name.starts_with("blender")) job.parameters = {{"Scene", "a.blend"}};
  if (type.name == "command") job.parameters = {{"Command", "true"}};
  if (type.name == "transform-files") job.parameters = {{"Command", "true"}, {"Inputs", "in"}};
  if (type.name == "video-encode") job.parameters = {{"Inputs", "in"}};
  return job;
}

Json json_of(const openjd::Value& value) {
  using Kind = openjd::Value::Kind;
  switch (value.kind) {
    case Kind::null:
      return {};
    case Kind::boolean:
      return value.truth;
    case Kind::integer:
    case Kind::floating: {
      const auto number = Json::parse(value.text);
      return number ? *number : Json(value.text);
    }
    case Kind::string:
      return value.text;
    case Kind::list: {
      Json out{Json::Array()};
      for (const auto& item : value.items) out.push(json_of(item));
      return out;
    }
    case Kind::map: {
      Json out{Json::Object()};
      for (std::size_t i = 0; i < value.items.size(); ++i) out.set(value.keys[i], json_of(value.items[i]));
      return out;
    }
  }
  return {};
}

struct Counts {
  int accepted = 0;
  int refused = 0;
};

void judge(const payloads::JobSubmission& submission, std::uint64_t seed, Counts& counts) {
  const auto job = compile(submission, built_in_types());
  if (!job) {
    ++counts.refused;
    const auto& refusal = job.error();
    bool is_told =
        !refusal.problems.empty() && refusal.code == Code::invalid && !refusal.error().message.empty();
    for (const auto& one : refusal.problems) is_told = is_told && one.message.size() > 5;
    if (!is_told) print_error("seed %llu\n", static_cast<unsigned long long>(seed));
    check(is_told);
    return;
  }
  ++counts.accepted;
  check(!job->spec.steps.empty() && job->spec.task_count() > 0 && job->spec.task_count() <= max_job_tasks);
  const auto document = payloads::decode_job_document(job->document);
  check_ok(document);
  // What a node makes of it has the same tasks.
  const auto created =
      openjd::create_job({document->job_template.text,
                          document->job_template.is_json ? openjd::Syntax::json : openjd::Syntax::yaml},
                         {}, document->parameters);
  check(created.has_value());
  check_equal(created->steps.size(), job->spec.steps.size());
  for (std::size_t i = 0; i < created->steps.size(); ++i)
    check_equal(created->steps[i].space.units(), job->spec.steps[i].units);
}

void broken_texts() {
  Counts counts;
  for (std::uint64_t seed = first_seed; seed < first_seed + 5000; ++seed) {
    Random random(seed);
    const auto& type = built_in_types()[random.below(built_in_types().size())];
    judge(submission_of(type, {kiln::test::changed_text(type.text.text, random)}), seed, counts);
  }
  print_message("%d refused, %d accepted\n", counts.refused, counts.accepted);
  check(counts.refused > 1000 && counts.accepted > 0);
}

void broken_trees() {
  Counts counts;
  std::vector<openjd::Value> trees;
  for (const auto& type : built_in_types()) {
    auto tree = openjd::parse_document(type.text.text, openjd::Syntax::yaml);
    check_ok(tree);
    trees.push_back(std::move(*tree));
  }
  for (std::uint64_t seed = first_seed; seed < first_seed + 5000; ++seed) {
    Random random(seed);
    const auto number = random.below(trees.size());
    auto tree = trees[number];
    const auto changes = 1 + random.below(3);
    for (std::size_t i = 0; i < changes; ++i) kiln::test::change(tree, random);
    judge(submission_of(built_in_types()[number], {json_of(tree).dump(), true}), seed, counts);
  }
  print_message("%d refused, %d accepted\n", counts.refused, counts.accepted);
  check(counts.refused > 1000 && counts.accepted > 0);
}

void unbroken_ones_are_taken() {
  Counts counts;
  for (const auto& type : built_in_types()) judge(submission_of(type, type.text), 0, counts);
  check_equal(counts.refused, 0);
}

}  // namespace

int main() {
  return kiln::test::run("mutation",
                         {{"what is mutated is taken unbroken", unbroken_ones_are_taken},
                          {"thousands of broken texts are taken or refused in words", broken_texts},
                          {"thousands of broken trees are taken or refused in words", broken_trees}});
}
