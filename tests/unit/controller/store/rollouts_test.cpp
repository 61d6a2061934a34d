#include "store/rollouts.h"

#include <filesystem>

#include "check.h"
#include "runtime/files.h"

namespace {

namespace fs = std::filesystem;
using namespace kiln;

fs::path file() {
  std::string name = (fs::temp_directory_path() / "kiln-rollouts-XXXXXX").string();
  return fs::path(::mkdtemp(name.data())) / "updates.db";
}

rollout::Rollout a_rollout(std::uint64_t number) {
  rollout::Rollout out;
  out.number = number;
  out.plan.image = "sha256:9f86";
  out.plan.version = "2";
  out.plan.machine = "m";
  out.plan.nodes = {*NodeId::parse("a")};
  out.plan.window = {{0x40, 120, 360}};
  out.started_ms = 7;
  for (const char* id : {"a", "b"}) {
    rollout::Member member;
    member.node = *NodeId::parse(id);
    out.members.emplace(member.node, member);
  }
  return out;
}

std::vector<rollout::Member> members_of(const rollout::Rollout& rollout) {
  std::vector<rollout::Member> out;
  for (const auto& [node, member] : rollout.members) out.push_back(member);
  return out;
}

void what_is_saved_is_there_after_a_restart() {
  const auto at = file();
  auto last = a_rollout(2);
  const rollout::Image image{"sha256:9f86", "kiln-2.raucb", "2", "m", 1000, 5, "ann"};
  {
    auto book = store::Rollouts::open(at);
    check_ok(book);
    check_ok((*book)->save(image));
    check_ok((*book)->save({"sha256:aa", "x", "1", "m", 1, 1, "ann"}));
    check_ok((*book)->erase_image("sha256:aa"));
    const auto first = a_rollout(1);
    check_ok((*book)->save(first, members_of(first)));
    check_ok((*book)->save(last, members_of(last)));
    // Only what changed is written again.
    last.state = rollout::State::halted;
    last.reason = "b went back";
    last.is_rest = true;
    last.canary_good_ms = 9;
    last.ended_ms = 10;
    auto& member = last.members.at(*NodeId::parse("b"));
    member.step = rollout::Step::rolled_back;
    member.seen = payloads::UpdateState::rolled_back;
    member.is_canary = member.is_excused = true;
    member.attempt = 2;
    member.since_ms = 8;
    member.away_ms = 3;
    member.message = "it did not start";
    check_ok((*book)->save(last, {member}));
  }
  auto book = store::Rollouts::open(at);
  check_ok(book);
  const auto images = (*book)->images();
  check_ok(images);
  check_equal(images->size(), std::size_t{1});
  check(images->front() == image);
  const auto all = (*book)->rollouts(20);
  check_ok(all);
  check_equal(all->size(), std::size_t{2});
  check(all->front() == last);
  check(all->back() == a_rollout(1));
  check_equal((*book)->rollouts(1)->size(), std::size_t{1});
}

void a_strangers_file_is_left_alone() {
  const auto at = file();
  check_ok(
      runtime::write_file_atomically(at,
                                     "this is no database, and longer than a header of one hundred bytes: "
                                     "................................................................"));
  check(!store::Rollouts::open(at));
}

}  // namespace

int main() {
  return kiln::test::run("rollouts",
                         {{"what is saved is there after a restart", what_is_saved_is_there_after_a_restart},
                          {"a stranger's file is left alone", a_strangers_file_is_left_alone}});
}
