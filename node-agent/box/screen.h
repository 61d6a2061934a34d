// The first screen, as text. Pure.
#pragma once

#include <string>
#include <vector>

#include "box/facts.h"

namespace kiln::box {

struct ScreenFacts {
  BoxState box;
  AgentStatus agent;
  std::vector<std::string> addresses;
  std::string version;  // of the image
  std::string slot;     // "A", "B"
  std::string update;   // a sentence, "" = none
  std::string
      notice;  // what the box does instead of rendering: it installs itself on another disk; "" = nothing
  bool agent_active = false;
  bool link = false;
};

// What is wrong and what is to be done, most urgent first.
std::vector<std::string> complaints(const ScreenFacts& facts);

// `columns` by `rows` of text with ECMA-48 colours, from the first line to the last. Only ASCII: a console
// font has little else. Readable from 40 x 15 on; 1024 x 768 with the kernel's 16 x 32 font are 64 x 24.
std::string screen(const ScreenFacts& facts, int columns, int rows);

}  // namespace kiln::box
