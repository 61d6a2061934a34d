// The files that a script carries, on disk.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "openjd/template.h"

namespace kiln::actions {

// Files of one script in a folder of their own, which goes with this object.
class EmbeddedFiles {
 public:
  EmbeddedFiles() = default;
  // Makes the folder, if there are files at all. Errors: invalid when two files have one name; io, full.
  static Result<EmbeddedFiles> create(std::filesystem::path folder,
                                      const std::vector<openjd::EmbeddedFile>& files,
                                      const openjd::Extensions& extensions);
  ~EmbeddedFiles();
  EmbeddedFiles(EmbeddedFiles&& other) noexcept;
  EmbeddedFiles& operator=(EmbeddedFiles&& other) noexcept;

  // "<prefix><name>" -> its path; `prefix` is "Task.File." or "Env.File.".
  void add_symbols(std::string_view prefix, openjd::Symbols& symbols) const;
  // Writes every file anew, whatever became of it: readable (and runnable, where asked) by our user only.
  // Errors: not_found when a reference has no value; io, full.
  Status write(const openjd::Symbols& symbols) const;

 private:
  struct File {
    openjd::EmbeddedFile file;
    std::filesystem::path path;
  };

  std::filesystem::path folder_;  // "": no files
  std::vector<File> files_;
  bool normalizes_ = false;  // FEATURE_BUNDLE_1: line ends as on this system unless the file says otherwise
};

}  // namespace kiln::actions
