// The farm's renderers: archives that nodes fetch when a job names one.
#include <fmt/format.h>

#include <chrono>

#include "cli/commands.h"
#include "cli/fields.h"
#include "cli/table.h"
#include "cli/text.h"
#include "cli/upload.h"

namespace kiln::cli {

namespace fs = std::filesystem;

namespace {

// The controller reads the whole archive once: half a minute for Blender's on a slow box.
constexpr std::chrono::minutes patience{10};

}  // namespace

Result<Exit> list_renderers(Context& context) {
  const auto answer = context.client.call("GET", "/api/v1/renderers");
  if (!answer) return fail(answer.error());
  if (context.json) {
    context.print(*answer);
    return Exit::ok;
  }
  std::vector<Row> rows;
  for (const auto& one : array_of(*answer, "renderers")) {
    rows.push_back({{harmless(text_of(one, "name"))},
                    {bytes_text(static_cast<std::uint64_t>(integer_of(one, "size")))},
                    {bytes_text(static_cast<std::uint64_t>(integer_of(one, "unpacked_bytes")))},
                    {date_text(integer_of(one, "added_ms"))},
                    {harmless(text_of(one, "user"))},
                    {harmless(text_of(one, "file"))}});
  }
  if (rows.empty()) {
    context.say("no renderers: nodes use the Blender that is installed; kiln renderer add FILE");
    return Exit::ok;
  }
  context.out.raw(table_text({{"RENDERER"}, {"SIZE"}, {"UNPACKED"}, {"ADDED"}, {"BY"}, {"FILE", false, 8}},
                             rows, context.out.width(), context.out.color()));
  return Exit::ok;
}

Result<Exit> add_renderer(Context& context, const RendererOptions& options) {
  const auto file = fs::absolute(options.file).lexically_normal();
  std::error_code error;
  if (!fs::is_regular_file(file, error))
    return fail(Code::invalid,
                fmt::format("{} is no file: an archive as in blender-4.2.1-linux-x64.tar.xz is expected",
                            harmless(options.file.string())));
  Pack pack;
  pack.files = {{file.filename().string(), file}};
  const auto manifest = make_manifest(context, pack);
  if (!manifest) return fail(manifest.error());
  if (auto sent = upload(context, pack, *manifest); !sent) return fail(std::move(sent.error()));
  context.err.end_status(false);
  Json wish = Json::object({{"file", file.filename().string()}, {"digest", manifest->files.front().digest}});
  if (!options.name.empty()) wish.set("name", options.name);
  if (!options.version.empty()) wish.set("version", options.version);
  const auto answer = context.client.call("POST", "/api/v1/renderers", wish, patience);
  if (!answer) return fail(answer.error());
  if (context.json) context.print(*answer);
  context.say(fmt::format("renderer {}: {} ({} unpacked); `kiln submit --renderer {}` uses it",
                          harmless(text_of(*answer, "name")), harmless(text_of(*answer, "program")),
                          bytes_text(static_cast<std::uint64_t>(integer_of(*answer, "unpacked_bytes"))),
                          harmless(text_of(*answer, "name"))));
  return Exit::ok;
}

Result<Exit> remove_renderer(Context& context, const std::string& name) {
  const auto gone = context.client.call("DELETE", "/api/v1/renderers/" + runtime::escape_segment(name));
  if (!gone) return fail(gone.error());
  if (context.json) context.print(Json::object({{"name", name}}));
  context.say(fmt::format("renderer {}: removed; nodes that have it keep it until they need the room",
                          harmless(name)));
  return Exit::ok;
}

}  // namespace kiln::cli
