// Both daemons' settings files, and the addresses in them.
#include "node-agent/daemon/config.h"

#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "controller/daemon/config.h"
#include "fuzz.h"

using namespace kiln;  // NOLINT(google-build-using-namespace)

namespace {

// A file of that content without a disk.
class File {
 public:
  explicit File(std::string_view content) : fd_(::memfd_create("settings", MFD_CLOEXEC)) {
    KILN_ASSERT(fd_ >= 0);
    KILN_ASSERT(::write(fd_, content.data(), content.size()) == static_cast<ssize_t>(content.size()));
  }
  ~File() { ::close(fd_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  [[nodiscard]] std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto input = fuzz::text_of(data, size);
  const File file(input);
  controller::Config controller;
  if (const auto read = controller::read_file(file.path(), controller)) {
    KILN_ASSERT(controller.grace_s >= 1 && controller.max_failures >= 1 && controller.min_free_mib >= 1);
    KILN_ASSERT(!controller.http.host.empty());
    fuzz::notice("controller fine");
  } else {
    fuzz::check_sentence(read.error());
  }
  agent::Config agent;
  if (const auto read = agent::read_file(file.path(), agent)) {
    KILN_ASSERT(agent::parse_controller(agent.controller).has_value());
    fuzz::notice("agent fine");
  } else {
    fuzz::check_sentence(read.error());
  }

  const std::string text(input);
  if (const auto endpoint = controller::parse_endpoint(text)) {
    const auto again = controller::parse_endpoint(endpoint->str());
    KILN_ASSERT(again.has_value() && again->str() == endpoint->str());
  } else {
    fuzz::check_sentence(endpoint.error());
  }
  if (const auto endpoint = agent::parse_endpoint(text)) {
    const auto again = agent::parse_endpoint(endpoint->str());
    KILN_ASSERT(again.has_value() && *again == *endpoint);
  } else {
    fuzz::check_sentence(endpoint.error());
  }
  if (const auto url = agent::parse_controller(text)) {
    const auto again = agent::parse_controller(*url);
    KILN_ASSERT(again.has_value() && *again == *url);
    KILN_ASSERT(!agent::host_of(*url).empty());
  } else {
    fuzz::check_sentence(url.error());
  }
  return 0;
}
