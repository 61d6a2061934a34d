#include "files/blobs.h"

#include <unistd.h>

#include <ctime>
#include <fstream>
#include <iterator>
#include <thread>

#include "check.h"
#include "controller/store/scratch.h"
#include "runtime/sha256.h"

using namespace kiln;  // NOLINT(google-build-using-namespace)
using files::Blobs;
using files::Layout;
using test::Scratch;

namespace {

struct Shelf {
  Scratch scratch;
  Layout layout;
  Blobs blobs;
  Shelf() : layout(scratch / "data"), blobs(layout) { check_ok(layout.create()); }
  [[nodiscard]] std::size_t partials() const {
    const std::filesystem::directory_iterator all(layout.partials());
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
  }
};

std::string some_bytes(std::size_t size) {
  std::string bytes(size, '\0');
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>((i * 7) ^ (i >> 8U));
  return bytes;
}

void check_held(const Blobs& blobs, const std::string& bytes) {
  const auto digest = runtime::digest_of(bytes);
  check(blobs.has(digest));
  const auto text = blobs.read(digest, bytes.size());
  check_ok(text);
  check(*text == bytes);
  const auto open = blobs.open(digest);
  check_ok(open);
  check_equal(open->size, bytes.size());
}

void a_whole_upload_becomes_a_blob() {
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{1'000'000}}) {
    Shelf shelf;
    const auto bytes = some_bytes(size);
    const auto digest = runtime::digest_of(bytes);
    check(!shelf.blobs.has(digest));
    auto upload = shelf.blobs.begin(digest, size);
    check_ok(upload);
    for (std::size_t i = 0; i < size; i += 60'000)
      check_ok(upload->write(std::string_view(bytes).substr(i, 60'000)));
    check(!shelf.blobs.has(digest));  // not before it was verified
    check_ok(upload->finish());
    check_held(shelf.blobs, bytes);
    check_equal(shelf.partials(), 0U);
  }
}

void a_cut_upload_goes_on_where_it_ended() {
  Shelf shelf;
  const auto bytes = some_bytes(300'000);
  const auto digest = runtime::digest_of(bytes);
  check_equal(shelf.blobs.partial_size(digest), 0U);
  {
    auto upload = shelf.blobs.begin(digest, bytes.size());
    check_ok(upload->write(bytes.substr(0, 100'000)));
    check_equal(upload->offset(), 100'000U);
  }
  check_equal(shelf.blobs.partial_size(digest), 100'000U);
  {
    // After a restart, and overlapping: what lies behind the offset is sent again.
    Blobs again(shelf.layout);
    auto upload = again.begin(digest, bytes.size(), 80'000);
    check_ok(upload);
    check_ok(upload->write(bytes.substr(80'000)));
    check_ok(upload->finish());
  }
  check_held(shelf.blobs, bytes);
  check_equal(shelf.blobs.partial_size(digest), 0U);
}

void an_upload_cannot_begin_behind_what_is_held() {
  Shelf shelf;
  const auto bytes = some_bytes(1000);
  const auto digest = runtime::digest_of(bytes);
  const auto upload = shelf.blobs.begin(digest, bytes.size(), 10);
  check(!upload.has_value());
  check(upload.error().code == Code::conflict);
  check_contains(upload.error().message, "0 bytes of");
  check(shelf.blobs.begin(digest, 10, 11).error().code == Code::invalid);
  check(shelf.blobs.begin("sha256:../../etc/passwd", 10).error().code == Code::invalid);
}

void another_content_than_declared_is_thrown_away() {
  Shelf shelf;
  const auto digest = runtime::digest_of("what was promised");
  auto upload = shelf.blobs.begin(digest, 17);
  check_ok(upload->write("what was promisee"));
  const auto status = upload->finish();
  check(!status.has_value());
  check(status.error().code == Code::invalid);
  check_contains(status.error().message, digest);
  check(!shelf.blobs.has(digest));
  check_equal(shelf.blobs.partial_size(digest), 0U);
}

void too_few_bytes_stay_and_too_many_are_refused() {
  Shelf shelf;
  const auto digest = runtime::digest_of("0123456789");
  {
    auto upload = shelf.blobs.begin(digest, 10);
    check_ok(upload->write("01234"));
    check(upload->finish().error().code == Code::invalid);
    const auto status = upload->write("567890");
    check(!status.has_value());
    check(status.error().code == Code::too_large);
  }
  check_equal(shelf.blobs.partial_size(digest), 5U);
}

void two_whole_uploads_at_once_do_not_disturb_each_other() {
  Shelf shelf;
  const auto bytes = some_bytes(100'000);
  const auto digest = runtime::digest_of(bytes);
  auto one = shelf.blobs.begin(digest, bytes.size());
  auto two = shelf.blobs.begin(digest, bytes.size());
  check_ok(one);
  check_ok(two);
  check_ok(one->write(bytes.substr(0, 50'000)));
  check_ok(two->write(bytes.substr(0, 70'000)));
  check_ok(one->write(bytes.substr(50'000)));
  check_ok(two->write(bytes.substr(70'000)));
  check_ok(one->finish());
  check_ok(two->finish());
  check_held(shelf.blobs, bytes);
  check_equal(shelf.partials(), 0U);
}

void a_continued_upload_is_taken_from_the_dead_connection() {
  Shelf shelf;
  const auto bytes = some_bytes(100'000);
  const auto digest = runtime::digest_of(bytes);
  auto dead = shelf.blobs.begin(digest, bytes.size());
  check_ok(dead->write(bytes.substr(0, 40'000)));
  auto alive = shelf.blobs.begin(digest, bytes.size(), shelf.blobs.partial_size(digest));
  check_ok(alive);
  const auto status = dead->write("something else altogether");
  check(!status.has_value());
  check(status.error().code == Code::conflict);
  dead = fail(Code::io, "the connection ends at last");
  check_ok(alive->write(bytes.substr(40'000)));
  check_ok(alive->finish());
  check_held(shelf.blobs, bytes);
}

void many_connections_may_send_the_same_blob() {
  Shelf shelf;
  const auto bytes = some_bytes(400'000);
  const auto digest = runtime::digest_of(bytes);
  std::vector<int> bad(6, 0);
  std::vector<std::thread> threads;
  threads.reserve(bad.size());
  for (auto& mine : bad) {
    threads.emplace_back([&shelf, &bytes, &digest, &mine] {
      auto upload = shelf.blobs.begin(digest, bytes.size());
      for (std::size_t i = 0; upload && i < bytes.size(); i += 10'000) {
        if (!upload->write(std::string_view(bytes).substr(i, 10'000))) ++mine;
      }
      if (!upload || !upload->finish()) ++mine;
    });
  }
  for (auto& thread : threads) thread.join();
  for (const int count : bad) check_equal(count, 0);
  check_held(shelf.blobs, bytes);
  check_equal(shelf.partials(), 0U);
}

void missing_blobs_are_named_once() {
  Shelf shelf;
  const auto held = shelf.blobs.put_bytes("held");
  check_ok(held);
  check_equal(*held, runtime::digest_of("held"));
  check_ok(shelf.blobs.put_bytes("held"));
  const auto other = runtime::digest_of("other");
  check(shelf.blobs.missing({other, *held, other}) == std::vector{other});
  const auto none = shelf.blobs.open(other);
  check(!none.has_value());
  check(none.error().code == Code::not_found);
  check_contains(none.error().message, other);
  check(shelf.blobs.open("nonsense").error().code == Code::not_found);
  check(shelf.blobs.read(*held, 3).error().code == Code::too_large);
}

void old_partials_are_swept_and_those_in_use_are_not() {
  Shelf shelf;
  const auto now = static_cast<std::int64_t>(std::time(nullptr));
  const auto in_use = runtime::digest_of("in use");
  const auto cut = runtime::digest_of("cut");
  auto upload = shelf.blobs.begin(in_use, 6);
  check_ok(upload->write("in "));
  static_cast<void>(shelf.blobs.begin(cut, 3)->write("c"));
  std::ofstream(shelf.layout.partials() / (std::string(64, 'a') + ".3"))
      << "of a connection before the restart";
  check_equal(*shelf.blobs.sweep_partials(now, 3600), 1U);  // nobody can continue that one
  check_equal(shelf.blobs.partial_size(cut), 1U);
  check_equal(*shelf.blobs.sweep_partials(now + 7200, 3600), 1U);
  check_equal(shelf.blobs.partial_size(cut), 0U);
  check_ok(upload->write("use"));
  check_ok(upload->finish());
  check_held(shelf.blobs, "in use");
}

void a_full_disk_is_said_before_the_upload() {
  const Scratch scratch;
  const test::SmallDisk disk(scratch / "data", "2m");
  if (!disk) {
    print_message("no right to mount a small file system here: not checked\n");
    return;
  }
  const Layout layout(scratch / "data");
  check_ok(layout.create());
  Blobs blobs(layout);
  const auto bytes = some_bytes(4'000'000);
  const auto upload = blobs.begin(runtime::digest_of(bytes), bytes.size());
  check(!upload.has_value());
  check_equal(to_string(upload.error().code), to_string(Code::full));
  check_contains(upload.error().message, "4000000 bytes are to come");
  check_ok(blobs.put_bytes(some_bytes(500'000)));  // what fits still does
}

}  // namespace

int main() {
  return test::run(
      "blobs",
      {{"a whole upload becomes a blob", a_whole_upload_becomes_a_blob},
       {"a cut upload goes on where it ended", a_cut_upload_goes_on_where_it_ended},
       {"an upload cannot begin behind what is held", an_upload_cannot_begin_behind_what_is_held},
       {"another content than declared is thrown away", another_content_than_declared_is_thrown_away},
       {"too few bytes stay and too many are refused", too_few_bytes_stay_and_too_many_are_refused},
       {"two whole uploads at once do not disturb each other",
        two_whole_uploads_at_once_do_not_disturb_each_other},
       {"a continued upload is taken from the dead connection",
        a_continued_upload_is_taken_from_the_dead_connection},
       {"many connections may send the same blob", many_connections_may_send_the_same_blob},
       {"missing blobs are named once", missing_blobs_are_named_once},
       {"old partials are swept and those in use are not", old_partials_are_swept_and_those_in_use_are_not},
       {"a full disk is said before the upload", a_full_disk_is_said_before_the_upload}});
}
