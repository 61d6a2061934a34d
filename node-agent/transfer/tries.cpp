#include "transfer/tries.h"

#include <algorithm>
#include <system_error>

namespace kiln::transfer {

using std::chrono::milliseconds;

std::uint64_t size_on_disk(const std::filesystem::path& file) {
  std::error_code error;
  const auto size = std::filesystem::file_size(file, error);
  return error ? 0 : size;
}

bool is_worth_another_try(int http_status) {
  return http_status >= 500 || http_status == 401 || http_status == 408 || http_status == 429;
}

tl::unexpected<Error> not_wanted() {
  return fail(Code::timeout, "cancelled");
}

bool doze(std::condition_variable& changed, std::unique_lock<std::mutex>& lock, milliseconds time,
          const Cancelled& cancelled) {
  changed.wait_for(lock, time);
  lock.unlock();
  const bool is_over = cancelled();
  lock.lock();
  return !is_over;
}

Status wait_for_next_try(std::int64_t wait_ms, std::condition_variable& changed, std::mutex& mutex,
                         const std::uint64_t& url_changes, const Cancelled& cancelled) {
  const auto until = std::chrono::steady_clock::now() + milliseconds(wait_ms);
  std::unique_lock lock(mutex);
  const auto seen = url_changes;
  while (url_changes == seen) {
    const auto left = std::chrono::ceil<milliseconds>(until - std::chrono::steady_clock::now());
    if (left.count() <= 0) break;
    if (!doze(changed, lock, std::min(left, cancel_poll), cancelled)) return not_wanted();
  }
  return {};
}

}  // namespace kiln::transfer
