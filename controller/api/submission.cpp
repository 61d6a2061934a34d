#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <set>
#include <vector>

#include "api/actions.h"
#include "compiler/blend_file.h"
#include "compiler/compile.h"

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

// A box that just came looks for its renderers for some seconds before it introduces itself.
bool is_still_looking(const scheduler::NodeRow& node) {
  return node.info.agent_version.empty();
}

Status check_renderer(const std::vector<scheduler::NodeRow>& nodes, const std::string& renderer) {
  if (renderer == nothing_rendered || nodes.empty() || !installed(nodes, renderer).empty()) return {};
  if (std::any_of(nodes.begin(), nodes.end(), is_still_looking)) return {};
  return fail(Code::invalid,
              fmt::format("no node has {0}: install {0} on a node (on Debian: apt install {0}) and restart "
                          "its kiln-agent, then submit again",
                          renderer));
}

// Where none has a GPU the job would wait for ever, without a word.
Status check_device(const std::vector<scheduler::NodeRow>& nodes, const compiler::CompiledJob& job) {
  if (job.options.device != payloads::Device::gpu || job.renderer == nothing_rendered || nodes.empty())
    return {};
  const auto could = [&](const scheduler::NodeRow& node) {
    const auto& renderers = node.info.renderers;
    return is_still_looking(node) ||
           (!node.info.gpus.empty() && std::any_of(renderers.begin(), renderers.end(), [&](const auto& one) {
             return one.name == job.renderer;
           }));
  };
  if (std::any_of(nodes.begin(), nodes.end(), could)) return {};
  return fail(
      Code::invalid,
      fmt::format("options.device: the job asks for a GPU, and none of the farm's nodes with {} has one: "
                  "leave it out to render on their CPUs, or add a box with a GPU and its driver",
                  job.renderer));
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

Status check_scene(Storage& storage, const std::vector<scheduler::NodeRow>& nodes,
                   const payloads::JobSubmission& submission) {
  const auto& files = submission.manifest.files;
  const std::string& path = submission.options.scene_file;
  const auto file =
      std::find_if(files.begin(), files.end(), [&](const auto& one) { return one.path == path; });
  KILN_ASSERT(file != files.end());  // compile() looked
  const std::string name = path.substr(path.rfind('/') + 1);
  auto scene = read_scene(storage, file->digest);
  if (!scene) return fail(std::move(scene.error()).with(name));

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

}  // namespace

Result<Submitted> submit_job(Api& api, const std::string& user, const std::string& cid,
                             const payloads::JobSubmission& submission) {
  auto compiled = compiler::compile(submission);
  if (!compiled) return fail(std::move(compiled.error()));
  const auto nodes = api.reader.nodes();
  if (!nodes) return fail(nodes.error());
  if (auto checked = check_renderer(*nodes, compiled->renderer); !checked)
    return fail(std::move(checked.error()));
  if (auto checked = check_device(*nodes, *compiled); !checked) return fail(std::move(checked.error()));

  scheduler::JobSpec spec;
  spec.name = std::move(compiled->name);
  spec.renderer = std::move(compiled->renderer);
  spec.frames = std::move(compiled->frames);
  spec.chunk = compiled->chunk;
  spec.options = std::move(compiled->options);
  spec.retries = compiled->retries;
  spec.fail_pct = compiled->fail_pct;
  if (spec.renderer != nothing_rendered) {
    if (auto checked = check_files(api.storage, submission.manifest); !checked)
      return fail(std::move(checked.error()));
    if (auto checked = check_scene(api.storage, *nodes, submission); !checked)
      return fail(std::move(checked.error()));
    auto manifest = api.storage.put_text(payloads::encode(submission.manifest));
    if (!manifest) return fail(std::move(manifest.error()).with("storing the manifest"));
    spec.manifest = std::move(*manifest);
  }

  auto answer = api.farm.ask([&](scheduler::RequestId request) {
    return scheduler::SubmitJob{request, spec, submission.priority, submission.paused,
                                user,    cid,  api.random()};
  });
  if (!answer) return fail(std::move(answer.error()));
  const auto* accepted = std::get_if<scheduler::JobAccepted>(&*answer);
  KILN_ASSERT(accepted != nullptr);
  auto job = api.reader.job(accepted->job.str());
  if (!job) return fail(std::move(job.error()));
  return Submitted{std::move(*job), accepted->duplicate};
}

}  // namespace kiln::api
