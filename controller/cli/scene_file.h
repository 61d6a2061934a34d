// The scene's file itself, before anybody opens it.
#pragma once

#include <filesystem>

#include "base/result.h"
#include "compiler/blend_file.h"

namespace kiln::cli {

// Walks the file once. Errors: invalid, naming the file, saying what it is instead and what to do; io.
Result<compiler::BlendFile> read_scene_file(const std::filesystem::path& scene);

}  // namespace kiln::cli
