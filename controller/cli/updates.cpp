#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>

#include "cli/commands.h"
#include "cli/digest_cache.h"
#include "cli/fields.h"
#include "cli/steering.h"
#include "cli/table.h"
#include "cli/text.h"
#include "cli/upload.h"
#include "runtime/process.h"

namespace kiln::cli {

namespace {

constexpr const char* images_path = "/api/v1/images";
constexpr const char* rollouts_path = "/api/v1/rollouts";
constexpr std::size_t short_hex = 12;  // of a digest, for people
constexpr std::size_t least_hex = 6;   // that name an image
constexpr std::chrono::seconds rauc_patience{60};

std::string short_digest(const std::string& digest) {
  const auto colon = digest.find(':');
  return harmless(digest.substr(colon == std::string::npos ? 0 : colon + 1, short_hex));
}

// What the bundle says itself, where rauc is installed here; its signature is for the boxes to judge.
ImageName ask_rauc(const std::filesystem::path& file) {
  runtime::CaptureOptions options;
  options.timeout = std::chrono::duration_cast<std::chrono::milliseconds>(rauc_patience);
  const auto captured =
      runtime::run_capture({"rauc", "info", "--no-verify", "--output-format=json", file.string()}, options);
  if (!captured || !captured->status.ok()) return {};
  const auto begin = captured->output.find('{');  // warnings stand before it
  if (begin == std::string::npos) return {};
  const auto json = Json::parse(std::string_view(captured->output).substr(begin));
  if (!json) return {};
  return {text_of(*json, "version"), text_of(*json, "compatible")};
}

// By version, name, or the beginning of the digest. Errors: not_found; conflict when it names several.
Result<Json> find_image(Context& context, const std::string& wanted) {
  const auto all = context.client.call("GET", images_path);
  if (!all) return fail(all.error());
  std::vector<const Json*> found;
  for (const auto& image : array_of(*all, "images")) {
    const auto digest = text_of(image, "digest");
    const bool is_it = text_of(image, "version") == wanted || text_of(image, "name") == wanted ||
                       digest == wanted ||
                       (wanted.size() >= least_hex && digest.starts_with("sha256:" + wanted));
    if (is_it) found.push_back(&image);
  }
  if (found.empty()) {
    return fail(
        Code::not_found,
        fmt::format("there is no image '{}'; `kiln image list` shows those that are here", harmless(wanted)));
  }
  if (found.size() > 1) {
    std::string names;
    for (const auto* image : found)
      names += fmt::format("{}{} for {}", names.empty() ? "" : ", ", short_digest(text_of(*image, "digest")),
                           harmless(text_of(*image, "machine")));
    return fail(Code::conflict, fmt::format("'{}' names several images: {}", harmless(wanted), names));
  }
  return *found.front();
}

// "10%", "10", "2.5%".
Result<double> parse_percent(const std::string& text) {
  const auto digits = std::string_view(text).substr(0, text.ends_with('%') ? text.size() - 1 : text.size());
  double value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc{} || end != digits.data() + digits.size() || !(value >= 0 && value <= 100))
    return fail(Code::invalid, fmt::format("--canary: '{}' is no share: write 10%", harmless(text)));
  return value;
}

Style style_of(std::string_view step) {
  if (step == "good" || step == "done") return Style::green;
  if (step == "failed" || step == "rolled-back" || step == "halted") return Style::red;
  if (step == "updating" || step == "running" || step == "paused") return Style::yellow;
  return Style::plain;
}

void print_rollout(Context& context, const Json& rollout) {
  const bool color = context.out.color();
  const Json& counts = member_of(rollout, "counts");
  const auto state = text_of(rollout, "state");
  context.out.line(fmt::format(
      "rollout {} of {} for {}: {}{}", integer_of(rollout, "number"), harmless(text_of(rollout, "version")),
      harmless(text_of(rollout, "machine")), styled(state, style_of(state), color),
      text_of(rollout, "reason").empty() ? "" : ": " + harmless(text_of(rollout, "reason"))));
  const auto phase = text_of(rollout, "phase");
  const bool is_under_way = state == "running" || state == "paused";
  std::string line =
      fmt::format("{} of {} nodes are good", integer_of(counts, "good"), integer_of(counts, "all"));
  for (const auto* key : {"updating", "waiting", "failed", "rolled_back", "skipped"}) {
    if (const auto count = integer_of(counts, key); count > 0)
      line += fmt::format(", {} {}", count, std::string_view(key) == "rolled_back" ? "rolled back" : key);
  }
  if (is_under_way && phase == "canary") line += "; some go first";
  if (is_under_way && phase == "soak") {
    const auto end_ms = integer_of(rollout, "canary_good_ms") + integer_of(rollout, "soak_s") * 1000;
    line +=
        fmt::format("; those that went first are watched for another {}",
                    duration_text(static_cast<double>(std::max<std::int64_t>(0, end_ms - now_ms())) / 1000));
  }
  if (!array_of(rollout, "window").empty())
    line += "; restarts: " + schedule_text(member_of(rollout, "window"));
  context.out.line(line);
}

// With what each node says itself.
Status print_nodes(Context& context, const Json& rollout) {
  const auto nodes = context.client.nodes();
  if (!nodes) return fail(nodes.error());
  std::vector<Row> rows;
  for (const auto& member : array_of(rollout, "nodes")) {
    const auto id = text_of(member, "node");
    const auto& all = array_of(*nodes, "nodes");
    const auto node =
        std::find_if(all.begin(), all.end(), [&](const Json& one) { return text_of(one, "id") == id; });
    const Json& update = node == all.end() ? member_of(rollout, "") : member_of(*node, "update");
    const auto step = text_of(member, "step");
    std::string at = step;
    if (step == "updating") {
      at = text_of(member, "seen") == "idle" ? std::string("offered") : text_of(member, "seen");
      const auto percent = number_of(update, "percent");
      if (at == "downloading" || at == "installing") at += fmt::format(" {:.0f}%", percent);
    }
    if (integer_of(member, "away_ms") != 0 && step != "good") at += ", away";
    auto message = text_of(member, "message");
    if (message.empty() && step == "updating") message = text_of(update, "message");
    rows.push_back({{harmless(id)},
                    {harmless(at), style_of(step)},
                    {harmless(text_of(update, "version"))},
                    {flag_of(member, "canary") ? "first" : ""},
                    {harmless(message), Style::dim}});
  }
  context.out.raw(table_text({{"node"}, {"state"}, {"runs"}, {""}, {"", false, 10}}, rows,
                             context.out.width(), context.out.color()));
  return {};
}

}  // namespace

ImageName read_image_name(std::string_view file) {
  constexpr std::string_view begin = "kiln-";
  constexpr std::string_view end = ".raucb";
  if (!file.starts_with(begin) || !file.ends_with(end)) return {};
  file.remove_prefix(begin.size());
  file.remove_suffix(end.size());
  const auto variant = file.rfind('-');
  if (variant == std::string_view::npos || variant == 0) return {};
  const auto suite = file.rfind('-', variant - 1);
  if (suite == std::string_view::npos || suite == 0) return {};
  return {std::string(file.substr(0, suite)), fmt::format("kiln-amd64-{}", file.substr(suite + 1))};
}

Result<Exit> add_image(Context& context, const ImageOptions& options) {
  DigestCache digests(context.cache / "digests");
  const auto digest = digests.digest(options.file, [&] { return context.client.interrupted(); });
  if (!digest) {
    return fail(digest.error().code == Code::not_found ? Code::invalid : digest.error().code,
                digest.error().message);
  }
  (void)digests.save();
  const auto name = options.file.filename().string();
  auto facts = ask_rauc(options.file);
  const auto named = read_image_name(name);
  if (facts.version.empty()) facts.version = named.version;
  if (facts.machine.empty()) facts.machine = named.machine;
  if (!options.version.empty()) facts.version = options.version;
  if (!options.machine.empty()) facts.machine = options.machine;
  if (facts.version.empty() || facts.machine.empty()) {
    return fail(Code::invalid,
                fmt::format("{}: what version it is, and for which machine, follows from a name as in "
                            "kiln-1.2.0-trixie-bare.raucb; for another one say --version and --machine",
                            harmless(name)));
  }
  if (auto sent = upload_image(context, digest->digest, options.file, digest->size); !sent)
    return fail(std::move(sent.error()));
  const auto added = context.client.call("POST", images_path,
                                         Json::object({{"digest", digest->digest},
                                                       {"name", name},
                                                       {"version", facts.version},
                                                       {"machine", facts.machine}}));
  if (!added) return fail(added.error());
  if (context.json) context.print(*added);
  context.say(fmt::format("image {} for {}: {}, {}; `kiln update {}` brings it onto the boxes",
                          harmless(facts.version), harmless(facts.machine), short_digest(digest->digest),
                          bytes_text(digest->size), harmless(facts.version)));
  return Exit::ok;
}

Result<Exit> list_images(Context& context) {
  const auto all = context.client.call("GET", images_path);
  if (!all) return fail(all.error());
  if (context.json) {
    context.print(*all);
    return Exit::ok;
  }
  std::vector<Row> rows;
  for (const auto& image : array_of(*all, "images")) {
    rows.push_back({{harmless(text_of(image, "version")), Style::bold},
                    {harmless(text_of(image, "machine"))},
                    {bytes_text(static_cast<std::uint64_t>(integer_of(image, "bytes")))},
                    {date_text(integer_of(image, "added_ms"))},
                    {harmless(text_of(image, "added_by"))},
                    {short_digest(text_of(image, "digest")), Style::dim}});
  }
  if (rows.empty()) {
    context.say("no image is here yet; `kiln image add FILE.raucb` brings one");
    return Exit::ok;
  }
  context.out.raw(table_text({{"version"},
                              {"machine", false, 8},
                              {"size", true},
                              {"added"},
                              {"by", false, 6, 2},
                              {"id", false, 0, 1}},
                             rows, context.out.width(), context.out.color()));
  return Exit::ok;
}

Result<Exit> remove_image(Context& context, const std::string& image) {
  const auto found = find_image(context, image);
  if (!found) return fail(found.error());
  const auto gone =
      context.client.call("DELETE", fmt::format("{}/{}", images_path, text_of(*found, "digest")));
  if (!gone) return fail(gone.error());
  if (context.json) context.print(Json::object({{"removed", text_of(*found, "digest")}}));
  context.say(fmt::format("image {}: removed", harmless(text_of(*found, "version"))));
  return Exit::ok;
}

Result<Exit> start_update(Context& context, const UpdateOptions& options) {
  Json wish(Json::Object{});
  if (!options.image.empty()) {
    const auto image = find_image(context, options.image);
    if (!image) return fail(image.error());
    wish.set("image", text_of(*image, "digest"));
  }
  if (!options.canary.empty()) {
    const auto percent = parse_percent(options.canary);
    if (!percent) return fail(percent.error());
    wish.set("canary_pct", *percent);
  }
  if (!options.nodes.empty()) {
    Json nodes(Json::Array{});
    for (const auto& node : options.nodes) {
      if (auto checked = check_id(node, "node"); !checked) return fail(std::move(checked.error()));
      nodes.push(node);
    }
    wish.set("nodes", std::move(nodes));
  }
  if (!options.window.empty()) {
    auto window = parse_schedule(options.window);
    if (!window) return fail(std::move(window.error()).with("--window"));
    wish.set("window", std::move(*window));
  }
  if (options.at_once) wish.set("at_once", *options.at_once);
  if (options.soak_min) wish.set("soak_s", *options.soak_min * 60);
  const auto started = context.client.call("POST", rollouts_path, wish);
  if (!started) return fail(started.error());
  if (context.json) {
    context.print(*started);
    return Exit::ok;
  }
  print_rollout(context, *started);
  context.say("`kiln update status` shows how far it is");
  return Exit::ok;
}

Result<Exit> show_update(Context& context) {
  const auto rollout = context.client.call("GET", fmt::format("{}/latest", rollouts_path));
  if (!rollout) return fail(rollout.error());
  if (context.json) {
    context.print(*rollout);
    return Exit::ok;
  }
  print_rollout(context, *rollout);
  if (auto shown = print_nodes(context, *rollout); !shown) return fail(std::move(shown.error()));
  return Exit::ok;
}

Result<Exit> steer_update(Context& context, UpdateAction action) {
  const char* verb = action == UpdateAction::pause    ? "pause"
                     : action == UpdateAction::resume ? "resume"
                                                      : "stop";
  const auto rollout = context.client.call("POST", fmt::format("{}/latest/{}", rollouts_path, verb));
  if (!rollout) return fail(rollout.error());
  if (context.json) {
    context.print(*rollout);
    return Exit::ok;
  }
  print_rollout(context, *rollout);
  return Exit::ok;
}

}  // namespace kiln::cli
