// An image's way onto this box, beside the rendering: a thread of its own that downloads, asks root, and
// reads along.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/result.h"
#include "payloads/messages.h"
#include "update/steps.h"

namespace kiln::update {

// Where the box's programs leave word for each other (box/facts.h has root's side of it).
struct Places {
  std::filesystem::path image = "/usr/lib/kiln/image";  // KILN_IMAGE_VERSION=…; absent: no flashed box
  std::filesystem::path run = "/run/kiln";  // root's words: install.json, health.json, problems.json
  std::filesystem::path requests = "/run/kiln-agent";  // ours: install.json, reboot, suspend
  std::filesystem::path data = "/data/kiln";           // root's: last-update.json, failed-boots/<boot>.log
  std::filesystem::path boot_id = "/proc/sys/kernel/random/boot_id";
};

// The version of the image that runs here, as `kiln image list` shows it; "" where there is none.
std::string image_version(const Places& places);
// Leaves a request for root: "reboot" or "suspend". Errors: those of writing the file.
Status request(const Places& places, const std::string& what);

// Called on the updater's thread, and by restarting() and stays_up() on their callers'.
struct Handlers {
  // Fetches the offer's bundle into the file, going on behind what it holds, and checks it. `progress`: bytes
  // held, and what keeps it waiting ("" = nothing). Errors: the update fails with them; none that the network
  // passes.
  std::function<Status(const payloads::UpdateImage& offer, const std::filesystem::path& file,
                       const std::function<bool()>& cancelled,
                       const std::function<void(std::uint64_t held, const std::string& trouble)>& progress)>
      fetch;
  std::function<void(const payloads::NodeUpdate&)> on_change;  // also once at the start
  // Delivers what a boot that failed has logged. An error: it is tried again later.
  std::function<Status(const std::string& boot, std::string_view log)> deliver;
};

class Updater {
 public:
  // `folder`: ours, for the bundle and what is remembered; below the agent's data, where root looks for
  // bundles.
  Updater(std::filesystem::path folder, Places places, Handlers handlers);
  ~Updater();  // a download is left where it is
  Updater(const Updater&) = delete;
  Updater& operator=(const Updater&) = delete;

  // From any thread; they do not wait.
  void offer(payloads::UpdateImage offer);
  void withdraw(std::uint64_t rollout);
  // The box goes down now; it did not after all.
  void restarting();
  void stays_up();

 private:
  void run();
  // False: the end was asked for.
  bool take_orders(std::chrono::milliseconds wait);
  void round();
  void download(const payloads::UpdateImage& offer);
  void ask(const Seen& before);
  void tidy() const;
  void deliver_boot_logs() const;
  [[nodiscard]] Seen see() const;
  [[nodiscard]] std::uint64_t bytes_held(const payloads::UpdateImage& offer) const;
  // Applies `make` to the record, keeps it if it is another then, and tells.
  Next change(const std::function<Next(Record)>& make, const std::string& trouble = {});

  const std::filesystem::path folder_;
  const Places places_;
  const Handlers handlers_;

  std::mutex mutex_;  // of the orders
  std::condition_variable changed_;
  std::vector<std::function<Record(Record)>> orders_;
  bool is_stopping_ = false;

  std::mutex record_mutex_;  // of what follows; held while it is kept and told
  Record record_;
  std::optional<payloads::NodeUpdate> told_;
  std::thread thread_;
};

}  // namespace kiln::update
