#include "openjd/create_job.h"

#include "check.h"
#include "templates.h"

using namespace kiln::openjd;
using namespace kiln::test;

namespace {

const std::string parameters =
    "[{name: N, type: STRING, default: ''}, {name: I, type: INT, default: 1}, {name: P, type: PATH, default: "
    "a}]";

std::string template_text(const std::string& name, const std::string& step,
                          const std::string& extensions = "[FEATURE_BUNDLE_1]") {
  return fmt::format(
      "{{specificationVersion: jobtemplate-2023-09, extensions: {}, name: '{}', parameterDefinitions: {}, "
      "steps: [{{name: S, {}}}]}}",
      extensions, name, parameters, step);
}

Checked<Job> created(const std::string& text, const std::string& n, std::int64_t i = 1) {
  const auto parsed = parse_template(text, Syntax::yaml);
  if (!parsed) print_error("%s\n  %s\n", text.c_str(), parsed.error().list()[0].to_text().c_str());
  check(parsed.has_value());
  Submission submission;
  submission.job = &std::get<JobTemplate>(*parsed);
  submission.parameters.emplace("N", Value::of(n));
  submission.parameters.emplace("I", Value::of(fmt::format("{}", i)));
  return create_job(submission);
}

const std::string run = "script: {actions: {onRun: {command: c}}}";

void what_is_known_is_resolved() {
  const auto job = created(
      template_text(
          "job {{Param.N}} {{RawParam.P}}",
          "hostRequirements: {amounts: [{name: 'Amount.{{Param.N}}', min: '{{Param.I}}'}, {name: "
          "amount.worker.vcpu, max: 4}], "
          "attributes: [{name: attr.worker.os.family, anyOf: ['linux']}]}, "
          "parameterSpace: {taskParameterDefinitions: [{name: F, type: INT, range: '1-{{Param.I}}'}]}, "
          "script: {actions: {onRun: {command: '{{Param.P}}', timeout: '{{Param.I}}', cancelation: {mode: "
          "'{{Param.N}}', "
          "notifyPeriodInSeconds: '{{Param.I}}'}}}}"),
      "NOTIFY_THEN_TERMINATE", 9);
  check(job.has_value());
  check_equal(job->name, "job NOTIFY_THEN_TERMINATE a");
  const auto& step = job->steps[0];
  check_equal(step.amounts[0].name, "amount.notify_then_terminate");
  check_equal(step.amounts[0].min, 9.0);
  check(!step.amounts[0].max.has_value());
  check_equal(step.amounts[1].min, 1.0);  // the specification's default for CPUs
  check_equal(*step.amounts[1].max, 4.0);
  check_equal(step.attributes[0].any_of[0], "linux");
  check_equal(step.space.size(), 9U);
  const auto& action = step.script.on_run;
  check(!action.timeout_s->text.has_value());
  check_equal(action.timeout_s->value, 9);
  check(action.cancelation.mode == Cancelation::Mode::notify_then_terminate);
  check_equal(action.cancelation.notify_period_s->value, 9);
  check_equal(action.command.text(), "{{Param.P}}");  // the node's to resolve
}

void what_only_resolving_shows_is_refused_by_path() {
  const struct {
    std::string name;
    std::string step;
    std::string n;
    std::int64_t i;
    std::string path;
    std::string part;
  } cases[] = {
      {"{{Param.N}}", run, "", 1, "name", "becomes empty"},
      {"{{Param.N}}", run, std::string(513, 'x'), 1, "name", "at most 512"},
      {"{{Param.N}}", run, "a\nb", 1, "name", "control"},
      {"n", "hostRequirements: {amounts: [{name: '{{Param.N}}', min: 1}]}, " + run, "amount.worker.licence",
       1, "steps[0].hostRequirements.amounts[0].name", "reserves"},
      {"n", "hostRequirements: {amounts: [{name: '{{Param.N}}', min: 1}]}, " + run, "a b", 1,
       "steps[0].hostRequirements.amounts[0].name", "no name"},
      {"n", "hostRequirements: {amounts: [{name: '{{Param.N}}', min: 1}, {name: amount.x, min: 1}]}, " + run,
       "Amount.X", 1, "steps[0].hostRequirements.amounts[1].name", "twice"},
      {"n", "hostRequirements: {amounts: [{name: amount.x, min: '{{Param.N}}'}]}, " + run, "many", 1,
       "steps[0].hostRequirements.amounts[0].min", "becomes 'many'"},
      {"n", "hostRequirements: {amounts: [{name: amount.x, max: '{{Param.N}}'}]}, " + run, "0", 1,
       "steps[0].hostRequirements.amounts[0].max", "greater than 0"},
      {"n", "hostRequirements: {amounts: [{name: amount.x, min: 5, max: '{{Param.N}}'}]}, " + run, "4", 1,
       "steps[0].hostRequirements.amounts[0].max", "less than 'min'"},
      {"n", "hostRequirements: {attributes: [{name: '{{Param.N}}', anyOf: [plan9]}]}, " + run,
       "attr.worker.os.family", 1, "steps[0].hostRequirements.attributes[0].anyOf[0]",
       "linux, windows or macos"},
      {"n", "hostRequirements: {attributes: [{name: attr.x, allOf: ['{{Param.N}}']}]}, " + run, "not valid!",
       1, "steps[0].hostRequirements.attributes[0].allOf[0]", "no value"},
      {"n", "hostRequirements: {attributes: [{name: '{{Param.N}}', allOf: [x86_64, arm64]}]}, " + run,
       "attr.worker.cpu.arch", 1, "steps[0].hostRequirements.attributes[0].allOf", "use anyOf"},
      {"n",
       "parameterSpace: {taskParameterDefinitions: [{name: F, type: INT, range: '{{Param.N}}'}]}, " + run,
       "x", 1, "steps[0].parameterSpace.taskParameterDefinitions[0].range", "becomes 'x'"},
      {"n", "script: {actions: {onRun: {command: c, timeout: '{{Param.I}}'}}}", "", 0,
       "steps[0].script.actions.onRun.timeout", "at least 1"},
      {"n", "bash: {script: c, timeout: '{{Param.I}}'}", "", 0, "steps[0].bash.timeout", "at least 1"},
      {"n", "script: {actions: {onRun: {command: c, cancelation: {mode: '{{Param.N}}'}}}}", "KILL", 1,
       "steps[0].script.actions.onRun.cancelation.mode", "becomes 'KILL'"},
      {"n",
       "script: {actions: {onRun: {command: c, cancelation: {mode: '{{Param.N}}', notifyPeriodInSeconds: "
       "5}}}}",
       "TERMINATE", 1, "steps[0].script.actions.onRun.cancelation.notifyPeriodInSeconds",
       "becomes TERMINATE"},
      {"n",
       "script: {actions: {onRun: {command: c, cancelation: {mode: NOTIFY_THEN_TERMINATE, "
       "notifyPeriodInSeconds: '{{Param.I}}'}}}}",
       "", 601, "steps[0].script.actions.onRun.cancelation.notifyPeriodInSeconds", "at most 600"},
      {"n",
       "stepEnvironments: [{name: e, script: {actions: {onEnter: {command: c}, onExit: {command: c, timeout: "
       "'{{Param.N}}'}}}}], " +
           run,
       "x", 1, "steps[0].stepEnvironments[0].script.actions.onExit.timeout", "becomes 'x'"},
  };
  for (const auto& one : cases) {
    const auto job = created(template_text(one.name, one.step), one.n, one.i);
    check(!job.has_value());
    check_equal(job.error().list()[0].path, one.path);
    check_contains(job.error().list()[0].message, one.part);
  }
}

void a_short_name_is_the_rule_without_the_bundle() {
  const std::string text = template_text("{{Param.N}}", run, "[TASK_CHUNKING]");
  check(created(text, std::string(128, 'x')).has_value());
  check(!created(text, std::string(129, 'x')).has_value());
}

void environments_enter_from_outside_in() {
  const auto outer =
      parse_template(environment("name: outer, script: {actions: {onEnter: {command: c, timeout: "
                                 "'{{Param.T}}'}, onExit: {command: c}}}",
                                 bundle + ", parameterDefinitions: [{name: T, type: INT, default: 7}]"),
                     Syntax::yaml);
  check(outer.has_value());
  const auto job =
      parse_template(kiln::test::job(", jobEnvironments: [{name: inner, variables: {A: b}}]"), Syntax::yaml);
  check(job.has_value());
  Submission submission;
  submission.job = &std::get<JobTemplate>(*job);
  submission.environments = {&std::get<EnvironmentTemplate>(*outer)};
  const auto made = create_job(submission);
  check(made.has_value());
  check_equal(made->environments.size(), 2U);
  check_equal(made->environments[0].name, "outer");
  check_equal(made->environments[0].on_enter->timeout_s->value, 7);
  check_equal(made->environments[0].on_exit->timeout_s->value, 300);  // what an exit has when it does not say
  check_equal(made->environments[1].name, "inner");
  check_equal(made->parameters.size(), 1U);
  submission.parameters.emplace("T", Value::of("0"));
  const auto refused = create_job(submission);
  check(!refused.has_value());
  check_equal(refused.error().list()[0].path, "environments[0].environment.script.actions.onEnter.timeout");
}

}  // namespace

int main() {
  return kiln::test::run(
      "create_job",
      {{"what is known at submission is resolved, the rest is left to the node", &what_is_known_is_resolved},
       {"what only resolving shows is refused by path", &what_only_resolving_shows_is_refused_by_path},
       {"without FEATURE_BUNDLE_1 a name has 128 characters", &a_short_name_is_the_rule_without_the_bundle},
       {"environments enter from outside in", &environments_enter_from_outside_in}});
}
