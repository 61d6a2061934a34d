// Reads the fields of the controller's answers leniently: an absent or odd one shows as nothing, it does not
// stop the program, since the controller may be newer or older.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"

namespace kiln::cli {

std::string text_of(const Json& json, std::string_view key);  // "" when absent
double number_of(const Json& json, std::string_view key);     // 0 when absent
std::optional<double> maybe_number(const Json& json, std::string_view key);
std::int64_t integer_of(const Json& json, std::string_view key);
bool flag_of(const Json& json, std::string_view key);
const Json& member_of(const Json& json, std::string_view key);        // null when absent
const Json::Array& array_of(const Json& json, std::string_view key);  // empty when absent

// Texts or numbers of a list with commas between; `otherwise` for none.
std::string joined(const Json& json, std::string_view key, std::string_view otherwise = "");

// A job's counts of tasks.
struct Counts {
  std::int64_t queued = 0, running = 0, done = 0, failed = 0, cancelled = 0;
  [[nodiscard]] std::int64_t total() const { return queued + running + done + failed + cancelled; }
};
Counts counts_of(const Json& job);
// done, failed or cancelled: nothing more comes.
bool is_over(const Json& job);
// "7 'kiln'": how messages name a job.
std::string job_label(const Json& job);

}  // namespace kiln::cli
