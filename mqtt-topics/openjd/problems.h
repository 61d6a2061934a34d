// What is wrong with a template: all of it, each with its path, what is wrong and what is allowed.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

namespace kiln::openjd {

struct Problem {
  std::string path;  // "steps[1].script.actions.onRun.timeout"; "" is the template itself
  std::string message;

  [[nodiscard]] std::string to_text() const { return path.empty() ? message : path + ": " + message; }
  friend bool operator==(const Problem&, const Problem&) = default;
};

class Problems {
 public:
  static constexpr std::size_t max_reported = 100;  // more than anybody reads; the rest is counted

  void add(std::string_view path, std::string message);

  // What is added now is only counted: its message need not be made.
  [[nodiscard]] bool full() const { return list_.size() >= max_reported; }
  [[nodiscard]] bool empty() const { return list_.empty(); }
  [[nodiscard]] const std::vector<Problem>& list() const { return list_; }
  [[nodiscard]] std::size_t left_out() const { return left_out_; }
  // How many in all. Compare two of these to learn whether something in between was wrong.
  [[nodiscard]] std::size_t count() const { return list_.size() + left_out_; }

 private:
  std::vector<Problem> list_;
  std::size_t left_out_ = 0;
};

// A T, or everything that stands against it.
template <class T>
using Checked = tl::expected<T, Problems>;

// "steps" + "[1]" and "steps[1]" + ".name": paths as problems name them.
std::string at_key(std::string_view path, std::string_view key);
std::string at_index(std::string_view path, std::size_t index);

// Text from a template as a message shows it: on one line and cut; and that in single quotes.
std::string shortened(std::string_view text);
std::string quoted(std::string_view text);
// "a, b and c"; many are cut short.
std::string listed(const std::vector<std::string_view>& words, std::string_view last_word = "or");

}  // namespace kiln::openjd
