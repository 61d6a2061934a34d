#include "actions/embedded_files.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <cerrno>
#include <random>
#include <set>
#include <utility>

#include "runtime/files.h"

namespace kiln::actions {

namespace fs = std::filesystem;

namespace {

std::string with_line_ends(std::string_view text, std::string_view line_end) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n') continue;
    if (text[i] == '\n')
      out += line_end;
    else
      out += text[i];
  }
  return out;
}

}  // namespace

Result<EmbeddedFiles> EmbeddedFiles::create(fs::path folder, const std::vector<openjd::EmbeddedFile>& files,
                                            const openjd::Extensions& extensions) {
  EmbeddedFiles out;
  if (files.empty()) return out;
  std::set<std::string> names;
  std::random_device random;
  for (const auto& file : files) {
    const auto name = file.filename.empty() ? fmt::format("{}-{:08x}", file.name, random()) : file.filename;
    if (!names.insert(name).second) {
      return fail(Code::invalid,
                  fmt::format("two embedded files have the filename '{}'; they must differ", name));
    }
    out.files_.push_back({file, folder / name});
  }
  std::error_code error;
  if (!fs::create_directory(folder, error)) {
    return fail(runtime::os_error(error ? error.value() : EEXIST,
                                  fmt::format("making the folder {}", folder.native())));
  }
  out.folder_ = std::move(folder);
  out.normalizes_ = extensions.feature_bundle_1;
  return out;
}

EmbeddedFiles::~EmbeddedFiles() {
  std::error_code ignored;
  if (!folder_.empty()) fs::remove_all(folder_, ignored);
}

EmbeddedFiles::EmbeddedFiles(EmbeddedFiles&& other) noexcept
    : folder_(std::exchange(other.folder_, {})),
      files_(std::move(other.files_)),
      normalizes_(other.normalizes_) {}

EmbeddedFiles& EmbeddedFiles::operator=(EmbeddedFiles&& other) noexcept {
  std::swap(folder_, other.folder_);
  std::swap(files_, other.files_);
  normalizes_ = other.normalizes_;
  return *this;
}

void EmbeddedFiles::add_symbols(std::string_view prefix, openjd::Symbols& symbols) const {
  for (const auto& [file, path] : files_) symbols[fmt::format("{}{}", prefix, file.name)] = path.native();
}

Status EmbeddedFiles::write(const openjd::Symbols& symbols) const {
  using EndOfLine = openjd::EmbeddedFile::EndOfLine;
  for (const auto& [file, path] : files_) {
    auto data = file.data.resolve(symbols);
    if (!data) return fail(std::move(data.error()).with(fmt::format("embedded file '{}'", file.name)));
    if (file.end_of_line == EndOfLine::crlf)
      data = with_line_ends(*data, "\r\n");
    else if (file.end_of_line == EndOfLine::lf || normalizes_)
      data = with_line_ends(*data, "\n");
    std::error_code error;
    fs::remove(path, error);
    auto fd = runtime::open_file(path, O_WRONLY | O_CREAT | O_EXCL, file.runnable ? 0500 : 0400);
    if (!fd) return fail(std::move(fd.error()));
    auto written = runtime::write_all(fd->get(), *data, fmt::format("while writing {}", path.native()));
    if (!written) return written;
  }
  return {};
}

}  // namespace kiln::actions
