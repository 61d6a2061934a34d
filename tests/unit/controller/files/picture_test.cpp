#include "files/picture.h"

#include "check.h"
#include "controller/files/exr_made.h"

using namespace kiln;  // NOLINT(google-build-using-namespace)
using files::recognise;
using Kind = files::Picture::Kind;
using namespace std::string_literals;  // NOLINT(google-build-using-namespace)

namespace {

void a_picture_is_known_by_its_first_bytes() {
  const struct {
    std::string head;
    Kind kind;
    std::string codec;
  } cases[] = {
      {"\x89PNG\r\n\x1a\n rest", Kind::plain, ""},
      {"\xff\xd8\xff\xe0", Kind::plain, ""},
      {"II*\0rest"s, Kind::plain, ""},
      {"MM\0*rest"s, Kind::plain, ""},
      {"RIFF1234WEBPVP8 ", Kind::plain, ""},
      {"#?RADIANCE\n", Kind::floating, ""},
      {"\0\0\0\x0cjP  \r\n"s, Kind::floating, ""},
      {"BM1234", Kind::ffmpeg_only, "bmp"},
      {"SDPX", Kind::ffmpeg_only, "dpx"},
  };
  for (const auto& one : cases) {
    // Whatever its name says.
    const auto picture = recognise(one.head, "frame.tga");
    check_ok(picture);
    check(picture->kind == one.kind);
    check_equal(picture->codec, one.codec);
  }
  const auto targa = recognise("\0\0\x02"s, "shot/FRAME.TGA");
  check_ok(targa);
  check_equal(targa->codec, "targa");
}

void what_is_no_picture_is_said_so() {
  for (const std::string head : {"", "#!/bin/sh", "<svg>", "RIFF", "RIFF1234AVI ", "%PDF-1.5", "GIF8"}) {
    const auto picture = recognise(head, "frame.png");
    check(!picture.has_value());
    check(picture.error().code == Code::unsupported);
    check_contains(picture.error().message, "frame.png");
  }
}

void an_exr_is_shown_by_its_combined_layer() {
  const struct {
    std::vector<std::string> channels;
    Kind kind;
    std::string layer;
  } cases[] = {
      {{"B", "G", "R"}, Kind::floating, ""},
      {{"A", "B", "G", "R", "Z"}, Kind::floating, ""},
      {{"Y"}, Kind::floating, ""},
      {{"ViewLayer.Combined.A", "ViewLayer.Combined.B", "ViewLayer.Combined.G", "ViewLayer.Combined.R"},
       Kind::layered_exr,
       "ViewLayer.Combined"},
      {{"A layer.Combined.R", "Composite.Combined.R", "Other.Combined.R"},
       Kind::layered_exr,
       "Composite.Combined"},
  };
  for (const auto& one : cases) {
    const auto picture = recognise(test::exr_header(one.channels, 2, 2), "a.exr");
    check_ok(picture);
    check(picture->kind == one.kind);
    check_equal(picture->layer, one.layer);
  }
  check(!recognise(test::exr_header({"ViewLayer.Depth.Z"}, 2, 2), "a.exr").has_value());
}

void a_broken_exr_header_is_refused_at_every_length() {
  const auto whole = test::exr_header({"ViewLayer.Combined.R"}, 2, 2);
  const auto channels_end = whole.find("compression");
  for (std::size_t size = 4; size < channels_end; ++size) {
    check(!recognise(std::string_view(whole).substr(0, size), "a.exr").has_value());
  }
  auto lying = whole;
  lying[8 + sizeof("channels") + sizeof("chlist") + 3] = '\x7f';  // the list's size
  check(!recognise(lying, "a.exr").has_value());
}

}  // namespace

int main() {
  return test::run(
      "picture",
      {{"a picture is known by its first bytes", a_picture_is_known_by_its_first_bytes},
       {"what is no picture is said so", what_is_no_picture_is_said_so},
       {"an EXR is shown by its combined layer", an_exr_is_shown_by_its_combined_layer},
       {"a broken EXR header is refused at every length", a_broken_exr_header_is_refused_at_every_length}});
}
