// What all that is fetched over hours has in common: when to try again, and how to wait for that.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <mutex>

#include "base/result.h"

namespace kiln::transfer {

using Cancelled = std::function<bool()>;

inline constexpr std::chrono::milliseconds cancel_poll{
    100};                                   // how often a wait asks whether it is still wanted
inline constexpr int max_bad_contents = 3;  // a content that is wrong this often is wrong at its source
inline constexpr int max_io_failures =
    5;  // in a row without a byte gained: the box's own disk, not the network

std::uint64_t size_on_disk(const std::filesystem::path& file);  // bytes; 0 where there is none

// Whether the same request may be answered otherwise later. 401 is: this box gets new credentials as soon as
// the controller lets it in (again).
bool is_worth_another_try(int http_status);

tl::unexpected<Error> not_wanted();  // timeout: cancelled

// Waits for a change, shortly. False: cancelled, which is asked without the lock, since it is the caller's
// business.
bool doze(std::condition_variable& changed, std::unique_lock<std::mutex>& lock,
          std::chrono::milliseconds time, const Cancelled& cancelled);

// Waits so long before the next try, or until `url_changes`, which the mutex guards and `changed` tells of,
// is another. Errors: timeout when cancelled.
Status wait_for_next_try(std::int64_t wait_ms, std::condition_variable& changed, std::mutex& mutex,
                         const std::uint64_t& url_changes, const Cancelled& cancelled);

}  // namespace kiln::transfer
