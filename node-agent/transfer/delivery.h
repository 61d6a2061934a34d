// Finished attempts on their way to the controller: journalled on disk before anything is said about them,
// uploaded and committed until the controller has given its verdict, across restarts of this box.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "payloads/http_bodies.h"
#include "runtime/http_client.h"

namespace kiln::transfer {

struct Delivered {
  TaskId task;
  std::uint32_t attempt = 0;
  payloads::Verdict verdict = payloads::Verdict::accepted;
  std::string kept = {};  // not "": there is no verdict, and this is why it stays in the journal
};

class Delivery {
 public:
  // folder: the journal; entries found there are taken up again, once set_url said where to. on_delivered:
  // from a delivery thread, once an attempt, though again after a crash. An attempt that the controller
  // refuses for good is told as superseded and kept in <folder>/refused with the reason. One that the farm at
  // the address cannot judge (it is another farm, or does not know the job) is told as kept, tried again now
  // and then, and told once more when there is a verdict after all. farm: see set_farm.
  Delivery(std::filesystem::path folder, std::function<void(const Delivered&)> on_delivered,
           std::string farm = {});
  ~Delivery();  // stops uploading; what is undelivered stays in the journal
  // The controller's base, "https://host:port", which may change; whom to trust there does not. Also pokes.
  void set_url(const std::string& url, runtime::HttpTrust trust = {});
  // The farm that the controller runs now, "" for unknown; another one also pokes.
  void set_farm(const std::string& farm);
  // Room is needed: gives up the oldest attempt that is kept without a verdict, and says so in the log.
  // False: there is none. Any thread.
  bool drop_oldest_kept();
  // The controller is there (again): tries at once what waits for its next try.
  void poke();

  struct Item {
    TaskId task;
    std::uint32_t attempt = 0;
  };
  // What was journalled by an earlier run for this farm and has no verdict yet, oldest first: the planner
  // lists these as delivering. Ask before set_url, and none is missed.
  [[nodiscard]] std::vector<Item> pending() const;

  // Journals the attempt (report, log, and the files by moving `folder`), synced, then queues its upload.
  // Returns when it is safe on disk. An attempt that is there already stays as it is, and `folder` goes.
  // farm: that the attempt was made for, "" for unknown. Errors: full, io, and invalid when a file of the
  // report is not in `folder`, which is then left as it was. Any thread.
  Status put(const TaskId& task, std::uint32_t attempt, const payloads::ResultReport& report,
             const std::filesystem::path& folder, const std::string& log, const std::string& farm = {});

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace kiln::transfer
