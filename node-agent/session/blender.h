// A Blender that stays open with its scene, and what is asked of it: frames of a scene, checked and stored,
// or a script of a template. One thread at a time.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "cage/cage.h"
#include "payloads/http_bodies.h"
#include "payloads/messages.h"
#include "runtime/beneath.h"
#include "runtime/event_fd.h"
#include "session/progress.h"
#include "session/resident.h"
#include "session/runner.h"
#include "session/scene_check.h"
#include "session/stop.h"

namespace kiln::session {

// One order to it: what is wanted, who listens, and what came of it.
struct BlenderWork {
  // The scene: a file of the tree. `identity` says whether it is the one that is open: the tree's manifest,
  // or what identity_of() makes of a file that is in no tree.
  std::string identity;
  JobTree tree;
  payloads::RenderOptions options;
  std::size_t frames = 0;                // how many there will be: for the estimate
  Json settings = Json(Json::Object{});  // of these frames alone; resident/kiln_resident.py names them
  bool looks_for_blank = true;           // whether a picture without a picture is worth a word
  std::filesystem::path output;          // where finished files go, under their result paths
  // The output lies in this folder, which tasks write to; "": in one of ours, or of whoever asks.
  std::filesystem::path confines = {};
  std::int64_t hang_ms = -1;  // below 0: as the configuration says
  std::optional<std::chrono::steady_clock::time_point> until = {};

  // Any of them readable or hung up: look at `cancelled`.
  Resident::Wakes wakes{};
  std::function<bool()> cancelled;
  std::function<void(std::string_view)> on_line;  // for the log
  std::function<void()> on_progress;              // see now()

  // What came of it.
  std::vector<payloads::ResultFile> files;
  std::vector<std::string> warnings;
  void warn(const std::string& text);

  // How far it is.
  std::int32_t frame = 0;
  [[nodiscard]] std::optional<Estimate::Now> now();

  // Blender's own.
  Estimate estimate{0, std::nullopt};
  std::string doing;  // for a crash's message: "rendering frame 7"
  std::vector<std::string> last_words;
  std::chrono::steady_clock::time_point frame_began{};
  std::chrono::steady_clock::time_point told_at{};    // progress
  std::chrono::steady_clock::time_point status_at{};  // a status line in the log
};

// The folder of a work's output, made if need be. Errors: those of Beneath; invalid for one outside of what
// confines it.
Result<runtime::Beneath> output_of(const BlenderWork& work);

// Changes with the file's content, as far as a file system knows.
std::string identity_of(const std::filesystem::path& scene);

class Blender {
 public:
  struct Config {
    std::string program = "blender";
    std::filesystem::path
        folder;  // for its TMPDIR and the frame in work; what its scripts write there is not trusted
    std::filesystem::path program_folder = {};  // for its script, out of its reach; "": `folder`
    std::filesystem::path staging = {};         // for a file that is looked at, likewise; "": below `folder`
    std::filesystem::path scratch;              // exists; asked for the room that is left
    std::uint32_t threads = 0;
    std::uint64_t max_mib = 0;  // see session::Config
    std::int64_t hang_ms = 600'000;
    bool keep_scene_data = true;
    std::vector<std::pair<std::string, std::string>> environment = {};
    std::function<void()> on_change;  // identity() or pid() may be another now
    std::function<Result<std::unique_ptr<cage::Cage>>()> open_cage =
        {};  // where each process runs; none: here
  };
  explicit Blender(Config config) : config_(completed(std::move(config))) {}

  // Starts it unless one runs that may be trusted with this scene; returns at once.
  Step<void> ensure_process(BlenderWork& work);
  // Opens the scene unless it is open. After ensure_process().
  Step<void> ensure_scene(BlenderWork& work);
  Step<void> render_frame(BlenderWork& work, std::int32_t frame);
  // Every file that render_frame() stored, and the folders around them.
  Step<void> sync(BlenderWork& work) const;
  // What it learnt of the scene, for the next ones.
  void note_end(const BlenderWork& work);
  // Runs a Python file inside it, with the scene open if there is one (else an empty one). Nobody knows what
  // it leaves behind: end() it afterwards.
  Step<void> run_script(BlenderWork& work, const std::filesystem::path& script,
                        const std::vector<std::string>& arguments, const std::string& frames);

  // The open scene's; "" for none.
  [[nodiscard]] const std::string& identity() const;
  [[nodiscard]] std::optional<JobTree> tree_of(const std::string& identity) const;
  // Lets the scene's tree go: it will be opened again.
  void forget_scene();
  // Ends it when scripts of another than this scene ran in it: they may still look around.
  void end_if_distrusted(const std::string& identity);
  [[nodiscard]] pid_t pid() const { return resident_ ? resident_->pid() : 0; }
  // While nothing is asked of it: waits until `wake` is set or the time is over; a Blender that ends
  // meanwhile is buried.
  void watch(const runtime::EventFd& wake, std::chrono::milliseconds time);
  // Ends it when it holds more than it may.
  void check_growth();
  void end();

 private:
  static Config completed(Config config);
  using Clock = std::chrono::steady_clock;
  // What is open in the resident.
  struct Scene {
    std::string identity;
    payloads::RenderOptions options;
    JobTree tree;
    std::vector<std::string> warnings;  // of opening it: they hold for every frame
    std::optional<double> frame_s;      // what a frame takes
    std::uint64_t first_task_mib = 0;   // memory after its first task; 0: none yet
  };

  Step<void> ensure_ready(BlenderWork& work);
  Step<void> accept_file(BlenderWork& work, const Json& file, double seconds);
  Step<void> keep_file(BlenderWork& work, const payloads::ResultFile& file) const;
  // Sends the command and waits for its answer; told and logged meanwhile.
  Step<Json> ask(BlenderWork& work, const std::optional<Json>& command);
  void hear_line(BlenderWork& work, std::string_view line);
  static void tell_progress(BlenderWork& work, bool now);
  [[nodiscard]] Stop stop(const Error& error, std::string_view doing) const;
  [[nodiscard]] Stop crash(const BlenderWork& work, const runtime::ExitStatus& status) const;
  [[nodiscard]] std::int64_t hang_ms(const BlenderWork& work) const;
  [[nodiscard]] std::uint64_t limit_mib() const;
  void changed() const;

  const Config config_;
  std::unique_ptr<cage::Cage> cage_;  // of the resident, if it has one
  std::optional<Resident> resident_;
  std::optional<BlenderVersion> version_;  // of the resident, once it is ready
  bool autoexec_ = false;                  // of the resident
  std::optional<Scene> scene_;
};

}  // namespace kiln::session
