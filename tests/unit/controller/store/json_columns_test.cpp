#include "store/json_columns.h"

#include "check.h"
#include "controller/store/scratch.h"

using namespace kiln;             // NOLINT(google-build-using-namespace)
using namespace kiln::scheduler;  // NOLINT(google-build-using-namespace)

namespace {

void what_is_as_by_default_is_no_text() {
  check_equal(store::steps_text({}), "");
  check_equal(store::counts_text({}), "");
  check_equal(store::wishes_text({}), "");
  check_equal(store::settings_text({}), "");
}

// The text stands in people's databases: it is read for ever.
void texts_stay_as_they_were_released() {
  auto step = test::some_step("render", 10, 2, 30);
  step.after = {0, 1};
  step.pairs_with = {2};
  step.frames = *payloads::FrameSet::parse("1-10");
  step.needs.device = payloads::Device::gpu;
  step.needs.attributes = {{"kiln:attr.tag", {"a"}, {"b"}}};
  step.needs.amounts = {{"amount.worker.vcpu", 2, 8.5}};
  step.needs.limits = {{"nuke", 2}};
  check_equal(store::steps_text({step, test::some_step("last", 1, 1)}),
              R"([{"name":"render","units":10,"chunk":2,"frames":"1-10","target_s":30,"after":[0,1],)"
              R"("pairs_with":[2],"needs":{"renderer":"openjd","device":"gpu","attributes":[{"name":)"
              R"("kiln:attr.tag","any_of":["a"],"all_of":["b"]}],"amounts":[{"name":"amount.worker.vcpu",)"
              R"("min":2,"max":8.5}],"limits":[{"name":"nuke","count":2}]}},)"
              R"({"name":"last","units":1,"chunk":1,"needs":{"renderer":"openjd","device":"any"}}])");
  check_equal(store::counts_text({{1, 2, 3, 4, 5}, {}}), "[[1,2,3,4,5],[0,0,0,0,0]]");
  check_equal(store::wishes_text({1, 2, {"rtx"}, {7}, 9}),
              R"({"slot_limit":1,"node_limit":2,"tags":["rtx"],"after":[7],"start_ms":9})");
  check_equal(store::settings_text({false, {"rtx"}, {{0x1F, 1200, 420}}, 80, 90.5, 600, true}),
              R"({"enabled":false,"tags":["rtx"],"schedule":[{"days":31,"from_min":1200,"to_min":420}],)"
              R"("soft_c":80,"hard_c":90.5,"sleep_after_s":600,"reboot":true})");
}

void large_lists_come_back() {
  std::vector<StepSpec> steps;
  for (std::uint32_t i = 0; i < 100; ++i) {
    auto step = test::some_step(std::string(2000, 'n'), 1'000'000, 1);
    std::string frames = "1";
    for (int frame = 2; frames.size() < 8'000; frame += 1 + frame % 3) frames += "," + std::to_string(frame);
    step.frames = *payloads::FrameSet::parse(frames);
    if (i > 0) step.after = {i - 1};
    steps.push_back(std::move(step));
  }
  const auto read = store::parse_steps(store::steps_text(steps));
  check_ok(read);
  check(*read == steps);
}

template <class T>
Status refusal(const Result<T>& result) {
  return result ? Status() : Status(fail(result.error()));
}

void a_text_that_somebody_changed_is_refused_by_name() {
  const struct {
    Status status;
    const char* says;
  } cases[] = {
      {refusal(store::parse_steps("{}")), "steps"},
      {refusal(store::parse_steps("[{}]")), "step.name"},
      {refusal(store::parse_steps(R"([{"name":"a","units":1,"chunk":1,"frames":"x"}])")), "step.frames"},
      {refusal(store::parse_steps(R"([{"name":"a","units":1,"chunk":1,"after":[-1]}])")), "step.after"},
      {refusal(store::parse_steps(R"([{"name":"a","units":1,"chunk":1,"needs":{"device":"tpu"}}])")),
       "step.needs.device"},
      {refusal(store::parse_counts("[[1,2,3]]")), "five numbers"},
      {refusal(store::parse_counts("[[1,2,3,4,-5]]")), "five numbers"},
      {refusal(store::parse_wishes(R"({"tags":[1]})")), "wishes.tags"},
      {refusal(store::parse_settings(R"({"schedule":[{"days":128,"from_min":0,"to_min":1}]})")),
       "settings.schedule.days"},
  };
  for (const auto& one : cases) {
    check(!one.status.has_value());
    check_contains(one.status.error().message, one.says);
  }
}

}  // namespace

int main() {
  return test::run("json columns", {{"what is as by default is no text", what_is_as_by_default_is_no_text},
                                    {"texts stay as they were released", texts_stay_as_they_were_released},
                                    {"large lists come back", large_lists_come_back},
                                    {"a text that somebody changed is refused by name",
                                     a_text_that_somebody_changed_is_refused_by_name}});
}
