#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <set>
#include <vector>

#include "api/actions.h"
#include "api/routes.h"
#include "compiler/blend_file.h"
#include "compiler/compile.h"
#include "compiler/feasible.h"
#include "compiler/renderers.h"

namespace kiln::api {

namespace {

constexpr std::size_t names_shown = 5;  // of missing files: enough to see which, short enough for a line
constexpr std::string_view nothing_rendered = "noop";  // every agent does it, so that nobody lists it

// "3.4.1" as numbers, to find the newest; what is no number ends it.
std::vector<unsigned> numbers(std::string_view version) {
  std::vector<unsigned> out;
  for (const char* at = version.data(); at < version.data() + version.size(); ++at) {
    unsigned number = 0;
    const auto [end, error] = std::from_chars(at, version.data() + version.size(), number);
    if (error != std::errc{}) break;
    out.push_back(number);
    at = end;
    if (at < version.data() + version.size() && *at != '.') break;
  }
  return out;
}

struct Installed {
  std::string node;
  std::string version;
};

std::vector<Installed> installed(const std::vector<scheduler::NodeRow>& nodes, std::string_view renderer) {
  std::vector<Installed> out;
  for (const auto& node : nodes) {
    for (const auto& one : node.info.renderers) {
      if (one.name == renderer)
        out.push_back({node.info.name.empty() ? node.id.str() : node.info.name, one.version});
    }
  }
  return out;
}

Status check_files(Storage& storage, const payloads::Manifest& manifest) {
  std::set<std::string> missing;
  std::string named;
  for (const auto& file : manifest.files) {
    const auto size = storage.blob_size(file.digest);
    if (!size) {
      if (missing.insert(file.digest).second && missing.size() <= names_shown) {
        named += fmt::format("{}{} ({})", named.empty() ? "" : ", ", file.digest, file.path);
      }
    } else if (*size != file.size) {
      return fail(Code::invalid,
                  fmt::format("manifest: {} has {} bytes here, not {}: did it change while it was read? "
                              "Submit it again",
                              file.path, *size, file.size));
    }
  }
  if (missing.empty()) return {};
  const std::string more = missing.size() > names_shown
                               ? fmt::format(" and {} more", missing.size() - names_shown)
                               : std::string();
  return fail(Code::invalid, fmt::format("upload these first: {}{}", named, more));
}

Result<compiler::BlendFile> read_scene(Storage& storage, const std::string& digest) {
  auto blob = storage.open_blob(digest);
  if (!blob) return fail(std::move(blob.error()));
  std::uint64_t offset = 0;
  bool is_readable = true;
  auto scene = compiler::inspect([&](std::span<char> out) -> std::size_t {
    ssize_t count = -1;
    do {
      count = ::pread(blob->file.fd.get(), out.data(), out.size(), static_cast<off_t>(offset));
    } while (count < 0 && errno == EINTR);
    is_readable = is_readable && count >= 0;
    if (count <= 0) return 0;
    offset += static_cast<std::uint64_t>(count);
    return static_cast<std::size_t>(count);
  });
  if (!is_readable) return fail(Code::io, "the controller's disk cannot be read; its log says more");
  return scene;
}

// `bundle`: what renders it; without a name what is installed on the nodes does.
Status check_scene(Storage& storage, const std::vector<scheduler::NodeRow>& nodes,
                   const payloads::Bundle& bundle, const payloads::JobSubmission& submission) {
  const auto& files = submission.manifest.files;
  const std::string& path = submission.options.scene_file;
  const auto file =
      std::find_if(files.begin(), files.end(), [&](const auto& one) { return one.path == path; });
  KILN_ASSERT(file != files.end());  // compile() looked
  const std::string name = path.substr(path.rfind('/') + 1);
  auto scene = read_scene(storage, file->digest);
  if (!scene) return fail(std::move(scene.error()).with(name));

  if (!bundle.name.empty()) {
    if (compiler::can_open(bundle.version, *scene)) return {};
    return fail(Code::invalid,
                fmt::format("{} was saved by Blender {}, which {} does not open: name a newer renderer", name,
                            scene->version(), bundle.name));
  }
  const auto blenders = installed(nodes, "blender");
  const auto opens = [&](const Installed& one) { return compiler::can_open(one.version, *scene); };
  if (blenders.empty() || std::any_of(blenders.begin(), blenders.end(), opens)) return {};
  const auto newest = std::max_element(
      blenders.begin(), blenders.end(),
      [](const Installed& a, const Installed& b) { return numbers(a.version) < numbers(b.version); });
  const auto digits = numbers(newest->version);
  return fail(
      Code::invalid,
      fmt::format(
          "{} was saved by Blender {}; the newest on this farm is {} on {}: install {} there or save the "
          "scene as {}",
          name, scene->version(), newest->version, newest->node, scene->version(),
          digits.size() >= 2 ? fmt::format("{}.{}", digits[0], digits[1]) : newest->version));
}

// The numbers of the jobs that these ids and numbers name, each once.
compiler::Accepted<std::vector<std::uint64_t>> known_jobs(Api& api, const std::vector<std::string>& names) {
  std::set<std::uint64_t> numbers;
  std::vector<compiler::Problem> problems;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto job = api.reader.job(names[i]);
    if (job) {
      numbers.insert(job->number);
    } else if (job.error().code == Code::not_found || job.error().code == Code::invalid) {
      problems.push_back({fmt::format("after[{}]", i), job.error().message});
    } else {
      return tl::make_unexpected(compiler::Refusal(job.error()));
    }
  }
  if (!problems.empty()) return tl::make_unexpected(compiler::Refusal(Code::invalid, std::move(problems)));
  return std::vector<std::uint64_t>(numbers.begin(), numbers.end());
}

}  // namespace

compiler::Accepted<Submitted> submit_job(Api& api, const std::string& user, const std::string& cid,
                                         const payloads::JobSubmission& submission) {
  const auto refuse = [](Error error) { return tl::make_unexpected(compiler::Refusal(error)); };
  auto compiled = compiler::compile(submission, job_types(api));
  if (!compiled) return tl::make_unexpected(std::move(compiled.error()));
  const auto nodes = api.reader.nodes();
  if (!nodes) return refuse(nodes.error());
  const auto renderers = api.reader.renderers();
  if (!renderers) return refuse(renderers.error());
  auto unknown = compiler::choose_renderers(*compiled, submission.renderer, *renderers, *nodes);
  if (!unknown.empty()) return tl::make_unexpected(compiler::Refusal(Code::invalid, std::move(unknown)));
  if (auto problems = compiler::impossible(*compiled, *nodes); !problems.empty())
    return tl::make_unexpected(compiler::Refusal(Code::invalid, std::move(problems)));
  auto after = known_jobs(api, submission.after);
  if (!after) return tl::make_unexpected(std::move(after.error()));

  auto& spec = compiled->spec;
  if (spec.renderer != nothing_rendered && !submission.manifest.files.empty()) {
    if (auto checked = check_files(api.storage, submission.manifest); !checked)
      return refuse(std::move(checked.error()));
  }
  if (spec.renderer == "blender") {
    if (auto checked = check_scene(api.storage, *nodes, spec.bundle, submission); !checked)
      return refuse(std::move(checked.error()));
  }
  if (spec.renderer != nothing_rendered && !submission.manifest.files.empty()) {
    auto manifest = api.storage.put_text(payloads::encode(submission.manifest));
    if (!manifest) return refuse(std::move(manifest.error()).with("storing the manifest"));
    spec.manifest = std::move(*manifest);
  }
  if (!compiled->document.empty()) {
    auto document = api.storage.put_text(compiled->document);
    if (!document) return refuse(std::move(document.error()).with("storing the template"));
    spec.document = std::move(*document);
  }
  auto wishes = std::move(compiled->wishes);
  wishes.after = std::move(*after);

  auto answer = api.farm.ask([&](scheduler::RequestId request) {
    return scheduler::SubmitJob{request, spec, submission.priority, submission.paused,
                                user,    cid,  api.random(),        wishes};
  });
  if (!answer) return refuse(std::move(answer.error()));
  const auto* accepted = std::get_if<scheduler::JobAccepted>(&*answer);
  KILN_ASSERT(accepted != nullptr);
  auto job = api.reader.job(accepted->job.str());
  if (!job) return refuse(std::move(job.error()));
  return Submitted{std::move(*job), accepted->duplicate};
}

}  // namespace kiln::api
