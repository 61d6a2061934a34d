#include "files/results.h"

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <iterator>

#include "check.h"
#include "controller/store/scratch.h"
#include "runtime/sha256.h"

namespace fs = std::filesystem;
using namespace kiln;  // NOLINT(google-build-using-namespace)
using files::Layout;
using files::Results;
using test::Scratch;

namespace {

struct Shelf {
  Scratch scratch;
  Layout layout;
  Results results;
  Shelf() : layout(scratch / "data"), results(layout) { check_ok(layout.create()); }
  [[nodiscard]] fs::path output() const { return layout.output(test::job_id(1)); }
};

payloads::ResultFile described(const std::string& path, std::string_view content) {
  return {1, path, runtime::digest_of(content), content.size(), 64, 36, 1.5};
}

void deliver(Results& results, const TaskId& task, std::uint32_t attempt, const std::string& path,
             const std::string& content) {
  auto delivery = results.begin(task, attempt, path, runtime::digest_of(content), content.size());
  check_ok(delivery);
  check_ok(delivery->write(content));
  check_ok(delivery->finish());
}

std::string text_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  check(file.good());
  return {std::istreambuf_iterator<char>(file), {}};
}

const TaskId task_0 = test::task_id(1, 0);
const TaskId task_1 = test::task_id(1, 1);

void a_delivered_frame_waits_in_incoming_until_it_is_accepted() {
  Shelf shelf;
  const auto file = described("shot/a b/frame_ü.png", "pixels");
  check(!shelf.results.has(task_0, 1, file.path, file.digest));
  deliver(shelf.results, task_0, 1, file.path, "pixels");
  check(shelf.results.has(task_0, 1, file.path, file.digest));
  check(!shelf.results.has(task_0, 2, file.path, file.digest));
  check(!shelf.results.has(task_0, 1, "other.png", file.digest));
  check(!shelf.results.has(task_0, 1, file.path, runtime::digest_of("other")));
  check(shelf.results.open(task_0.job, file.path).error().code == Code::not_found);

  const auto accepted = shelf.results.accept({task_0, 1, {file}});
  check_ok(accepted);
  check(accepted->renames.empty());
  check_equal(text_of(shelf.output() / file.path), "pixels");
  check(!fs::exists(shelf.layout.incoming(task_0, 1)));
  const auto open = shelf.results.open(task_0.job, file.path);
  check_ok(open);
  check_equal(open->size, 6U);
}

void another_name_is_known_until_the_database_knows_it() {
  Shelf shelf;
  const auto first = described("a.png", "one");
  const auto second = described("a.png", "two");
  deliver(shelf.results, task_0, 1, "a.png", "one");
  deliver(shelf.results, task_1, 1, "a.png", "two");
  check_ok(shelf.results.accept({task_0, 1, {first}}));
  const auto accepted = shelf.results.accept({task_1, 1, {second}});
  check_ok(accepted);
  check_equal(accepted->renames.size(), 1U);
  const auto placed = accepted->renames.front().placed;
  check_equal(shelf.results.placed(task_0, 1, "a.png"), "a.png");
  check_equal(shelf.results.placed(task_1, 1, "a.png"), placed);
  check_equal(shelf.results.placed(task_1, 2, "a.png"), "a.png");
  check_ok(shelf.results.settle());  // the database is told now
  check_equal(shelf.results.placed(task_1, 1, "a.png"), placed);
  for (int i = 0; i < 4; ++i) check_ok(shelf.results.settle());
  check_equal(shelf.results.placed(task_1, 1, "a.png"), "a.png");
}

void a_wrong_delivery_leaves_nothing() {
  Shelf shelf;
  const auto digest = runtime::digest_of("pixels");
  {
    auto delivery = shelf.results.begin(task_0, 1, "a.png", digest, 6);
    check_ok(delivery->write("pixelz"));
    const auto status = delivery->finish();
    check(!status.has_value());
    check(status.error().code == Code::invalid);
  }
  {
    auto cut = shelf.results.begin(task_0, 1, "a.png", digest, 6);
    check_ok(cut->write("pix"));
  }
  check(!shelf.results.has(task_0, 1, "a.png", digest));
  check(fs::is_empty(shelf.layout.incoming(task_0, 1)));
}

void a_path_never_leaves_the_output_folder() {
  Shelf shelf;
  const auto digest = runtime::digest_of("x");
  std::ofstream(shelf.scratch / "secret") << "secret";
  fs::create_directories(shelf.output());
  fs::create_directory_symlink(shelf.scratch.path(), shelf.output() / "link");
  fs::create_symlink(shelf.scratch / "secret", shelf.output() / "secret.png");
  ::mkfifo((shelf.output() / "pipe.png").c_str(), 0600);
  for (const std::string path : {"../secret", "/etc/passwd", "a/../../b", "", ".", "a//b", "a\nb", "a\\b"}) {
    const auto delivery = shelf.results.begin(task_0, 1, path, digest, 1);
    check(!delivery.has_value());
    check(delivery.error().code == Code::invalid);
    check(!shelf.results.open(task_0.job, path).has_value());
  }
  check(!shelf.results.begin(task_0, 1, "a.png", "sha256:../x", 1).has_value());
  for (const std::string path : {"link/secret", "secret.png", "pipe.png", "link"}) {
    check(!shelf.results.open(task_0.job, path).has_value());
  }
  const auto file = described("link/frame.png", "x");
  deliver(shelf.results, task_0, 1, file.path, "x");
  check(!shelf.results.accept({task_0, 1, {file}}).has_value());
  check(!fs::exists(shelf.scratch / "frame.png"));
  check(shelf.results.list(task_0.job)->empty());
}

void accepting_again_finds_the_files_in_place() {
  Shelf shelf;
  const auto file = described("a.png", "pixels");
  deliver(shelf.results, task_0, 1, "a.png", "pixels");
  check_ok(shelf.results.accept({task_0, 1, {file}}));
  const auto again = shelf.results.accept({task_0, 1, {file}});
  check_ok(again);
  check(again->renames.empty());
  // The node sent it once more, and the database was behind.
  deliver(shelf.results, task_0, 1, "a.png", "pixels");
  check_ok(shelf.results.accept({task_0, 1, {file}}));
  check_equal(shelf.results.list(task_0.job)->size(), 1U);
  check(!fs::exists(shelf.layout.incoming(task_0, 1)));
}

void a_done_frame_of_another_task_is_never_overwritten() {
  Shelf shelf;
  const auto first = described("shot/frame.png", "first");
  const auto second = described("shot/frame.png", "second");
  deliver(shelf.results, task_0, 1, first.path, "first");
  deliver(shelf.results, task_1, 2, second.path, "second");
  check_ok(shelf.results.accept({task_0, 1, {first}}));
  for (int i = 0; i < 2; ++i) {  // the second time from the output, as after a crash
    const auto accepted = shelf.results.accept({task_1, 2, {second}});
    check_ok(accepted);
    check(accepted->renames ==
          (std::vector<files::Rename>{{"shot/frame.png", "shot/frame~1-aaaaa-1-2.png"}}));
  }
  check_equal(text_of(shelf.output() / "shot/frame.png"), "first");
  check_equal(text_of(shelf.output() / "shot/frame~1-aaaaa-1-2.png"), "second");
}

void a_frame_rendered_again_replaces_its_own_only() {
  Shelf shelf;
  const auto old = described("a.png", "black"), again = described("a.png", "better");
  deliver(shelf.results, task_0, 1, "a.png", "black");
  check_ok(shelf.results.accept({task_0, 1, {old}}));
  for (const bool is_anothers : {true, false}) {
    const std::uint32_t attempt = is_anothers ? 2 : 3;
    deliver(shelf.results, task_0, attempt, "a.png", "better");
    const auto accepted = shelf.results.accept({task_0, attempt, {again}, true},
                                               [&](const std::string&) { return is_anothers; });
    check_ok(accepted);
    check_equal(accepted->renames.size(), is_anothers ? 1U : 0U);
    const auto size = fs::file_size(shelf.output() / "a.png");
    check_equal(size, std::string(is_anothers ? "black" : "better").size());
  }
  // Said once more, as after a crash.
  check_ok(shelf.results.accept({task_0, 3, {again}, true}, [](const std::string&) { return false; }));
}

void the_same_picture_of_two_tasks_is_kept_once() {
  Shelf shelf;
  const auto file = described("frame.png", "same");
  deliver(shelf.results, task_0, 1, file.path, "same");
  deliver(shelf.results, task_1, 1, file.path, "same");
  check_ok(shelf.results.accept({task_0, 1, {file}}));
  const auto accepted = shelf.results.accept({task_1, 1, {file}});
  check_ok(accepted);
  check(accepted->renames.empty());
  check_equal(shelf.results.list(task_0.job)->size(), 1U);
}

void identical_frames_of_one_task_keep_their_names() {
  Shelf shelf;
  const auto one = described("f1.png", "black");
  const auto two = described("f2.png", "black");
  deliver(shelf.results, task_0, 1, one.path, "black");
  deliver(shelf.results, task_0, 1, two.path, "black");
  check_ok(shelf.results.accept({task_0, 1, {one, two}}));
  check_equal(text_of(shelf.output() / "f1.png"), "black");
  check_equal(text_of(shelf.output() / "f2.png"), "black");
}

void a_file_that_is_nowhere_is_named_and_the_others_are_moved() {
  Shelf shelf;
  const auto lost = described("lost.png", "lost");
  const auto kept = described("kept.png", "kept");
  deliver(shelf.results, task_0, 1, kept.path, "kept");
  const auto accepted = shelf.results.accept({task_0, 1, {lost, kept}});
  check(!accepted.has_value());
  check(accepted.error().code == Code::not_found);
  check_contains(accepted.error().message, "lost.png");
  check_contains(accepted.error().message, "1-aaaaa-0");
  check_equal(text_of(shelf.output() / "kept.png"), "kept");
  check(shelf.results.settle()->empty());
  // A damaged file in its place is not taken for it.
  std::ofstream(shelf.output() / "lost.png") << "l0st";
  check(!shelf.results.accept({task_0, 1, {lost}}).has_value());
}

void settling_names_what_was_accepted_once() {
  Shelf shelf;
  const auto file = described("a/b/c.png", "pixels");
  deliver(shelf.results, task_0, 3, file.path, "pixels");
  check_ok(shelf.results.accept({task_0, 3, {file}}));
  const auto settled = shelf.results.settle();
  check_ok(settled);
  check_equal(settled->size(), 1U);
  check(settled->front().task == task_0);
  check_equal(settled->front().attempt, 3U);
  check(shelf.results.settle()->empty());
  // A job deleted before its folders were synced is no failure.
  deliver(shelf.results, task_1, 1, file.path, "pixels");
  check_ok(shelf.results.accept({task_1, 1, {file}}));
  check_ok(shelf.results.remove_job(task_1.job));
  check_equal(shelf.results.settle()->size(), 1U);
}

void a_dropped_attempt_and_a_removed_job_go_to_the_trash() {
  Shelf shelf;
  const auto file = described("a.png", "pixels");
  deliver(shelf.results, task_0, 1, file.path, "pixels");
  auto late = shelf.results.begin(task_0, 1, "b.png", file.digest, 6);
  check_ok(late->write("pixels"));
  const auto waiting = shelf.results.incoming();
  check_ok(waiting);
  check_equal(waiting->size(), 1U);
  check(waiting->front().task == task_0);
  check_equal(waiting->front().attempt, 1U);
  check_ok(shelf.results.drop(task_0, 1));
  check_ok(shelf.results.drop(task_0, 1));
  check(late->finish().error().code == Code::conflict);
  check(shelf.results.incoming()->empty());

  deliver(shelf.results, task_1, 1, file.path, "pixels");
  check_ok(shelf.results.accept({task_1, 1, {file}}));
  check_ok(shelf.results.remove_job(task_1.job));
  check(!fs::exists(shelf.layout.job(task_1.job)));
  check(shelf.results.list(task_1.job)->empty());
  check(!fs::is_empty(shelf.layout.trash()));
  check_ok(files::empty_trash(shelf.layout));
  check(fs::is_empty(shelf.layout.trash()));
}

void output_is_listed_by_path() {
  Shelf shelf;
  check(shelf.results.list(task_0.job)->empty());
  for (const std::string path : {"b.png", "a/2.png", "a/1.png"}) {
    deliver(shelf.results, task_0, 1, path, path);
    check_ok(shelf.results.accept({task_0, 1, {described(path, path)}}));
  }
  const auto list = shelf.results.list(task_0.job);
  check_ok(list);
  std::string paths;
  for (const auto& file : *list) paths += fmt::format("{}:{} ", file.path, file.size);
  check_equal(paths, "a/1.png:7 a/2.png:7 b.png:5 ");
}

void a_log_is_kept_and_a_long_one_by_its_end() {
  Shelf shelf;
  const auto none = shelf.results.open_log(task_0, 1);
  check(!none.has_value());
  check(none.error().code == Code::not_found);
  check_contains(none.error().message, "1-aaaaa-0");
  check_ok(shelf.results.write_log(task_0, 1, "first\n"));
  check_ok(shelf.results.write_log(task_0, 1, "second\n"));
  check_equal(text_of(shelf.layout.log(task_0, 1)), "second\n");
  check_ok(shelf.results.open_log(task_0, 1));

  std::string text;
  while (text.size() < 2 * files::max_log_bytes) text += fmt::format("line {}\n", text.size());
  check_ok(shelf.results.write_log(task_0, 1, text));
  const auto kept = text_of(shelf.layout.log(task_0, 1));
  check(kept.size() <= files::max_log_bytes);
  const auto first_line = kept.find('\n');
  check_contains(kept.substr(0, first_line), "bytes of this log were left out");
  check(kept.substr(first_line + 1, 5) == "line ");
  check(text.ends_with(kept.substr(first_line + 1)));
}

void a_full_disk_is_said_before_the_frame() {
  const Scratch scratch;
  const test::SmallDisk disk(scratch / "data", "2m");
  if (!disk) {
    print_message("no right to mount a small file system here: not checked\n");
    return;
  }
  const Layout layout(scratch / "data");
  check_ok(layout.create());
  Results results(layout);
  const auto delivery = results.begin(task_0, 1, "a.exr", runtime::digest_of("x"), 4'000'000);
  check(!delivery.has_value());
  check_equal(to_string(delivery.error().code), to_string(Code::full));
  check(fs::is_empty(layout.incoming(task_0, 1)));
}

}  // namespace

int main() {
  return test::run(
      "results",
      {{"a delivered frame waits in incoming until it is accepted",
        a_delivered_frame_waits_in_incoming_until_it_is_accepted},
       {"another name is known until the database knows it",
        another_name_is_known_until_the_database_knows_it},
       {"a wrong delivery leaves nothing", a_wrong_delivery_leaves_nothing},
       {"a path never leaves the output folder", a_path_never_leaves_the_output_folder},
       {"accepting again finds the files in place", accepting_again_finds_the_files_in_place},
       {"a done frame of another task is never overwritten",
        a_done_frame_of_another_task_is_never_overwritten},
       {"a frame rendered again replaces its own only", a_frame_rendered_again_replaces_its_own_only},
       {"the same picture of two tasks is kept once", the_same_picture_of_two_tasks_is_kept_once},
       {"identical frames of one task keep their names", identical_frames_of_one_task_keep_their_names},
       {"a file that is nowhere is named and the others are moved",
        a_file_that_is_nowhere_is_named_and_the_others_are_moved},
       {"settling names what was accepted once", settling_names_what_was_accepted_once},
       {"a dropped attempt and a removed job go to the trash",
        a_dropped_attempt_and_a_removed_job_go_to_the_trash},
       {"output is listed by path", output_is_listed_by_path},
       {"a log is kept and a long one by its end", a_log_is_kept_and_a_long_one_by_its_end},
       {"a full disk is said before the frame", a_full_disk_is_said_before_the_frame}});
}
