// Names of things. On the wire an id matches [a-z0-9-]{1,32}.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace kiln {

// True for [a-z0-9-]{1,32}: what a topic level, a URL segment and a file name can all hold unescaped.
bool is_id(std::string_view text);

// An id with a type, so that a node is never passed for a job. Always holds a valid id, or is empty.
template <class Tag>
class Id {
 public:
  Id() = default;
  // Errors: invalid, naming `what` the id is of ("job") and the allowed form.
  static Result<Id> parse(std::string_view text) {
    if (!is_id(text)) return fail(bad_id(Tag::name, text));
    Id id;
    id.text_ = text;
    return id;
  }
  [[nodiscard]] const std::string& str() const { return text_; }
  [[nodiscard]] bool empty() const { return text_.empty(); }
  friend auto operator<=>(const Id&,
                          const Id&) = default;  // NOLINT(modernize-use-nullptr): a literal 0 of <=>

 private:
  static Error bad_id(std::string_view what, std::string_view text);
  std::string text_;
};

struct JobTag {
  static constexpr std::string_view name = "job";
};
struct NodeTag {
  static constexpr std::string_view name = "node";
};
using JobId = Id<JobTag>;
using NodeId = Id<NodeTag>;

// A task is its job and its place in it, counted from 0. On the wire "<job>-<index>": `7-k3fqa-12`.
struct TaskId {
  JobId job;
  std::uint32_t index = 0;

  [[nodiscard]] std::string str() const;
  static Result<TaskId> parse(std::string_view text);
  friend auto operator<=>(const TaskId&, const TaskId&) = default;  // NOLINT(modernize-use-nullptr)
};

// A job's id is its number in this farm and five random letters: short to type (`kiln job 7` finds it),
// yet never mistaken by a box that still holds results for another farm's job 7.
// `random` supplies 25 bits; the rest is ignored.
JobId make_job_id(std::uint64_t number, std::uint32_t random);

// The content's name: "sha256:" and 64 lower-case hex digits.
bool is_digest(std::string_view text);

}  // namespace kiln
