#include "payloads/http_bodies.h"

#include "check.h"

using namespace kiln;
using namespace kiln::payloads;

namespace {

const std::string digest = "sha256:" + std::string(64, 'a');

Manifest manifest() {
  return {
      {{"maps/wood 1.png", digest, 5}, {"shot.blend", digest, 0}, {"ö/é.exr", digest, JsonReader::max_exact}},
      {{"/home/ada/wood.png", "maps/wood 1.png"}, {"C:\\tex\\sky", "maps"}}};
}

JobSubmission submission() {
  JobSubmission job;
  job.name = "shot 7";
  job.frames = "1-24";
  job.chunk = 4;
  job.priority = 90;
  job.paused = true;
  job.manifest = manifest();
  job.options = {"shot.blend", "PNG", true, Device::cpu, 60, 0};
  job.retries = 0;
  job.fail_pct = 100;
  return job;
}

ResultReport success() {
  ResultReport report;
  report.node = *NodeId::parse("n1");
  report.ok = true;
  report.files = {{1, "shot_0001.png", digest, 1234, 1920, 1080, 2.25},
                  {2, "shot_0002.png", digest, 1, 1, 1, 0, Blank::black},
                  {3, "shot_0003.png", digest, 1, 1, 1, 0, Blank::transparent}};
  report.warnings = {"textures/sky.hdr is missing"};
  report.seconds = 4.5;
  return report;
}

void every_body_survives_the_wire() {
  const auto again = decode_manifest(encode(manifest()));
  check_ok(again);
  check(*again == manifest());
  check_ok(decode_manifest(encode(Manifest{})));

  const auto job = decode_job_submission(encode(submission()));
  check_ok(job);
  check(*job == submission());
  JobSubmission noop;
  noop.type = "noop";
  noop.frames = "1";
  const auto small = decode_job_submission(encode(noop));
  check_ok(small);
  check(*small == noop);
  const auto shortest = decode_job_submission(std::string(R"({"type":"noop","frames":"1"})"));
  check_ok(shortest);
  check(*shortest == noop);

  JobSubmission templated;
  templated.type = "openjd";
  templated.job_template = TemplateText{"name: \"x\"\n", false};
  templated.environments = {{R"({"a":1})", true}};
  templated.parameters = {{"Frames", "1-24"}, {"Count", "3"}};
  templated.frame_by_frame = {{"Comp", "Render"}};
  templated.production = {"film", "010", "0040"};
  templated.tags = {"rtx"};
  templated.slot_limit = 4;
  templated.node_limit = 2;
  templated.limits = {{"nuke", 2}};
  templated.after = {"7", "8-k3fqa"};
  templated.start_ms = 1'800'000'000'000;
  const auto whole = decode_job_submission(encode(templated));
  check_ok(whole);
  check(*whole == templated);
  const JobDocument document{*templated.job_template, templated.environments, templated.parameters};
  const auto read = decode_job_document(encode(document));
  check_ok(read);
  check(*read == document);

  const auto report = decode_result_report(encode(success()));
  check_ok(report);
  check(*report == success());
  ResultReport failure;
  failure.node = *NodeId::parse("n1");
  failure.failure = {"no-camera", "the scene has no camera: add one", FailureScope::job};
  const auto failed = decode_result_report(encode(failure));
  check_ok(failed);
  check(*failed == failure);
}

void the_canonical_manifest_does_not_depend_on_order() {
  const Manifest a{{{"b", digest, 1}, {"a/z", digest, 2}, {"a-b", digest, 3}}, {{"/y", "b"}, {"/x", "a"}}};
  const Manifest b{{{"a-b", digest, 3}, {"a/z", digest, 2}, {"b", digest, 1}}, {{"/x", "a"}, {"/y", "b"}}};
  check_equal(encode(a), encode(b));
  check_equal(encode(Manifest{{{"s.blend", digest, 7}}, {{"/x", "s.blend"}}}),
              R"({"files":[{"path":"s.blend","digest":")" + digest +
                  R"(","size":7}],"mappings":[{"from":"/x","to":"s.blend"}]})");
  check_equal(encode(Manifest{}), R"({"files":[],"mappings":[]})");
}

void only_paths_inside_the_tree_are_safe() {
  for (const char* good : {"a", "a/b.png", "...", "a..b/.hidden", "ö/é", "a b", "-x", "~/x", "C:"}) {
    check(is_safe_path(good));
  }
  for (const auto& bad :
       {std::string(), std::string("/a"), std::string("a/"), std::string("a//b"), std::string("."),
        std::string(".."), std::string("a/../b"), std::string("../a"), std::string("a/."), std::string("./a"),
        std::string("a\\b"), std::string("a\nb"), std::string("a\x7f"), std::string("a\0b", 3),
        std::string("\xff"), std::string(1025, 'a'), std::string(256, 'a')}) {
    check(!is_safe_path(bad));
  }
  std::string longest;
  for (int i = 0; i < 4; ++i) longest += std::string(255, 'a') + "/";
  check(is_safe_path(longest.substr(0, 1023)));
}

template <class T>
std::string problem(Result<T> result) {
  return result ? "accepted" : result.error().message;
}

void a_malformed_body_is_refused_by_the_name_of_its_field() {
  const auto files = [](std::string_view list) {
    std::string text;
    for (std::size_t begin = 0; begin < list.size();) {
      const auto end = std::min(list.find(' ', begin), list.size());
      if (!text.empty()) text += ',';
      text += R"({"path":")" + std::string(list.substr(begin, end - begin)) + R"(","digest":")" + digest +
              R"(","size":1})";
      begin = end + 1;
    }
    return R"("files":[)" + text + "]";
  };
  const auto of = [&](std::string_view list, const std::string& rest = "") {
    return problem(decode_manifest("{" + files(list) + rest + "}"));
  };
  const auto job = [&](const std::string& rest) { return problem(decode_job_submission("{" + rest + "}")); };
  const auto report = [&](const std::string& rest) {
    return problem(decode_result_report(R"({"node":"n1",)" + rest + "}"));
  };
  const struct {
    std::string got, want;
  } cases[] = {
      {problem(decode_manifest("{}")), "manifest.files: missing"},
      {problem(decode_manifest(R"({"files":[{"path":"a","size":1}]})")), "manifest.files[0].digest: missing"},
      {of("a ../b"),
       "manifest.files[1].path: '../b' is no relative path inside the tree, as in textures/wood.png"},
      {of("a b a"), "manifest.files: 'a' stands twice"},
      {of("a a-b a/b"), "manifest.files: 'a' is a file and also the folder of 'a/b'"},
      {of("x/y/z x/y x/yy"), "manifest.files: 'x/y' is a file and also the folder of 'x/y/z'"},
      {of("a/b a-c ab"), "accepted"},
      {of("a", R"(,"mappings":[{"from":"/x","to":"b"}])"),
       "manifest.mappings: '/x' is mapped to 'b', which is not among the files"},
      {of("ab/c", R"(,"mappings":[{"from":"/x","to":"a"}])"),
       "manifest.mappings: '/x' is mapped to 'a', which is not among the files"},
      {of("a/c", R"(,"mappings":[{"from":"/x","to":"a"}])"), "accepted"},
      {of("a", R"(,"mappings":[{"from":"/x","to":"a"},{"from":"/x","to":"a"}])"),
       "manifest.mappings: '/x' is mapped twice"},
      {of("a", R"(,"mappings":[{"from":"","to":"a"}])"), "manifest.mappings[0].from: a path is expected"},
      {job(R"("frames":"1-3")"), "job.manifest: missing"},
      {job(R"("type":"noop")"), "job.frames: missing"},
      {job(R"("type":"May A","frames":"1")"),
       "job.type: 'May A' is no job type: blender, noop, openjd or the name of a job type is expected"},
      {job(R"("type":"openjd")"), "job.template: missing"},
      {job(R"("type":"noop","frames":"1","template":{"text":"x"})"),
       "job.template: it goes with type openjd alone"},
      {job(R"("type":"openjd","template":{"text":"x","syntax":"xml"})"),
       "job.template.syntax: yaml or json is expected"},
      {job(R"("type":"mine","parameters":{"Frames":[1]})"),
       "job.parameters.Frames: a string or a number is expected"},
      {job(R"("type":"mine","limits":[{"name":"Nuke X"}])"),
       "job.limits[0].name: 1 to 32 of a-z, 0-9 and - are expected"},
      {job(R"("type":"mine","tags":["a b"])"), "job.tags: each is expected to be 1 to 32 of a-z, 0-9 and -"},
      {job(R"("type":"noop","frames":"10-1")"), "job.frames: 10-1 runs backwards: write 1-10"},
      {job(R"("type":"noop","frames":"a-b")"),
       "job.frames: 'a-b' is no frame range: write 1-24, 7 or 1-100x10"},
      {job(R"("type":"noop","frames":"1","chunk":0)"), "job.chunk: 1 to 1000 frames a task are expected"},
      {job(R"("type":"noop","frames":"1","retries":100)"),
       "job.retries: a whole number from 0 to 99 is expected, not 100"},
      {job(R"("type":"noop","frames":"1","fail_pct":0)"),
       "job.fail_pct: 1 to 100 percent of the tasks are expected"},
      {job(R"("type":"noop","frames":"1","priority":101)"),
       "job.priority: a whole number from 0 to 100 is expected, not 101"},
      {job(R"("type":"noop","frames":"1","name":"a\u0007")"),
       "job.name: one line without control characters is expected"},
      {job(R"("frames":"1","manifest":{"files":[]})"),
       "job.options.scene_file: missing: the path of the .blend among the manifest's files"},
      {job(R"("frames":"1","options":{"scene_file":"x.blend"},"manifest":{)" + files("y.blend") + "}"),
       "job.options.scene_file: 'x.blend' is not among the manifest's files"},
      {job(R"("frames":"1","manifest":{"files":[{}]})"), "job.manifest.files[0].path: missing"},
      {report(R"("ok":false)"), "result.failure: missing"},
      {report(R"("ok":false,"failure":{"code":"No Camera"})"),
       "result.failure.code: 1 to 32 of a-z, 0-9 and - are expected"},
      {report(R"("ok":false,"failure":{"code":"x","scope":"farm"})"),
       "result.failure.scope: attempt or job is expected"},
      {report(R"("ok":true,"files":[{"frame":1,"path":"/etc/passwd"}])"),
       "result.files[0].path: '/etc/passwd' is no relative path inside the tree, as in textures/wood.png"},
      {report(R"("ok":true,"seconds":-1)"), "result.seconds: -1 is below 0"},
      {report(R"("ok":true,"warnings":[7])"), "result.warnings: strings of at most 1000 bytes are expected"},
      {problem(decode_result_report(R"({"node":"N","ok":true})")),
       "result.node: 'N' is no node id: 1 to 32 of a-z, 0-9 and -"},
      {problem(decode_result_report(std::string(2 * 1024 * 1024, ' '))),
       "result: 2097152 bytes of JSON; at most 1048576 are read here"},
  };
  for (const auto& one : cases) check_equal(one.got, one.want);
  auto twice = success();
  twice.files[1].path = twice.files[0].path;
  check_equal(problem(decode_result_report(encode(twice))), "result.files: 'shot_0001.png' stands twice");
}

void a_report_is_cut_to_what_its_reader_takes() {
  auto report = success();
  report.warnings.assign(50, std::string(5'000, 'w'));
  const auto again = decode_result_report(encode(report));
  check_ok(again);
  check_equal(again->warnings.size(), max_warnings);
  check_equal(again->warnings[0].size(), max_text_bytes);
}

void a_manifest_of_100000_files_is_read_back() {
  Manifest big;
  for (std::size_t i = 0; i < max_manifest_files; ++i) {
    big.files.push_back({fmt::format("sequence/frames/shot_{:06}.exr", i), digest, i});
  }
  auto job = submission();
  job.manifest = big;
  job.options.scene_file = big.files.back().path;
  const auto again = decode_job_submission(encode(job));
  check_ok(again);
  check(again->manifest == big);
  big.files.push_back({"one-more", digest, 1});
  check_equal(problem(decode_manifest(encode(big))), "manifest.files: 100001 items; at most 100000");
}

void verdicts_have_their_names() {
  check_equal(to_string(Verdict::accepted), "accepted");
  check_equal(to_string(Verdict::duplicate), "duplicate");
  check_equal(to_string(Verdict::superseded), "superseded");
}

}  // namespace

int main() {
  return kiln::test::run(
      "http_bodies",
      {{"every body survives the wire", every_body_survives_the_wire},
       {"the canonical manifest does not depend on order", the_canonical_manifest_does_not_depend_on_order},
       {"only paths inside the tree are safe", only_paths_inside_the_tree_are_safe},
       {"a malformed body is refused by the name of its field",
        a_malformed_body_is_refused_by_the_name_of_its_field},
       {"a report is cut to what its reader takes", a_report_is_cut_to_what_its_reader_takes},
       {"a manifest of 100,000 files is read back", a_manifest_of_100000_files_is_read_back},
       {"verdicts have their names", verdicts_have_their_names}});
}
