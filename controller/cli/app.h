// The whole program but for main(): so that tests run it.
#pragma once

#include <atomic>
#include <cstdio>
#include <string>
#include <vector>

namespace kiln::cli {

// args without the program's name. Returns the exit code (see exit.h). `interrupted` turns true at Ctrl-C.
int run(const std::vector<std::string>& args, std::FILE* out, std::FILE* err,
        const std::atomic<bool>& interrupted);

}  // namespace kiln::cli
