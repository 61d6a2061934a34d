#include "box/verdict.h"

#include "check.h"

using kiln::box::HealthFacts;
using kiln::box::Trial;
using Kind = kiln::box::Verdict::Kind;

namespace {

// Slot B runs after an update from A, and all is as it was before.
HealthFacts well() {
  HealthFacts facts;
  facts.slot = "B";
  facts.boot = "new";
  Trial trial;
  trial.slot = "B";
  trial.version = "2.0";
  trial.boot = "old";
  trial.installed = true;
  trial.online_before = true;
  trial.link_before = true;
  trial.gpus_before = 2;
  facts.trial = trial;
  facts.up_s = 20;
  facts.agent_active = true;
  facts.link = true;
  facts.data_writable = true;
  facts.gpus = 2;
  facts.controller_reachable = true;
  return facts;
}

// One change a row to a box that is well, how long it has been well, and what comes of it.
void each_case_has_its_verdict() {
  const struct {
    const char* what;
    void (*change)(HealthFacts&);
    double well_s;
    Kind kind;
    const char* says;
  } cases[] = {
      {"well for long enough", [](HealthFacts&) {}, 20, Kind::good, ""},
      {"well, for a moment", [](HealthFacts&) {}, 2, Kind::wait, ""},
      {"agent down", [](HealthFacts& f) { f.agent_active = false; }, 0, Kind::wait, "agent"},
      {"agent falls again and again",
       [](HealthFacts& f) {
         f.agent_active = false;
         f.agent_restarts = 5;
       },
       0, Kind::bad, "6 times"},
      {"agent down too long",
       [](HealthFacts& f) {
         f.agent_active = false;
         f.up_s = 301;
       },
       0, Kind::bad, "agent"},
      {"disk read-only",
       [](HealthFacts& f) {
         f.data_writable = false;
         f.up_s = 301;
       },
       0, Kind::bad, "data"},
      {"link lost",
       [](HealthFacts& f) {
         f.link = false;
         f.up_s = 301;
       },
       0, Kind::bad, "link"},
      {"link was down before",
       [](HealthFacts& f) {
         f.link = false;
         f.trial->link_before = false;
       },
       20, Kind::good, ""},
      {"a GPU missing",
       [](HealthFacts& f) {
         f.gpus = 1;
         f.up_s = 301;
       },
       0, Kind::bad, "1 of 2 GPUs"},
      {"a GPU more", [](HealthFacts& f) { f.gpus = 3; }, 20, Kind::good, ""},
      {"controller lost",
       [](HealthFacts& f) {
         f.controller_reachable = false;
         f.up_s = 301;
       },
       0, Kind::bad, "controller"},
      {"controller away since before",
       [](HealthFacts& f) {
         f.controller_reachable = false;
         f.trial->online_before = false;
         f.up_s = 301;
       },
       20, Kind::good, ""},
      {"no update",
       [](HealthFacts& f) {
         f.trial.reset();
         f.agent_active = false;
         f.up_s = 1000;
       },
       0, Kind::settled, ""},
      {"old slot after the update",
       [](HealthFacts& f) {
         f.slot = "A";
         f.trial->reason = "no link";
       },
       0, Kind::rolled_back, "no link"},
      {"old slot, nobody knows why", [](HealthFacts& f) { f.slot = "A"; }, 0, Kind::rolled_back, "2.0"},
      {"cut off while installing",
       [](HealthFacts& f) {
         f.slot = "A";
         f.trial->installed = false;
       },
       0, Kind::interrupted, "cut off"},
      {"restart still to come",
       [](HealthFacts& f) {
         f.slot = "A";
         f.boot = "old";
       },
       0, Kind::pending, ""},
      {"cut off after the new slot became the first", [](HealthFacts& f) { f.trial->installed = false; }, 20,
       Kind::good, ""},
  };
  for (const auto& one : cases) {
    auto facts = well();
    one.change(facts);
    const auto verdict = kiln::box::judge(facts, one.well_s);
    if (verdict.kind != one.kind) print_error("%s\n", one.what);
    check(verdict.kind == one.kind);
    check_contains(verdict.reason, one.says);
  }
}

void a_trial_is_kept_over_a_restart() {
  auto trial = *well().trial;
  trial.boots = {"b1", "b2"};
  trial.reason = "no link";
  const auto again = kiln::box::parse_trial(kiln::box::to_json(trial));
  check_ok(again);
  check_equal(again->slot, "B");
  check_equal(again->boots.size(), 2U);
  check_equal(again->gpus_before, 2U);
  check(again->installed && again->online_before && again->link_before);
  check_equal(again->reason, "no link");
  check(!kiln::box::parse_trial(kiln::Json::object({{"version", "x"}})).has_value());
}

}  // namespace

int main() {
  return kiln::test::run("verdict", {{"each case has its verdict", &each_case_has_its_verdict},
                                     {"a trial is kept over a restart", &a_trial_is_kept_over_a_restart}});
}
