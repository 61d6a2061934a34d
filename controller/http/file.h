// A regular file open for reading, and what a response needs to know about it.
#pragma once

#include <cstdint>

#include "runtime/fd.h"

namespace kiln::http {

using runtime::Fd;

struct File {
  Fd fd;
  std::uint64_t size = 0;
};

}  // namespace kiln::http
