#include "fuzz.h"

#include <functional>
#include <string>
#include <unordered_set>

#include "base/text.h"

namespace kiln::fuzz {

namespace {

constexpr std::size_t longest_refusal = 2'000;  // a screenful; a log line must not be at a stranger's mercy

std::unordered_set<std::size_t>& noticed() {
  static std::unordered_set<std::size_t> all;
  return all;
}
bool is_new = false;

std::string shape_of(std::string_view said) {
  std::string shape;
  char quote = '\0';
  for (const char c : said) {
    if (quote != '\0') {
      if (c == quote) quote = '\0';
    } else if (c == '\'' || c == '"') {
      quote = c;
      shape += c;
    } else if (c < '0' || c > '9') {
      shape += c;
    }
  }
  return shape;
}

}  // namespace

void notice(std::string_view said) {
  if (noticed().insert(std::hash<std::string>()(shape_of(said))).second) is_new = true;
}

bool was_new() {
  const bool was = is_new;
  is_new = false;
  return was;
}

void check_sentence(const Error& error) {
  notice(error.message);
  KILN_ASSERT(!error.message.empty());
  KILN_ASSERT(error.message.size() <= longest_refusal);
  KILN_ASSERT(is_one_line(error.message));
}

}  // namespace kiln::fuzz
