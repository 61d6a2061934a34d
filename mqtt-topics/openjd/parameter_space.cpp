#include "openjd/parameter_space.h"

#include <fmt/format.h>

#include <algorithm>

#include "openjd/numbers.h"

namespace kiln::openjd {

namespace {

// n values in c parts: each has n/c, and the n%c values that are left go to parts spread over all of them.
// Where part i begins.
std::uint64_t part_begin(std::uint64_t values, std::uint64_t parts, std::uint64_t i) {
  return i * (values / parts) + (i * (values % parts) + parts - 1) / parts;
}

std::uint64_t parts_of(std::uint64_t values, std::uint64_t most) {
  return (values - 1) / most + 1;
}

std::optional<std::string> resolve(const FormatString& text, const Symbols& symbols, const std::string& path,
                                   Problems& problems) {
  auto out = text.resolve(symbols);
  if (out) return std::move(*out);
  problems.add(path, std::move(out.error().message));
  return std::nullopt;
}

std::optional<std::int64_t> resolve(const LateInteger& number, std::int64_t min, const Symbols& symbols,
                                    const std::string& path, Problems& problems) {
  if (!number.text) return number.value;
  const auto text = resolve(*number.text, symbols, path, problems);
  if (!text) return std::nullopt;
  const auto value = integer_of(*text);
  if (value && *value >= min) return value;
  problems.add(path, fmt::format("becomes {}; it must be a whole number of at least {}", quoted(*text), min));
  return std::nullopt;
}

std::optional<std::vector<std::string>> resolve_list(const TaskParameterDefinition& definition,
                                                     const Symbols& symbols, const std::string& path,
                                                     Problems& problems) {
  const auto& list = std::get<std::vector<FormatString>>(definition.range);
  std::vector<std::string> out;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const auto where = at_index(path, i);
    const auto text = resolve(list[i], symbols, where, problems);
    if (!text) continue;
    auto value = task_value(definition.type, *text);
    if (value)
      out.push_back(std::move(*value));
    else
      problems.add(where, std::move(value.error().message));
  }
  if (out.size() != list.size()) return std::nullopt;
  return out;
}

std::optional<IntRanges> resolve_range(const FormatString& range, const Symbols& symbols,
                                       const std::string& path, Problems& problems) {
  const auto text = resolve(range, symbols, path, problems);
  if (!text) return std::nullopt;
  auto out = IntRanges::parse(*text);
  if (out) return std::move(*out);
  problems.add(path, range.has_references()
                         ? fmt::format("becomes {}: {}", quoted(*text), out.error().message)
                         : out.error().message);
  return std::nullopt;
}

}  // namespace

Result<std::string> task_value(TaskParameterType type, std::string_view text) {
  constexpr std::size_t max_characters = 1024;
  if (const auto length = characters(text); length > max_characters) {
    return fail(Code::invalid,
                fmt::format("has {} characters; at most {} are allowed", length, max_characters));
  }
  switch (type) {
    case TaskParameterType::integer:
    case TaskParameterType::chunk: {
      const auto whole = integer_of(text);
      if (!whole)
        return fail(Code::invalid, fmt::format("{} is no whole number of at most 64 bits", quoted(text)));
      return fmt::format("{}", *whole);
    }
    case TaskParameterType::floating:
      if (!real_of(text))
        return fail(Code::invalid, fmt::format("{} is no number that a double can hold", quoted(text)));
      break;
    case TaskParameterType::path:
      if (text.empty()) return fail(Code::invalid, "is empty, which is no path");
      break;
    case TaskParameterType::string:
      break;
  }
  return std::string(text);
}

ChunkedRange::ChunkedRange(IntRanges values, const Chunks& chunks) : contiguous_(chunks.contiguous) {
  values_ = std::move(values);
  if (!contiguous_) {
    chunks_ = parts_of(values_.size(), chunks.task_count);
    return;
  }
  // A stepped range is values without neighbours, but its ends may have some in the ranges beside it.
  std::vector<IntRange> runs;
  const auto add = [&runs](IntRange run) {
    const bool joins =
        !runs.empty() && runs.back().step == 1 && run.step == 1 && runs.back().last() + 1 == run.first;
    if (joins)
      runs.back().count += run.count;
    else
      runs.push_back(run);
  };
  for (const auto& range : values_.ranges()) {
    if (range.step == 1) {
      add(range);
      continue;
    }
    add({range.first, 1, 1});
    if (range.count > 3) runs.push_back({range.at(1), range.count - 2, range.step});
    if (range.count == 3) runs.push_back({range.at(1), 1, 1});
    if (range.count > 1) add({range.last(), 1, 1});
  }
  std::uint64_t before = 0;
  for (const auto& run : runs) {
    const std::uint64_t count = run.step == 1 ? parts_of(run.count, chunks.task_count) : run.count;
    blocks_.push_back({run, count, before});
    before += count;
  }
}

std::uint64_t ChunkedRange::size() const {
  if (!contiguous_) return chunks_;
  return blocks_.empty() ? 0 : blocks_.back().before + blocks_.back().chunks;
}

std::string ChunkedRange::at(std::uint64_t index) const {
  if (!contiguous_) {
    const auto begin = part_begin(values_.size(), chunks_, index);
    return values_.slice(begin, part_begin(values_.size(), chunks_, index + 1) - begin).to_text();
  }
  const auto next = std::upper_bound(blocks_.begin(), blocks_.end(), index,
                                     [](std::uint64_t i, const Block& block) { return i < block.before; });
  const auto& block = *(next - 1);
  const auto part = index - block.before;
  if (block.values.step != 1) return fmt::format("{0}-{0}", block.values.at(part));
  const auto begin = part_begin(block.values.count, block.chunks, part);
  const auto end = part_begin(block.values.count, block.chunks, part + 1);
  return fmt::format("{}-{}", block.values.at(begin), block.values.at(end - 1));
}

bool ChunkedRange::cuts_anywhere() const {
  return !contiguous_ || (values_.ranges().size() == 1 && values_.ranges().front().step == 1);
}

std::string ChunkedRange::cut(std::uint64_t first, std::uint64_t count) const {
  if (contiguous_) return fmt::format("{}-{}", values_.at(first), values_.at(first + count - 1));
  return values_.slice(first, count).to_text();
}

std::uint64_t ParameterSpace::Values::size() const {
  if (const auto* list = std::get_if<std::vector<std::string>>(&values)) return list->size();
  if (const auto* ranges = std::get_if<IntRanges>(&values)) return ranges->size();
  return std::get<ChunkedRange>(values).size();
}

std::string ParameterSpace::Values::at(std::uint64_t index) const {
  if (const auto* list = std::get_if<std::vector<std::string>>(&values)) return (*list)[index];
  if (const auto* ranges = std::get_if<IntRanges>(&values)) return fmt::format("{}", ranges->at(index));
  return std::get<ChunkedRange>(values).at(index);
}

std::optional<ParameterSpace> ParameterSpace::create(const ParameterSpaceDefinition& definition,
                                                     const Symbols& symbols, std::string_view path,
                                                     Problems& problems) {
  ParameterSpace out;
  if (definition.parameters.empty()) return out;
  const auto list_path = at_key(path, "taskParameterDefinitions");
  for (std::size_t i = 0; i < definition.parameters.size(); ++i) {
    const auto& parameter = definition.parameters[i];
    const auto where = at_index(list_path, i);
    const auto range_path = at_key(where, "range");
    Values values{parameter.name, parameter.type, {}};
    std::optional<IntRanges> ranges;
    if (const auto* expression = std::get_if<FormatString>(&parameter.range)) {
      ranges = resolve_range(*expression, symbols, range_path, problems);
      if (!ranges) continue;
    } else {
      auto list = resolve_list(parameter, symbols, range_path, problems);
      if (!list) continue;
      if (parameter.chunks) {
        std::vector<std::int64_t> numbers;
        numbers.reserve(list->size());
        for (const auto& text : *list) numbers.push_back(integer_of(text).value_or(0));
        ranges = IntRanges::of(std::move(numbers));
      } else {
        values.values = std::move(*list);
      }
    }
    if (parameter.chunks) {
      const auto chunks_path = at_key(where, "chunks");
      const auto count = resolve(parameter.chunks->default_task_count, 1, symbols,
                                 at_key(chunks_path, "defaultTaskCount"), problems);
      const auto runtime = parameter.chunks->target_runtime_s
                               ? resolve(*parameter.chunks->target_runtime_s, 0, symbols,
                                         at_key(chunks_path, "targetRuntimeSeconds"), problems)
                               : std::optional<std::int64_t>(0);
      if (!count || !runtime) continue;
      out.chunks_ = Chunks{static_cast<std::uint64_t>(*count), *runtime, parameter.chunks->contiguous};
      values.values = ChunkedRange(std::move(*ranges), *out.chunks_);
    } else if (ranges) {
      values.values = std::move(*ranges);
    }
    out.parameters_.push_back(std::move(values));
  }
  if (out.parameters_.size() != definition.parameters.size()) return std::nullopt;
  auto root = out.measure(definition.combination, at_key(path, "combination"), problems);
  if (!root) return std::nullopt;
  out.root_ = std::move(*root);
  return out;
}

// NOLINTNEXTLINE(misc-no-recursion): as deep as the combination's parentheses
std::optional<ParameterSpace::Node> ParameterSpace::measure(const Combination& combination,
                                                            std::string_view path, Problems& problems) const {
  Node node{combination.kind, combination.parameter, 1, {}};
  if (combination.kind == Combination::Kind::parameter) {
    node.size = parameters_[combination.parameter].size();
    return node;
  }
  for (const auto& part : combination.children) {
    auto child = measure(part, path, problems);
    if (!child) return std::nullopt;
    if (combination.kind == Combination::Kind::product) {
      // Both factors are at most max_tasks.
      node.size *= child->size;
    } else if (node.children.empty()) {
      node.size = child->size;
    } else if (node.size != child->size) {
      problems.add(
          path,
          fmt::format("puts {} values beside {}; all that stands in one pair of parentheses has equally many",
                      node.size, child->size));
      return std::nullopt;
    }
    if (node.size > max_tasks) {
      problems.add(path, fmt::format("makes more than {} tasks", max_tasks));
      return std::nullopt;
    }
    node.children.push_back(std::move(*child));
  }
  return node;
}

// NOLINTNEXTLINE(misc-no-recursion): as deep as the combination's parentheses
void ParameterSpace::pick(const Node& node, std::uint64_t index, std::vector<TaskParameterValue>& out) const {
  switch (node.kind) {
    case Combination::Kind::parameter:
      out[node.parameter].value = parameters_[node.parameter].at(index);
      break;
    case Combination::Kind::association:
      for (const auto& child : node.children) pick(child, index, out);
      break;
    case Combination::Kind::product:
      for (auto child = node.children.rbegin(); child != node.children.rend(); ++child) {
        pick(*child, index % child->size, out);
        index /= child->size;
      }
      break;
  }
}

std::vector<TaskParameterValue> ParameterSpace::at(std::uint64_t index) const {
  KILN_ASSERT(index < size());
  std::vector<TaskParameterValue> out;
  out.reserve(parameters_.size());
  for (const auto& parameter : parameters_) out.push_back({parameter.name, parameter.type, ""});
  pick(root_, index, out);
  return out;
}

const IntRanges* ParameterSpace::only_integers() const {
  if (parameters_.size() != 1) return nullptr;
  const auto& values = parameters_.front().values;
  if (const auto* chunks = std::get_if<ChunkedRange>(&values)) return &chunks->values();
  return std::get_if<IntRanges>(&values);
}

bool ParameterSpace::adapts() const {
  if (!chunks_ || chunks_->target_runtime_s <= 0 || parameters_.size() != 1) return false;
  return std::get<ChunkedRange>(parameters_.front().values).cuts_anywhere();
}

std::uint64_t ParameterSpace::units() const {
  return adapts() ? only_integers()->size() : size();
}

std::vector<TaskParameterValue> ParameterSpace::cut(std::uint64_t first, std::uint64_t count) const {
  if (!adapts()) return at(first);
  KILN_ASSERT(count > 0 && first < units() && count <= units() - first);
  const auto& only = parameters_.front();
  return {{only.name, only.type, std::get<ChunkedRange>(only.values).cut(first, count)}};
}

}  // namespace kiln::openjd
