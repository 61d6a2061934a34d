// Small JPEGs of frames, made when somebody first looks, kept beside the job.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/result.h"
#include "files/layout.h"

namespace kiln::files {

class Thumbnails {
 public:
  // What a hostile or broken picture may cost.
  struct Bounds {
    std::chrono::milliseconds timeout{20'000};  // of one picture: an 8K EXR takes 3 s on a slow box
    std::chrono::milliseconds forget{60'000};   // a failure is answered from memory for so long
    std::uint64_t memory_bytes = 4ULL << 30U;   // address space; libvips streams and needs a small part of it
    int at_once = 2;   // pictures being made; more would slow the renderers beside us
    int waiting = 64;  // threads that wait for one; the next is sent away
  };
  explicit Thumbnails(Layout layout);
  Thumbnails(Layout layout, const Bounds& bounds);
  ~Thumbnails();
  Thumbnails(Thumbnails&&) noexcept;
  Thumbnails& operator=(Thumbnails&&) noexcept;

  // The thumbnail of that output file, at most 320 pixels wide: from the cache, or made now by a child
  // process (vipsthumbnail; ffmpeg for layered EXR, Targa, BMP, DPX). Thread-safe; two that ask for the same
  // one share the work. Errors: not_found (no such frame); unsupported (no picture of that kind, or the
  // program is not installed: says which package has it); invalid (the picture is broken); timeout;
  // unavailable (too many wait); full, io.
  Result<OpenFile> open(const JobId& job, const std::string& path);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace kiln::files
