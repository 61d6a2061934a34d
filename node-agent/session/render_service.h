// Serves the `kiln-resident` commands of a slot's session with the slot's Blender, while an action runs.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "runtime/event_fd.h"
#include "runtime/fd.h"
#include "session/blender.h"
#include "session/outputs.h"
#include "session/runner.h"
#include "session/stop.h"

namespace kiln::session {

class RenderService {
 public:
  // Listens at once; commands wait until somebody serves. Errors: io.
  // confines: outputs must lie below it; "": they may lie anywhere.
  static Result<std::unique_ptr<RenderService>> create(std::filesystem::path socket, Blender& blender,
                                                       std::filesystem::path confines = {});
  ~RenderService();
  RenderService(const RenderService&) = delete;

  // Whose commands they are.
  struct Task {
    std::string manifest;  // of the tree, "" for none
    JobTree tree;
    std::filesystem::path output;  // files stored below it are told of
    std::int64_t hang_ms = -1;     // see BlenderWork
  };
  // What came of the commands of one action.
  struct Account {
    std::map<std::string, KnownFile> files;  // by their path below Task::output
    std::vector<std::string> warnings;
    std::optional<payloads::Failure> failure;  // of the last command, when it failed
  };
  // Between the two the Blender belongs to this object's thread. finish() ends what is still rendering.
  void begin(Task task);
  Account finish();

 private:
  RenderService(std::filesystem::path socket, runtime::Fd listener, Blender& blender,
                std::filesystem::path confines)
      : socket_(std::move(socket)),
        listener_(std::move(listener)),
        blender_(blender),
        confines_(std::move(confines)) {}
  void serve();
  void answer(runtime::Fd connection);
  [[nodiscard]] std::optional<std::string> read_request(int connection) const;
  Step<void> render(int connection, const std::string& text);
  void take(const BlenderWork& work);

  const std::filesystem::path socket_;
  const runtime::Fd listener_;
  Blender& blender_;
  const std::filesystem::path confines_;
  runtime::EventFd stop_;
  Task task_;
  Account account_;
  std::thread thread_;
};

}  // namespace kiln::session
