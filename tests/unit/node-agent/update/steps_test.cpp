#include "update/steps.h"

#include "check.h"

namespace {

using namespace kiln;
using namespace kiln::update;

constexpr const char* image = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

payloads::UpdateImage offer(std::uint64_t rollout = 3) {
  return {rollout, 1, image, 1000, "2"};
}

Seen box(const std::string& boot = "boot-1", const std::string& version = "1") {
  Seen seen;
  seen.version = version;
  seen.machine = "m";
  seen.boot = boot;
  seen.health = Seen::Health{"good", "A", ""};
  return seen;
}
Seen with_install(Seen seen, const std::string& state, std::int64_t written_ns, double percent = 0,
                  const std::string& message = "") {
  seen.install = Seen::Install{state, percent, message, written_ns};
  return seen;
}
Seen with_health(Seen seen, const std::string& state, const std::string& message = "") {
  seen.health = Seen::Health{state, "B", message};
  return seen;
}

Record in_state(State state, const std::string& boot = "boot-1") {
  Record record = offered(offer());
  record.state = state;
  record.boot = boot;
  record.installs = 1;
  return record;
}

const char* text(Do what) {
  constexpr const char* names[] = {"nothing", "download", "ask", "tidy"};
  return names[static_cast<int>(what)];
}

void an_update_goes_its_way() {
  auto record = offered(offer());
  check_equal(text(look(record, box()).what), "download");
  record = downloaded(record, {});
  check_equal(to_string(record.state), "downloaded");
  // An installation of an earlier offer has left its word.
  const auto before = with_install(box(), "failed", 5, 0, "bad signature");
  check_equal(text(look(record, before).what), "ask");
  record = asked(record, before);
  check_equal(to_string(record.state), "installing");
  check(look(record, before).record == record);
  auto waits = with_install(box(), "installing", 6, 10);
  waits.request_waits = true;
  check_equal(look(record, waits).percent, 0.0);
  check_equal(look(record, with_install(box(), "installing", 6, 40)).percent, 40.0);
  auto next = look(record, with_install(box(), "installed", 7, 100));
  check_equal(to_string(next.record.state), "installed");
  check_equal(text(next.what), "tidy");
  record = next.record;
  check(look(record, with_health(box(), "good")).record == record);  // "waits for the restart", says health
  record = restarting(record);
  check_equal(to_string(record.state), "restarting");
  check(look(record, box()).record == record);
  record = look(record, with_health(box("boot-2", "2"), "checking", "no link yet")).record;
  check_equal(record.message, "no link yet");
  next = look(record, with_health(box("boot-2", "2"), "good"));
  check_equal(to_string(next.record.state), "good");
  check_equal(look(next.record, box("boot-3", "2")).record.offer.rollout, 3U);
}

// From that state, in another boot than the installation's, with these words of health.
void what_a_new_boot_says_decides() {
  const struct {
    State from;
    const char* version;
    const char* health;  // "" = nothing yet
    const char* want;
  } cases[] = {
      {State::installed, "2", "", "restarting"},
      {State::installed, "2", "checking", "restarting"},
      {State::installed, "2", "good", "good"},
      {State::installed, "1", "rolled-back", "rolled-back"},
      {State::restarting, "2", "good", "good"},
      {State::restarting, "2", "bad", "restarting"},
      {State::restarting, "1", "rolled-back", "rolled-back"},
      {State::restarting, "1", "good", "rolled-back"},  // the box restarted once more since it was judged
      {State::installing, "1", "interrupted", "downloaded"},
      {State::installing, "1", "good", "downloaded"},  // root had not begun
      {State::installing, "2", "checking", "restarting"},
      {State::installing, "2", "good", "good"},
      {State::installing, "1", "rolled-back", "rolled-back"},
      {State::good, "2", "good", "good"},
      {State::good, "7", "good", "idle"},  // flashed anew
      {State::failed, "1", "good", "failed"},
      {State::rolled_back, "1", "good", "rolled-back"},
  };
  for (const auto& one : cases) {
    auto seen = box("boot-2", one.version);
    seen.health.reset();
    if (*one.health != '\0') seen = with_health(seen, one.health, "why");
    const auto next = look(in_state(one.from), seen);
    check_equal(to_string(next.record.state), one.want);
    check(look(next.record, seen).record == next.record);  // and again changes nothing
  }
}

void an_installation_that_every_restart_interrupts_is_given_up() {
  auto record = in_state(State::installing);
  for (std::uint32_t i = 1; i < max_installs; ++i) {
    const auto boot = fmt::format("boot-{}", i + 1);
    record = look(record, with_health(box(boot), "interrupted")).record;
    check_equal(to_string(record.state), "downloaded");
    record = asked(record, box(boot));
  }
  record = look(record, with_health(box("boot-9"), "interrupted")).record;
  check_equal(to_string(record.state), "failed");
  check_contains(record.message, "each of 3 installations");
}

void a_rolled_back_box_says_why_even_after_another_restart() {
  auto seen = with_health(box("boot-3"), "good");
  seen.last_update_message = "the update 2 was given up: the agent is not running";
  const auto next = look(in_state(State::restarting), seen);
  check_equal(to_string(next.record.state), "rolled-back");
  check_contains(next.record.message, "the agent is not running");
}

void root_refuses_a_bundle() {
  auto record = asked(downloaded(offered(offer()), {}), box());
  const auto next = look(record, with_install(box(), "failed", 9, 0, "signature verification failed"));
  check_equal(to_string(next.record.state), "failed");
  check_equal(next.record.message, "signature verification failed");
  check_equal(text(next.what), "tidy");
}

// The agent's own end, at every state: it goes on from what it kept.
void the_agent_may_end_at_any_moment() {
  for (const auto state : {State::idle, State::downloading, State::downloaded, State::installing,
                           State::installed, State::good, State::rolled_back, State::failed}) {
    const auto record = state == State::idle ? Record{} : in_state(state);
    const auto again = parse_record(*Json::parse(to_json(record).dump()));
    check_ok(again);
    check(*again == record);
    check(started(*again, box()) == record);
  }
  // It was told to restart the box, and the box is still up.
  check_equal(to_string(started(in_state(State::restarting), box()).state), "installed");
  check_equal(to_string(started(in_state(State::restarting), box("boot-2")).state), "restarting");
  // It had asked root, and not kept that.
  const auto next = look(in_state(State::downloaded), with_install(box(), "installing", 8, 30));
  check_equal(to_string(next.record.state), "installing");
  check_equal(to_string(look(next.record, with_install(box(), "installed", 9, 100)).record.state),
              "installed");
}

void an_offer_is_taken_back_until_root_has_it() {
  for (const auto state : {State::downloading, State::downloaded}) {
    check(withdrawn(in_state(state), 3) == Record{});
    check_equal(to_string(withdrawn(in_state(state), 4).state), to_string(state));  // another rollout's
  }
  for (const auto state : {State::installing, State::installed, State::restarting, State::good})
    check_equal(to_string(withdrawn(in_state(state), 3).state), to_string(state));
}

void what_is_shown_says_what_runs_and_what_was_offered() {
  const auto idle = shown(Record{}, box(), 55);
  check_equal(encode(idle), R"({"version":"1","machine":"m","slot":"A","state":"idle"})");
  auto record = downloaded(offered(offer()), fail(Code::full, "no room"));
  const auto failed = shown(record, box(), 0);
  check_equal(to_string(failed.state), "failed");
  check_equal(failed.message, "no room");
  check_equal(failed.rollout, 3U);
  check_ok(payloads::decode_node_update(encode(failed)));
}

void a_damaged_memory_is_refused() {
  for (const char* text : {"{}", R"({"rollout":1,"attempt":1,"image":"x","bytes":1,"state":"good"})",
                           R"({"rollout":0,"attempt":0,"image":"","bytes":0,"state":"lost"})"})
    check(!parse_record(*Json::parse(text)));
}

}  // namespace

int main() {
  return kiln::test::run(
      "update steps", {{"an update goes its way", an_update_goes_its_way},
                       {"what a new boot says decides", what_a_new_boot_says_decides},
                       {"an installation that every restart interrupts is given up",
                        an_installation_that_every_restart_interrupts_is_given_up},
                       {"a rolled back box says why, even after another restart",
                        a_rolled_back_box_says_why_even_after_another_restart},
                       {"root refuses a bundle", root_refuses_a_bundle},
                       {"the agent may end at any moment", the_agent_may_end_at_any_moment},
                       {"an offer is taken back until root has it", an_offer_is_taken_back_until_root_has_it},
                       {"what is shown says what runs and what was offered",
                        what_is_shown_says_what_runs_and_what_was_offered},
                       {"a damaged memory is refused", a_damaged_memory_is_refused}});
}
