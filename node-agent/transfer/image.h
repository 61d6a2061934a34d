// An update's bundle on its way to this box: gigabytes, over hours if need be, beside the rendering.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/result.h"
#include "payloads/messages.h"
#include "runtime/http_client.h"

namespace kiln::transfer {

class ImageFetcher {
 public:
  // The controller and whom to trust; "" = not known yet. From any thread.
  void set_url(const std::string& url, runtime::HttpTrust trust);

  // One try at bringing the controller what a boot of this node logged that failed; at most 4 MiB. Errors:
  // unavailable without a controller, what it refuses, the network.
  Status deliver_boot_log(const NodeId& node, const std::string& boot, std::string_view log);

  // Fetches the offer's bundle into `file`, going on behind what the file holds; complete, right and synced
  // when it returns. What the network does wrong is tried again for ever, a content that is wrong some times.
  // `progress`, at most about once a second: bytes held, and what keeps it waiting ("" = nothing). Errors:
  // timeout when cancelled, which leaves what was fetched; not_found when the controller has the image no
  // longer; io for a wrong content and a disk that refuses; full.
  Status fetch(const payloads::UpdateImage& offer, const std::filesystem::path& file,
               const std::function<bool()>& cancelled,
               const std::function<void(std::uint64_t held, const std::string& trouble)>& progress);

 private:
  struct Try {
    Status status;
    bool is_final = false;
  };
  Try try_once(const payloads::UpdateImage& offer, const std::filesystem::path& file,
               const std::function<bool()>& cancelled, const std::function<void(std::uint64_t)>& progress);

  std::mutex mutex_;
  std::string url_;
  runtime::HttpTrust trust_;
};

}  // namespace kiln::transfer
