// Valid documents broken at random: what tests of whoever reads templates are fed with. For tests only.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "openjd/value.h"

namespace kiln::test {

using openjd::Value;

// SplitMix64: the same everywhere.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27U)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31U);
  }
  std::size_t below(std::size_t end) { return static_cast<std::size_t>(next() % end); }

 private:
  std::uint64_t state_;
};

inline const std::vector<std::string> odd_texts = {"",
                                                   " ",
                                                   "{{",
                                                   "}}",
                                                   "{{Param.X}}",
                                                   "{{Task.Param.Frame}}",
                                                   "{{Param.Shot",
                                                   "1-",
                                                   "1-5,3-9",
                                                   "-9223372036854775808",
                                                   "99999999999999999999",
                                                   "1e999",
                                                   "nan",
                                                   "\xc2\x85",
                                                   "\x01",
                                                   "a/b",
                                                   "..",
                                                   "EXPR",
                                                   "INT",
                                                   "CHUNK[INT]",
                                                   "TERMINATE",
                                                   "amount.worker.x",
                                                   "1-999999999999",
                                                   "((((((((",
                                                   "A*B",
                                                   std::string(3000, 'x'),
                                                   "ä😀",
                                                   "1-1000000000:3"};

inline Value odd_value(Random& random) {
  switch (random.below(8)) {
    case 0:
      return {};
    case 1: {
      Value value = Value::scalar(Value::Kind::boolean, "");
      value.truth = true;
      return value;
    }
    case 2:
      return Value::scalar(Value::Kind::integer,
                           std::to_string(static_cast<std::int64_t>(random.next() % 2000) - 1000));
    case 3:
      return Value::scalar(Value::Kind::floating, "1.5e300");
    case 4:
      return Value::scalar(Value::Kind::list, "");
    case 5:
      return Value::scalar(Value::Kind::map, "");
    default:
      return Value::of(odd_texts[random.below(odd_texts.size())]);
  }
}

inline void collect(Value& value, std::vector<Value*>& out) {
  out.push_back(&value);
  for (auto& item : value.items) collect(item, out);
}

// One change somewhere in the tree.
inline void change(Value& root, Random& random) {
  std::vector<Value*> all;
  collect(root, all);
  Value& value = *all[random.below(all.size())];
  const Value copy = *all[random.below(all.size())];
  switch (random.below(6)) {
    case 0:
      value = odd_value(random);
      return;
    case 1:
      value = copy;
      return;
    default:
      break;
  }
  if (value.items.empty()) {
    if (value.kind == Value::Kind::string && !value.text.empty()) {
      const auto at = random.below(value.text.size());
      const bool is_ascii = (static_cast<unsigned char>(value.text[at]) & 0x80U) == 0;
      if (is_ascii) value.text[at] = "{}.:-,*() aZ09\t"[random.below(15)];
    }
    return;
  }
  const auto at = random.below(value.items.size());
  const auto step = static_cast<std::ptrdiff_t>(at);
  const bool is_map = value.kind == Value::Kind::map;
  switch (random.below(4)) {
    case 0:  // gone
      value.items.erase(value.items.begin() + step);
      if (is_map) value.keys.erase(value.keys.begin() + step);
      break;
    case 1:  // twice
      value.items.push_back(value.items[at]);
      if (is_map) value.keys.push_back(value.keys[at] + "x");
      break;
    case 2:  // many
      if (is_map) break;
      for (int i = 0; i < 60; ++i) value.items.push_back(Value(value.items[at]));
      break;
    default:  // under another name
      if (is_map) value.keys[at] = odd_texts[random.below(odd_texts.size())];
      break;
  }
}

inline std::string changed_text(std::string text, Random& random) {
  const auto changes = 1 + random.below(4);
  for (std::size_t i = 0; i < changes && !text.empty(); ++i) {
    const auto at = random.below(text.size());
    switch (random.below(5)) {
      case 0:
        text.erase(at, 1 + random.below(20));
        break;
      case 1:
        text.insert(at, odd_texts[random.below(odd_texts.size())]);
        break;
      case 2:
        text[at] = static_cast<char>(random.below(256));
        break;
      case 3:
        text.insert(at, text.substr(random.below(text.size()), random.below(200)));
        break;
      default:
        text.insert(at, std::string(1 + random.below(30), "[]{}\",:&*-!|>#%\n "[random.below(17)]));
        break;
    }
  }
  return text;
}

}  // namespace kiln::test
