#include "cli/inspection.h"

#include <fmt/format.h>
#include <stdlib.h>

#include <limits>

#include "base/json.h"
#include "base/text.h"
#include "cli/inspect_script.h"
#include "payloads/http_bodies.h"
#include "runtime/files.h"
#include "runtime/process.h"

namespace kiln::cli {

namespace fs = std::filesystem;

namespace {

constexpr JsonLimits limits{256ULL * 1024 * 1024, 8, 2'000'000};
constexpr std::size_t max_path_bytes = 16ULL * 1024;

void read_texts(JsonReader& in, std::string_view key, std::vector<std::string>& out) {
  const auto* items = in.array(key, 1000);
  if (items == nullptr) return;
  for (const auto& item : *items) {
    if (const auto* text = item.as_string()) out.push_back(*text);
  }
}

// A folder that is gone when this is.
class TemporaryFolder {
 public:
  static Result<TemporaryFolder> make() {
    std::error_code error;
    std::string name = (fs::temp_directory_path(error) / "kiln-XXXXXX").string();
    if (error || mkdtemp(name.data()) == nullptr) {
      return fail(runtime::os_error(errno, fmt::format("while making the folder {}", name)));
    }
    TemporaryFolder folder;
    folder.path_ = name;
    return folder;
  }
  TemporaryFolder(TemporaryFolder&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  TemporaryFolder& operator=(TemporaryFolder&& other) noexcept {
    std::swap(path_, other.path_);
    return *this;
  }
  ~TemporaryFolder() {
    std::error_code error;
    if (!path_.empty()) fs::remove_all(path_, error);
  }
  [[nodiscard]] const fs::path& path() const { return path_; }

 private:
  TemporaryFolder() = default;
  fs::path path_;
};

// Blender's last line that says something, for the error.
std::string last_words(std::string_view output) {
  std::string last;
  while (!output.empty()) {
    const auto end = output.find('\n');
    const auto line = output.substr(0, end);
    if (line.find_first_not_of(" \t\r") != std::string_view::npos && line.find("Blender quit") == line.npos)
      last = line;
    if (end == output.npos) break;
    output.remove_prefix(end + 1);
  }
  return to_utf8(clip(last, 300));
}

}  // namespace

std::string Inspection::frames() const {
  if (frame_end <= frame_start) return fmt::format("{}", frame_start);
  if (frame_step <= 1) return fmt::format("{}-{}", frame_start, frame_end);
  return fmt::format("{}-{}x{}", frame_start, frame_end, frame_step);
}

Result<Inspection> decode_inspection(std::string_view text) {
  const auto json = Json::parse(text, limits);
  if (!json) return fail(json.error());
  JsonReader in(*json, "inspection");
  Inspection out;
  constexpr int most = std::numeric_limits<int>::max();
  read_texts(in, "problems", out.problems);
  read_texts(in, "warnings", out.warnings);
  in.optional("blender", out.blender);
  in.optional("saved_with", out.saved_with);
  in.optional("scene", out.scene);
  in.optional("engine", out.engine);
  in.optional("frame_start", out.frame_start, -most, most);
  in.optional("frame_end", out.frame_end, -most, most);
  in.optional("frame_step", out.frame_step, 0, most);
  in.optional("width", out.width, 0, most);
  in.optional("height", out.height, 0, most);
  in.optional("camera", out.camera);
  in.optional("output", out.output, max_path_bytes);
  in.optional("format", out.format);
  in.optional("movie", out.movie);
  const auto* references = in.array("references", payloads::max_manifest_files);
  for (std::size_t i = 0; references != nullptr && i < references->size() && in.ok(); ++i) {
    JsonReader item((*references)[i], fmt::format("references[{}]", i));
    Reference one;
    item.required("kind", one.kind);
    item.required("raw", one.raw, max_path_bytes);
    item.required("path", one.path, max_path_bytes);
    item.required("from", one.from, max_path_bytes);
    item.required("user", one.user);
    item.required("missing", one.missing);
    item.required("needed", one.needed);
    auto reference = item.finish(std::move(one));
    if (!reference) return fail(std::move(reference.error()));
    out.references.push_back(std::move(*reference));
  }
  return in.finish(std::move(out));
}

Result<Inspection> inspect(const std::string& blender, const fs::path& scene,
                           std::chrono::milliseconds timeout) {
  auto folder = TemporaryFolder::make();
  if (!folder) return fail(std::move(folder.error()));
  const auto script = folder->path() / "inspect_scene.py";
  const auto answer = folder->path() / "answer.json";
  if (auto written = runtime::write_file_atomically(script, inspect_script()); !written)
    return fail(std::move(written.error()));

  runtime::CaptureOptions options;
  options.timeout = timeout;
  // Out of the user's own settings: they may load add-ons that write, ask or fail.
  options.environment = {{"BLENDER_USER_CONFIG", folder->path()}, {"BLENDER_USER_SCRIPTS", folder->path()}};
  const auto ran = runtime::run_capture(
      {blender, "-b", "--factory-startup", "--disable-autoexec", scene, "-P", script, "--", scene, answer},
      options);
  if (!ran) return fail(ran.error());
  const auto text = runtime::read_file(answer, limits.bytes);
  if (!text) {
    return fail(Code::invalid,
                fmt::format("{}: Blender ended ({}) without an answer; its last words: {}",
                            to_utf8(scene.string()), ran->status.str(), last_words(ran->output)));
  }
  auto inspection = decode_inspection(*text);
  if (!inspection) return fail(std::move(inspection.error()).with("what Blender says of the scene"));
  return inspection;
}

}  // namespace kiln::cli
