// The tasks of a step, as an index: task i is computed, never stored. A step of ten million frames is as
// large as one of ten.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "openjd/combination.h"
#include "openjd/format_string.h"
#include "openjd/problems.h"
#include "openjd/range.h"
#include "openjd/template.h"

namespace kiln::openjd {

struct TaskParameterValue {
  std::string name;
  TaskParameterType type = TaskParameterType::string;
  std::string value;  // of a chunk, a range: "1-10", "1,3,7-9"
  friend bool operator==(const TaskParameterValue&, const TaskParameterValue&) = default;
};

// How the values of a CHUNK[INT] are put into chunks of at most `task_count`, as equal as they get.
struct Chunks {
  std::uint64_t task_count = 1;
  std::int64_t target_runtime_s = 0;  // what a chunk should take; 0: whatever task_count makes of it
  bool contiguous = true;
};

// The values of one CHUNK[INT], cut. Contiguous chunks are cut per run of neighbouring values.
class ChunkedRange {
 public:
  ChunkedRange(IntRanges values, const Chunks& chunks);

  [[nodiscard]] std::uint64_t size() const;
  // "5-5" when contiguous, else "5" or "1,3,7-9"; index < size(). O(log ranges).
  [[nodiscard]] std::string at(std::uint64_t index) const;
  [[nodiscard]] const IntRanges& values() const { return values_; }
  // Whether any `count` values in a row make a chunk.
  [[nodiscard]] bool cuts_anywhere() const;
  [[nodiscard]] std::string cut(std::uint64_t first, std::uint64_t count) const;

 private:
  // Neighbouring chunks that are cut by one rule: `values` equal parts of a run, or each value by itself.
  struct Block {
    IntRange values;
    std::uint64_t chunks = 1;
    std::uint64_t before = 0;  // chunks in the blocks before
  };

  bool contiguous_;
  IntRanges values_;
  std::uint64_t chunks_ = 0;   // likewise
  std::vector<Block> blocks_;  // when contiguous
};

class ParameterSpace {
 public:
  static constexpr std::uint64_t max_tasks = 1'000'000'000;  // no farm runs more, and sizes must fit 64 bits

  ParameterSpace() = default;  // one task without parameters
  // Resolves the ranges. Empty when something is wrong: then problems were added, with paths under `path`
  // (that of the step's parameterSpace).
  static std::optional<ParameterSpace> create(const ParameterSpaceDefinition& definition,
                                              const Symbols& symbols, std::string_view path,
                                              Problems& problems);

  [[nodiscard]] std::uint64_t size() const { return root_.size; }
  // The parameters of task `index` in the order of the template; index < size(). The last name of a product
  // runs fastest. O(parameters).
  [[nodiscard]] std::vector<TaskParameterValue> at(std::uint64_t index) const;
  // Of the step's CHUNK[INT], if it has one.
  [[nodiscard]] const std::optional<Chunks>& chunks() const { return chunks_; }

  // The values of the only parameter, where it is an INT or CHUNK[INT]: frames, for all who like to think so.
  // In the order of the tasks; nullptr for every other space.
  [[nodiscard]] const IntRanges* only_integers() const;
  // Whether chunks may be cut as they are handed out: there is a target runtime, and the only parameter's
  // values may be cut anywhere.
  [[nodiscard]] bool adapts() const;
  // What tasks are cut from: values where it adapts(), else tasks.
  [[nodiscard]] std::uint64_t units() const;
  // The task of those units; where it does not adapt `count` is 1 and this is at(). first + count <= units().
  // O(parameters · log ranges).
  [[nodiscard]] std::vector<TaskParameterValue> cut(std::uint64_t first, std::uint64_t count) const;

 private:
  struct Values {
    std::string name;
    TaskParameterType type = TaskParameterType::string;
    std::variant<std::vector<std::string>, IntRanges, ChunkedRange> values;
    [[nodiscard]] std::uint64_t size() const;
    [[nodiscard]] std::string at(std::uint64_t index) const;
  };
  struct Node {
    Combination::Kind kind = Combination::Kind::product;
    std::size_t parameter = 0;
    std::uint64_t size = 1;
    std::vector<Node> children;
  };

  std::optional<Node> measure(const Combination& combination, std::string_view path,
                              Problems& problems) const;
  void pick(const Node& node, std::uint64_t index, std::vector<TaskParameterValue>& out) const;

  std::vector<Values> parameters_;
  Node root_;
  std::optional<Chunks> chunks_;
};

// What a task parameter of that type passes on for the text. Errors: invalid, saying what would be right.
Result<std::string> task_value(TaskParameterType type, std::string_view text);

}  // namespace kiln::openjd
