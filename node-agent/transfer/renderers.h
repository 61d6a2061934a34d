// Renderers of the controller on this box: fetched when a task needs one, verified, unpacked, kept within a
// bound.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "payloads/messages.h"
#include "runtime/http_client.h"

namespace kiln::transfer {

struct Renderer {
  std::filesystem::path folder;      // of it all, read-only
  std::filesystem::path program;     // in that folder
  std::shared_ptr<const void> hold;  // not evicted while a copy of this lives
};

// Thread-safe. `<folder>/<name>-<digest8>` is a renderer, whole; what is not whole has another name and is
// removed at construction, partial downloads excepted, which go on.
class Renderers {
 public:
  // folder: created if missing. max_bytes: of all of it, archives while they are unpacked included; 0: none
  // are fetched. on_change: told from any thread when held() or room_mib() are others.
  Renderers(std::filesystem::path folder, std::uint64_t max_bytes, std::function<void()> on_change = {});
  ~Renderers();
  void set_url(const std::string& url, runtime::HttpTrust trust = {});

  // Fetches it unless it is here; two callers of one share the work. Waits for the network until cancelled.
  // Errors: timeout when cancelled; not_found when the controller does not have it any more; invalid when the
  // archive cannot be unpacked; full where it does not fit, saying into what; unavailable when three times in
  // a row another content arrived; io.
  Result<Renderer> fetch(const payloads::Bundle& bundle, const std::function<bool()>& cancelled);

  // Those here, the one used last first, and those on their way; at most max_bundles.
  [[nodiscard]] std::vector<payloads::HeldBundle> held() const;
  // Room for all of them: the bound, or what the disk leaves of it; in steps, so that it seldom changes.
  [[nodiscard]] std::uint64_t room_mib() const;

 private:
  struct State;
  std::shared_ptr<State> state_;  // claims outlive this object
};

}  // namespace kiln::transfer
