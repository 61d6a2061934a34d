#include "rollout/advance.h"

#include <fmt/ranges.h>

#include <set>

#include "check.h"

namespace {

using namespace kiln;
using namespace kiln::rollout;
using payloads::UpdateState;

constexpr const char* image = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
constexpr std::int64_t minute_ms = 60'000;
constexpr std::int64_t friday_noon_ms = 1'795'780'800'000;  // 2026-11-27 12:00 UTC

NodeId node(const std::string& id) {
  return *NodeId::parse(id);
}

// A farm of boxes on virtual time: what advance() says is done to them when the test says so.
struct World {
  explicit World(int boxes) {
    plan.image = image;
    plan.version = "2";
    plan.machine = "m";
    plan.bytes = 1000;
    for (int i = 1; i <= boxes; ++i) add(fmt::format("n{:02}", i));
  }
  payloads::NodeUpdate& add(const std::string& id) {
    auto& fact = facts[node(id)];
    fact.is_there = true;
    fact.update = payloads::NodeUpdate{};
    fact.update->version = "1";
    fact.update->machine = "m";
    return *fact.update;
  }
  void begin() {
    auto begun = rollout::begin(plan, 3, facts, now());
    check_ok(begun);
    rollout = std::move(*begun);
  }
  [[nodiscard]] Moment now() const { return {friday_noon_ms + at_ms, 0}; }
  // What is said to whom: "offer n01; restart n02; withdraw n03".
  std::string step(std::int64_t later_ms = 1000) {
    at_ms += later_ms;
    auto advice = advance(rollout, facts, now());
    rollout = std::move(advice.next);
    std::vector<std::string> said;
    for (const auto& offer : advice.offers) said.push_back("offer " + offer.node.str());
    for (const auto& one : advice.restarts) said.push_back("restart " + one.str());
    for (const auto& one : advice.withdrawals) said.push_back("withdraw " + one.str());
    return fmt::format("{}", fmt::join(said, "; "));
  }
  // The node says that of its newest offer.
  void says(const std::string& id, UpdateState state, const std::string& message = "") {
    auto& update = *facts.at(node(id)).update;
    update.image = image;
    update.rollout = 3;
    update.attempt = rollout.members.at(node(id)).attempt;
    update.state = state;
    update.message = message;
    if (state == UpdateState::good) update.version = "2";
  }
  void away(const std::string& id, bool is_away = true) { facts.at(node(id)).is_there = !is_away; }
  std::string step_of(const std::string& id) {
    return std::string(to_string(rollout.members.at(node(id)).step));
  }
  std::string state() { return std::string(to_string(rollout.state)); }

  Plan plan;
  NodeFacts facts;
  Rollout rollout;
  std::int64_t at_ms = 0;
};

void a_share_goes_first_and_the_rest_follows_when_it_is_good_and_was_watched() {
  World world(20);
  world.plan.soak_s = 600;
  world.begin();
  check_equal(world.step(), "offer n01; offer n02");  // a tenth
  check_equal(world.step(), "offer n01; offer n02");  // until they show it
  world.says("n01", UpdateState::downloading);
  world.says("n02", UpdateState::installed);
  check_equal(world.step(), "restart n02");
  world.facts.at(node("n02")).restart_waits = true;
  check_equal(world.step(), "");
  world.says("n01", UpdateState::good);
  check_equal(world.step(), "");
  world.says("n02", UpdateState::good);
  check_equal(world.step(), "");
  check_equal(world.step(599'000), "");
  check_equal(world.step(1000), "offer n03; offer n04; offer n05; offer n06; offer n07");  // five at once
  world.says("n05", UpdateState::good);
  check_equal(world.step(), "offer n03; offer n04; offer n06; offer n07; offer n08");
}

void at_least_one_goes_first() {
  World world(3);
  world.plan.canary_pct = 0;
  world.begin();
  check_equal(world.step(), "offer n01");
}

void one_that_goes_first_and_is_not_good_halts_all() {
  for (const auto state : {UpdateState::rolled_back, UpdateState::failed}) {
    World world(5);
    world.begin();
    world.step();
    world.says("n01", state, "the agent is not running");
    check_equal(world.step(), "");
    check_equal(world.state(), "halted");
    check_contains(world.rollout.reason, "n01");
    check_contains(world.rollout.reason, "the agent is not running");
    check_equal(world.step(24 * 60 * minute_ms), "");
  }
}

void one_that_rolled_back_is_never_offered_it_again_by_the_same_rollout() {
  World world(3);
  world.plan.soak_s = 0;
  world.begin();
  world.step();
  world.says("n01", UpdateState::rolled_back, "no");
  world.step();
  auto resumed = resume(world.rollout, world.now());
  check_ok(resumed);
  world.rollout = *resumed;
  check_equal(world.step(), "offer n02");  // another one goes first
  world.says("n02", UpdateState::good);
  check_equal(world.step(), "offer n03");
  world.says("n03", UpdateState::good);
  world.step();
  check_equal(world.state(), "done");
  check_equal(world.step_of("n01"), "rolled-back");
  check_equal(world.rollout.members.at(node("n01")).attempt, 1U);
  check_contains(world.rollout.reason, "2 of 3");
}

void one_that_failed_is_offered_it_again_after_a_person_said_so() {
  World world(2);
  world.begin();
  world.step();
  world.says("n01", UpdateState::failed, "the disk is full");
  world.step();
  check_equal(world.state(), "halted");
  world.rollout = *resume(world.rollout, world.now());
  check_equal(world.step(), "offer n01");
  check_equal(world.rollout.members.at(node("n01")).attempt, 2U);
}

void a_tenth_of_the_rest_may_fail() {
  World world(20);
  world.plan.soak_s = 0;
  world.plan.at_once = 20;
  world.plan.canary_pct = 5;
  world.begin();
  world.step();
  world.says("n01", UpdateState::good);
  world.step();
  world.says("n05", UpdateState::failed, "a bad disk");
  world.says("n06", UpdateState::rolled_back, "no GPU");
  world.step();
  check_equal(world.state(), "running");
  world.says("n07", UpdateState::failed, "a bad disk");
  world.step();
  check_equal(world.state(), "halted");
  check_contains(world.rollout.reason, "3 nodes are not good");
}

void nodes_that_have_the_version_are_done() {
  World world(3);
  world.facts.at(node("n01")).update->version = "2";
  world.facts.at(node("n03")).update->version = "2";
  world.begin();
  check_equal(world.step(), "offer n02");
  check_equal(world.step_of("n01"), "good");
  world.says("n02", UpdateState::good);
  world.step(3'600'000);
  world.step();
  check_equal(world.state(), "done");
}

void a_node_that_is_away_does_not_hold_up_the_others() {
  World world(3);
  world.plan.soak_s = 0;
  world.begin();
  world.away("n01");
  check_equal(world.step(), "offer n02");  // it is no one that could go first
  world.says("n02", UpdateState::good);
  check_equal(world.step(), "offer n03");
  world.says("n03", UpdateState::good);
  world.step();
  check_equal(world.state(), "running");  // it may come
  world.step(23 * 60 * minute_ms);
  check_equal(world.state(), "running");
  world.step(2 * 60 * minute_ms);
  check_equal(world.state(), "done");
  check_equal(world.step_of("n01"), "skipped");
}

void one_that_goes_away_before_its_restart_gives_its_place_to_another() {
  World world(3);
  world.begin();
  world.step();
  world.says("n01", UpdateState::downloading);
  world.step();
  world.away("n01");
  check_equal(world.step(), "");
  check_equal(world.step(29 * minute_ms), "");
  check_equal(world.step(minute_ms), "offer n02");
  check_equal(world.step_of("n01"), "waiting");
}

void one_that_does_not_come_back_from_its_restart_has_failed() {
  World world(3);
  world.begin();
  world.step();
  world.says("n01", UpdateState::restarting);
  world.step();
  world.away("n01");
  world.step(44 * minute_ms);
  check_equal(world.state(), "running");
  world.step(minute_ms);
  check_equal(world.state(), "halted");
  check_contains(world.rollout.reason, "did not come back");
}

void one_that_vanishes_while_it_is_watched_halts_all() {
  World world(3);
  world.plan.soak_s = 3600;
  world.begin();
  world.step();
  world.says("n01", UpdateState::good);
  world.step();
  world.away("n01");
  world.step();
  world.step(61 * minute_ms);
  check_equal(world.state(), "halted");
  check_contains(world.rollout.reason, "not there any more");
}

void restarts_wait_for_the_window_and_downloads_do_not() {
  World world(2);
  world.plan.window = {{0x40, 120, 360}};  // Sunday, 02:00 to 06:00; it is Friday noon
  world.begin();
  check_equal(world.step(), "offer n01");
  world.says("n01", UpdateState::installed);
  check_equal(world.step(), "");
  world.at_ms = (2 * 24 - 12 + 3) * 60 * minute_ms;  // Sunday, 03:00
  check_equal(world.step(), "restart n01");
}

void a_pause_offers_nothing_new_and_restarts_nobody() {
  World world(20);
  world.begin();
  world.step();
  world.says("n01", UpdateState::installed);
  world.rollout = *pause(world.rollout);
  check_equal(world.step(), "");
  world.says("n02", UpdateState::downloading);
  check_equal(world.step(), "");
  check(!pause(world.rollout));
  world.rollout = *resume(world.rollout, world.now());
  check_equal(world.step(), "restart n01");
  check(!resume(world.rollout, world.now()));
}

void what_is_stopped_is_taken_back_where_it_is_not_installed() {
  World world(30);
  world.begin();
  check_equal(world.step(), "offer n01; offer n02; offer n03");
  world.says("n01", UpdateState::downloading);
  world.says("n02", UpdateState::installing);
  world.rollout = *stop(world.rollout, world.now(), "stopped by ann");
  check_equal(world.step(), "withdraw n01");
  world.facts.at(node("n01")).update = payloads::NodeUpdate{};
  check_equal(world.step(), "");
  check(!stop(world.rollout, world.now(), ""));
}

void only_boxes_that_the_image_fits_take_part() {
  World world(2);
  world.add("other").machine = "another";
  world.facts[node("debian")].is_there = true;
  world.begin();
  check_equal(world.rollout.members.size(), std::size_t{2});
  world.add("late");
  world.step();
  check_equal(world.rollout.members.size(), std::size_t{3});  // one that joins the farm meanwhile

  const struct {
    const char* named;
    const char* machine;
    const char* wrong;
  } cases[] = {{"nobody", "m", "there is no node nobody"},
               {"debian", "m", "does not run an image"},
               {"other", "m", "other is another"},
               {"", "x", "none of the 4 nodes"}};
  for (const auto& one : cases) {
    auto plan = world.plan;
    plan.machine = one.machine;
    if (*one.named != '\0') plan.nodes = {node(one.named)};
    const auto begun = rollout::begin(plan, 4, world.facts, world.now());
    check(!begun);
    check_contains(begun.error().message, one.wrong);
  }
  auto plan = world.plan;
  plan.version = "1";
  check_contains(rollout::begin(plan, 4, world.facts, world.now()).error().message, "already");
  plan.version = "2";
  plan.nodes = {node("n02")};
  check_equal(rollout::begin(plan, 4, world.facts, world.now())->members.size(), std::size_t{1});
}

void an_outcome_that_comes_after_it_was_given_up_still_counts() {
  World world(3);
  world.begin();
  world.step();
  world.says("n01", UpdateState::installed);
  world.step();
  world.away("n01");
  world.step();
  world.step(31 * minute_ms);  // power was off; n02 goes first now
  check_equal(world.step_of("n01"), "waiting");
  world.away("n01", false);
  world.says("n01", UpdateState::rolled_back, "it did not start");
  world.step();
  check_equal(world.step_of("n01"), "rolled-back");
}

void a_plan_survives_the_disk() {
  World world(1);
  world.plan.nodes = {node("n01"), node("n02")};
  world.plan.window = {{0x40, 120, 360}};
  world.plan.by = "ann";
  world.plan.canary_pct = 2.5;
  const auto again = parse_plan(*Json::parse(to_json(world.plan).dump()));
  check_ok(again);
  check(*again == world.plan);
}

// Whatever boxes do: no offer is made beyond what may be under way, one that rolled back gets none, and when
// the boxes are well it ends.
void whatever_happens_it_is_safe_and_it_ends() {
  for (std::uint32_t seed = 1; seed <= 60; ++seed) {
    std::uint32_t random = seed;
    const auto draw = [&](std::uint32_t below) {
      random = random * 1'664'525U + 1'013'904'223U;
      return (random >> 8U) % below;
    };
    World world(static_cast<int>(1 + draw(12)));
    world.plan.at_once = 1 + draw(4);
    world.plan.soak_s = draw(2) * 600;
    world.begin();
    std::set<std::string> rolled_back;
    for (int i = 0; i < 1500 && !is_over(world.rollout.state); ++i) {
      const bool is_calm = i > 700;
      const auto before = world.rollout.members;
      world.step(draw(5) == 0 ? 10 * minute_ms : 1000);
      std::size_t under_way = 0;
      bool is_offer = false;
      for (const auto& [id, member] : world.rollout.members) {
        if (member.step == Step::updating) ++under_way;
        is_offer = is_offer || (before.contains(id) && before.at(id).attempt != member.attempt);
        if (rolled_back.contains(id.str())) check(member.step == Step::rolled_back);
        if (member.step == Step::rolled_back) rolled_back.insert(id.str());
      }
      check(!is_offer || under_way <= world.plan.at_once);
      if (world.rollout.state == State::halted && draw(10) == 0)
        world.rollout = *resume(world.rollout, world.now());
      for (auto& [id, member] : world.rollout.members) {
        auto& fact = world.facts.at(id);
        if (is_calm || draw(60) == 0) fact.is_there = is_calm || draw(3) != 0;
        if (member.step != Step::updating || !fact.is_there || draw(4) != 0) continue;
        constexpr UpdateState path[] = {UpdateState::downloading, UpdateState::installing,
                                        UpdateState::installed, UpdateState::restarting, UpdateState::good};
        const auto bad = is_calm ? 100U : draw(25);
        world.says(id.str(), bad == 0   ? UpdateState::failed
                             : bad == 1 ? UpdateState::rolled_back
                                        : path[draw(5)]);
      }
    }
    if (!is_over(world.rollout.state)) print_error("seed %u: %s\n", seed, world.rollout.reason.c_str());
    check(world.rollout.state == State::done);
  }
}

}  // namespace

int main() {
  return kiln::test::run(
      "rollout",
      {{"a share goes first, and the rest follows when it is good and was watched",
        a_share_goes_first_and_the_rest_follows_when_it_is_good_and_was_watched},
       {"at least one goes first", at_least_one_goes_first},
       {"one that goes first and is not good halts all", one_that_goes_first_and_is_not_good_halts_all},
       {"one that rolled back is never offered it again by the same rollout",
        one_that_rolled_back_is_never_offered_it_again_by_the_same_rollout},
       {"one that failed is offered it again after a person said so",
        one_that_failed_is_offered_it_again_after_a_person_said_so},
       {"a tenth of the rest may fail", a_tenth_of_the_rest_may_fail},
       {"nodes that have the version are done", nodes_that_have_the_version_are_done},
       {"a node that is away does not hold up the others", a_node_that_is_away_does_not_hold_up_the_others},
       {"one that goes away before its restart gives its place to another",
        one_that_goes_away_before_its_restart_gives_its_place_to_another},
       {"one that does not come back from its restart has failed",
        one_that_does_not_come_back_from_its_restart_has_failed},
       {"one that vanishes while it is watched halts all", one_that_vanishes_while_it_is_watched_halts_all},
       {"restarts wait for the window, and downloads do not",
        restarts_wait_for_the_window_and_downloads_do_not},
       {"a pause offers nothing new and restarts nobody", a_pause_offers_nothing_new_and_restarts_nobody},
       {"what is stopped is taken back where it is not installed",
        what_is_stopped_is_taken_back_where_it_is_not_installed},
       {"only boxes that the image fits take part", only_boxes_that_the_image_fits_take_part},
       {"an outcome that comes after it was given up still counts",
        an_outcome_that_comes_after_it_was_given_up_still_counts},
       {"a plan survives the disk", a_plan_survives_the_disk},
       {"whatever happens, it is safe and it ends", whatever_happens_it_is_safe_and_it_ends}});
}
