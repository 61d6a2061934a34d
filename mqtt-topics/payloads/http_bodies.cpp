#include "payloads/http_bodies.h"

#include <algorithm>

#include "payloads/codec.h"

namespace kiln::payloads {

namespace {

constexpr std::size_t max_path_bytes = 1024;
constexpr std::size_t max_segment_bytes = 255;        // Linux's NAME_MAX
constexpr std::size_t max_outside_path_bytes = 4096;  // Linux's PATH_MAX: what a scene can name
constexpr std::size_t max_submission_bytes = max_manifest_bytes + max_document_bytes + 64ULL * 1024;

// Enough for 100,000 files with their four values and as many mappings.
constexpr JsonLimits manifest_limits{max_submission_bytes, 8, 1'000'000};
constexpr JsonLimits document_limits{max_document_bytes, 4, 4 * max_parameters};
constexpr JsonLimits result_limits{max_result_bytes, 8, 8 * max_result_files + 1024};

// Orders paths with '/' before every other character, so that what lies in a folder follows the folder's own
// name at once: "a", "a/b", "a-b". (Paths hold no control characters.)
struct FolderOrder {
  static bool less_char(char a, char b) {
    const auto rank = [](char c) {
      return c == '/' ? 0U : static_cast<unsigned>(static_cast<unsigned char>(c));
    };
    return rank(a) < rank(b);
  }
  bool operator()(std::string_view a, std::string_view b) const {
    return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end(), less_char);
  }
};

bool lies_in(std::string_view path, std::string_view folder) {
  return path.size() > folder.size() && path.starts_with(folder) && path[folder.size()] == '/';
}

// What a tree on disk could not hold, or what a mapping points at in vain.
void check_tree(JsonReader& in, const Manifest& manifest) {
  std::vector<std::string_view> paths;
  paths.reserve(manifest.files.size());
  for (const auto& file : manifest.files) paths.emplace_back(file.path);
  std::sort(paths.begin(), paths.end(), FolderOrder{});
  for (std::size_t i = 1; i < paths.size(); ++i) {
    if (paths[i] == paths[i - 1]) return in.reject("files", fmt::format("'{}' stands twice", paths[i]));
    if (lies_in(paths[i], paths[i - 1])) {
      return in.reject("files",
                       fmt::format("'{}' is a file and also the folder of '{}'", paths[i - 1], paths[i]));
    }
  }
  std::vector<std::string_view> from;
  from.reserve(manifest.mappings.size());
  for (const auto& mapping : manifest.mappings) {
    from.emplace_back(mapping.from);
    const auto found =
        std::lower_bound(paths.begin(), paths.end(), std::string_view(mapping.to), FolderOrder{});
    if (found == paths.end() || (*found != mapping.to && !lies_in(*found, mapping.to))) {
      return in.reject("mappings", fmt::format("'{}' is mapped to '{}', which is not among the files",
                                               mapping.from, mapping.to));
    }
  }
  std::sort(from.begin(), from.end());
  const auto twice = std::adjacent_find(from.begin(), from.end());
  if (twice != from.end()) in.reject("mappings", fmt::format("'{}' is mapped twice", *twice));
}

void read_path(JsonReader& in, std::string_view key, std::string& out) {
  in.required(key, out, max_path_bytes);
  if (in.ok() && !is_safe_path(out)) {
    in.reject(key,
              fmt::format("'{}' is no relative path inside the tree, as in textures/wood.png", to_utf8(out)));
  }
}

void read_manifest(JsonReader& in, Manifest& out) {
  in.member("files", true);
  read_items(in, "files", max_manifest_files, out.files, [](JsonReader& item, ManifestFile& file) {
    read_path(item, "path", file.path);
    read_digest(item, "digest", file.digest);
    item.required("size", file.size);
  });
  read_items(in, "mappings", max_manifest_files, out.mappings, [](JsonReader& item, PathMapping& mapping) {
    item.required("from", mapping.from, max_outside_path_bytes);
    if (item.ok() && (mapping.from.empty() || !is_one_line(mapping.from)))
      item.reject("from", "a path is expected");
    read_path(item, "to", mapping.to);
  });
  if (in.ok()) check_tree(in, out);
}

Json to_json(const ManifestFile& file) {
  return Json::object({{"path", file.path}, {"digest", file.digest}, {"size", file.size}});
}

// Sets the member when there is one item at least.
template <class Items, class Shape>
void set_list(Json& json, const char* key, const Items& items, const Shape& shape) {
  if (items.empty()) return;
  Json list{Json::Array()};
  for (const auto& item : items) list.push(shape(item));
  json.set(key, std::move(list));
}
Json as_text(const std::string& text) {
  return Json(text);
}

void read_template(JsonReader& in, TemplateText& out) {
  std::string syntax = "yaml";
  in.required("text", out.text, max_template_bytes);
  in.optional("syntax", syntax);
  if (in.ok() && syntax != "yaml" && syntax != "json") in.reject("syntax", "yaml or json is expected");
  out.is_json = syntax == "json";
}
Json to_json(const TemplateText& text) {
  return Json::object({{"text", text.text}, {"syntax", text.is_json ? "json" : "yaml"}});
}

// {"Frames":"1-24","Count":3}: numbers and truths are taken as people write them.
void read_parameters(JsonReader& in, std::map<std::string, std::string>& out) {
  const Json* json = in.member("parameters", false);
  if (json == nullptr || !in.ok()) return;
  const auto* members = json->as_object();
  if (members == nullptr) return in.reject("parameters", "an object is expected");
  if (members->size() > max_parameters)
    return in.reject("parameters", fmt::format("at most {} are expected", max_parameters));
  for (const auto& [name, value] : *members) {
    const auto* text = value.as_string();
    const bool is_plain = value.as_number() != nullptr || value.as_bool() != nullptr;
    if (text == nullptr && !is_plain)
      return in.reject(fmt::format("parameters.{}", clip(to_utf8(name), max_name_bytes)),
                       "a string or a number is expected");
    auto& kept = out[name];
    kept = text != nullptr ? *text : value.dump();
    if (kept.size() > max_parameter_bytes) {
      return in.reject(fmt::format("parameters.{}", clip(to_utf8(name), max_name_bytes)),
                       fmt::format("at most {} bytes are expected", max_parameter_bytes));
    }
  }
}
Json to_json(const std::map<std::string, std::string>& parameters) {
  Json json{Json::Object()};
  for (const auto& [name, value] : parameters) json.set(name, value);
  return json;
}

void read_limit_use(JsonReader& in, LimitUse& out) {
  in.required("name", out.name);
  in.optional("count", out.count, max_limit_count);
  if (in.ok() && !is_id(out.name)) in.reject("name", "1 to 32 of a-z, 0-9 and - are expected");
  if (in.ok() && out.count == 0) in.reject("count", "at least 1 is expected");
}

// What every job may ask for, whatever its type.
void read_wishes(JsonReader& in, JobSubmission& out) {
  read_name(in, "project", out.production.project);
  read_name(in, "sequence", out.production.sequence);
  read_name(in, "shot", out.production.shot);
  read_tags(in, out.tags);
  in.optional("renderer", out.renderer, max_name_bytes);
  in.optional("slot_limit", out.slot_limit);
  in.optional("node_limit", out.node_limit);
  read_items(in, "limits", max_limits, out.limits, read_limit_use);
  read_strings(in, "after", max_dependencies, max_cid_bytes, out.after);
  in.optional("start_ms", out.start_ms);
}

// The options' scene must be one of the files: said here, not by a renderer on another box.
void check_scene(JsonReader& in, const JobSubmission& job) {
  const auto& scene = job.options.scene_file;
  if (job.type != "blender") return;
  if (scene.empty())
    return in.reject("options.scene_file", "missing: the path of the .blend among the manifest's files");
  const auto& files = job.manifest.files;
  const bool is_there =
      std::any_of(files.begin(), files.end(), [&](const ManifestFile& file) { return file.path == scene; });
  if (!is_there)
    in.reject("options.scene_file", fmt::format("'{}' is not among the manifest's files", scene));
}

void read_submission(JsonReader& in, JobSubmission& out) {
  read_name(in, "name", out.name);
  in.optional("type", out.type);
  if (in.ok() && !is_id(out.type)) {
    in.reject("type", fmt::format("'{}' is no job type: blender, noop, openjd or the name of a job type is "
                                  "expected",
                                  clip(to_utf8(out.type), max_name_bytes)));
  }
  const bool has_frames = out.type == "blender" || out.type == "noop";
  if (has_frames) in.required("frames", out.frames, FrameSet::max_text);
  if (in.member("template", out.type == "openjd") != nullptr)
    read_object(in, "template", true, out.job_template.emplace(), read_template);
  if (in.ok() && out.job_template && out.type != "openjd")
    in.reject("template", "it goes with type openjd alone");
  read_items(in, "environments", max_environments, out.environments, read_template);
  read_parameters(in, out.parameters);
  read_items(in, "frame_by_frame", max_dependencies, out.frame_by_frame,
             [](JsonReader& item, FrameByFrame& pair) {
               item.required("step", pair.step);
               item.required("on", pair.on);
             });
  read_wishes(in, out);
  in.optional("chunk", out.chunk, max_chunk);
  if (in.ok() && out.chunk == 0)
    in.reject("chunk", fmt::format("1 to {} frames a task are expected", max_chunk));
  in.optional("priority", out.priority, 0, 100);
  in.optional("paused", out.paused);
  if (in.member("retries", false) != nullptr) in.optional("retries", out.retries.emplace(), max_retries);
  if (in.member("fail_pct", false) != nullptr) in.optional("fail_pct", out.fail_pct.emplace(), 100);
  if (in.ok() && out.fail_pct == 0U) in.reject("fail_pct", "1 to 100 percent of the tasks are expected");
  read_options(in, out.options);
  if (!in.ok()) return;
  if (has_frames) {
    if (auto frames = FrameSet::parse(out.frames); !frames) return in.reject("frames", frames.error());
  }
  read_object(in, "manifest", out.type == "blender", out.manifest, read_manifest);
  if (in.ok()) check_scene(in, out);
}

void read_file(JsonReader& in, ResultFile& out) {
  in.required("frame", out.frame, -FrameSet::max_frame, FrameSet::max_frame);
  read_path(in, "path", out.path);
  read_digest(in, "digest", out.digest);
  in.required("size", out.size);
  in.required("width", out.width);
  in.required("height", out.height);
  read_amount(in, "seconds", out.seconds);
  std::string blank;
  in.optional("blank", blank);
  out.blank = parse_blank(blank);
}

void read_failure(JsonReader& in, Failure& out) {
  std::string scope = "attempt";
  in.required("code", out.code);
  in.optional("message", out.message, max_text_bytes);
  in.optional("scope", scope);
  if (in.ok() && !is_id(out.code)) in.reject("code", "1 to 32 of a-z, 0-9 and - are expected");
  if (in.ok() && scope != "attempt" && scope != "job") in.reject("scope", "attempt or job is expected");
  out.scope = scope == "job" ? FailureScope::job : FailureScope::attempt;
}

void read_report(JsonReader& in, ResultReport& out) {
  read_id(in, "node", out.node);
  in.required("ok", out.ok);
  read_items(in, "files", max_result_files, out.files, read_file);
  read_strings(in, "warnings", max_warnings, max_text_bytes, out.warnings);
  read_amount(in, "seconds", out.seconds);
  read_object(in, "failure", !out.ok, out.failure, read_failure);
  if (!in.ok()) return;
  std::vector<std::string_view> paths;
  for (const auto& file : out.files) paths.emplace_back(file.path);
  std::sort(paths.begin(), paths.end());
  const auto twice = std::adjacent_find(paths.begin(), paths.end());
  if (twice != paths.end()) in.reject("files", fmt::format("'{}' stands twice", *twice));
}

}  // namespace

bool is_safe_path(std::string_view path) {
  if (path.empty() || path.size() > max_path_bytes || !is_one_line(path)) return false;
  if (path.find('\\') != std::string_view::npos) return false;
  for (std::size_t begin = 0; begin <= path.size();) {
    const auto end = std::min(path.find('/', begin), path.size());
    const auto segment = path.substr(begin, end - begin);
    if (segment.empty() || segment == "." || segment == ".." || segment.size() > max_segment_bytes)
      return false;
    begin = end + 1;
  }
  return true;
}

// Written by hand, element by element: this text is hashed, so its form must never depend on a printer's
// taste.
std::string encode(const Manifest& manifest) {
  std::vector<const ManifestFile*> files;
  for (const auto& file : manifest.files) files.push_back(&file);
  std::sort(files.begin(), files.end(), [](auto* a, auto* b) { return a->path < b->path; });
  std::vector<const PathMapping*> mappings;
  for (const auto& mapping : manifest.mappings) mappings.push_back(&mapping);
  std::sort(mappings.begin(), mappings.end(), [](auto* a, auto* b) { return a->from < b->from; });

  std::string text = R"({"files":[)";
  for (const auto* file : files) {
    if (text.back() != '[') text += ',';
    text += to_json(*file).dump();
  }
  text += R"(],"mappings":[)";
  for (const auto* mapping : mappings) {
    if (text.back() != '[') text += ',';
    text += Json::object({{"from", mapping->from}, {"to", mapping->to}}).dump();
  }
  text += "]}";
  return text;
}

Result<Manifest> decode_manifest(std::string_view text) {
  return decode_text<Manifest>(text, "manifest", read_manifest, manifest_limits);
}

std::string encode(const JobSubmission& job) {
  Json json{Json::Object()};
  set_some(json, "name", name_text(job.name));
  json.set("type", job.type);
  set_some(json, "frames", job.frames);
  json.set("chunk", job.chunk);
  json.set("priority", job.priority);
  if (job.job_template) json.set("template", to_json(*job.job_template));
  set_list(json, "environments", job.environments, [](const auto& one) { return to_json(one); });
  if (!job.parameters.empty()) json.set("parameters", to_json(job.parameters));
  set_list(json, "frame_by_frame", job.frame_by_frame, [](const auto& pair) {
    return Json::object({{"step", pair.step}, {"on", pair.on}});
  });
  set_some(json, "project", name_text(job.production.project));
  set_some(json, "sequence", name_text(job.production.sequence));
  set_some(json, "shot", name_text(job.production.shot));
  set_list(json, "tags", job.tags, as_text);
  set_some(json, "renderer", job.renderer);
  if (job.slot_limit != 0) json.set("slot_limit", job.slot_limit);
  if (job.node_limit != 0) json.set("node_limit", job.node_limit);
  set_list(json, "limits", job.limits, [](const auto& use) {
    return Json::object({{"name", use.name}, {"count", use.count}});
  });
  set_list(json, "after", job.after, as_text);
  if (job.start_ms != 0) json.set("start_ms", job.start_ms);
  if (job.paused) json.set("paused", true);
  if (job.retries) json.set("retries", *job.retries);
  if (job.fail_pct) json.set("fail_pct", *job.fail_pct);
  json.set("options", to_json(job.options));
  std::string text = json.dump();
  text.pop_back();
  return text + R"(,"manifest":)" + encode(job.manifest) + "}";
}

std::string encode(const JobDocument& document) {
  Json json = Json::object({{"template", to_json(document.job_template)}});
  set_list(json, "environments", document.environments, [](const auto& one) { return to_json(one); });
  json.set("parameters", to_json(document.parameters));
  return json.dump();
}

Result<JobDocument> decode_job_document(std::string_view text) {
  return decode_text<JobDocument>(
      text, "job document",
      [](JsonReader& in, JobDocument& out) {
        read_object(in, "template", true, out.job_template, read_template);
        read_items(in, "environments", max_environments, out.environments, read_template);
        read_parameters(in, out.parameters);
      },
      document_limits);
}

Result<JobSubmission> decode_job_submission(const Json& body) {
  return decode_object<JobSubmission>(body, "job", read_submission);
}
Result<JobSubmission> decode_job_submission(std::string_view text) {
  return decode_text<JobSubmission>(text, "job", read_submission, manifest_limits);
}

Json to_json(const ResultFile& file) {
  Json json = Json::object({{"frame", file.frame},
                            {"path", file.path},
                            {"digest", file.digest},
                            {"size", file.size},
                            {"width", file.width},
                            {"height", file.height},
                            {"seconds", file.seconds}});
  set_some(json, "blank", std::string(to_string(file.blank)));
  return json;
}

Json to_json(const Failure& failure) {
  return Json::object({{"code", failure.code},
                       {"message", sentence(failure.message)},
                       {"scope", failure.scope == FailureScope::job ? "job" : "attempt"}});
}

std::string encode(const ResultReport& report) {
  Json json = Json::object({{"node", report.node.str()}, {"ok", report.ok}});
  if (!report.files.empty()) {
    Json files;
    for (const auto& file : report.files) files.push(to_json(file));
    json.set("files", std::move(files));
  }
  if (!report.ok) json.set("failure", to_json(report.failure));
  if (!report.warnings.empty()) {
    Json warnings;
    for (std::size_t i = 0; i < std::min(report.warnings.size(), max_warnings); ++i) {
      warnings.push(sentence(report.warnings[i]));
    }
    json.set("warnings", std::move(warnings));
  }
  json.set("seconds", report.seconds);
  return json.dump();
}

Result<ResultReport> decode_result_report(std::string_view text) {
  return decode_text<ResultReport>(text, "result", read_report, result_limits);
}

std::string_view to_string(Blank blank) {
  switch (blank) {
    case Blank::no:
      return "";
    case Blank::black:
      return "black";
    case Blank::transparent:
      return "transparent";
  }
  return "";
}

Blank parse_blank(std::string_view text) {
  for (const auto blank : {Blank::black, Blank::transparent}) {
    if (text == to_string(blank)) return blank;
  }
  return Blank::no;
}

std::string_view to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::accepted:
      return "accepted";
    case Verdict::duplicate:
      return "duplicate";
    case Verdict::superseded:
      return "superseded";
  }
  return "superseded";
}

}  // namespace kiln::payloads
