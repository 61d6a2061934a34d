// The one source of chance of a simulation: the same seed gives the same numbers on every machine, which the
// standard library's distributions do not promise.
#pragma once

#include <array>
#include <cstdint>

namespace kiln::sim {

// splitmix64: also a good hash of one number.
constexpr std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27U)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31U);
}

// xoshiro256** (Blackman, Vigna).
class Random {
 public:
  explicit Random(std::uint64_t seed) {
    for (auto& word : state_) word = seed = mix(seed);
  }

  std::uint64_t next() {
    const auto rotate = [](std::uint64_t x, unsigned by) { return (x << by) | (x >> (64U - by)); };
    const auto result = rotate(state_[1] * 5, 7) * 9;
    const auto shifted = state_[1] << 17U;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = rotate(state_[3], 45);
    return result;
  }
  // [0, bound), bound > 0.
  std::uint64_t below(std::uint64_t bound) { return next() % bound; }
  // [low, high]
  std::int64_t between(std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(below(static_cast<std::uint64_t>(high - low) + 1));
  }
  bool chance(double probability) { return static_cast<double>(next() >> 11U) * 0x1.0p-53 < probability; }
  // [low, high] with small values as likely as large ones are by magnitude: 10 to 10,000 is as often below
  // 300 as above.
  std::int64_t skewed(std::int64_t low, std::int64_t high) {
    auto top = between(low, high);
    for (int halvings = static_cast<int>(below(6)); halvings > 0; --halvings) top = low + (top - low) / 2;
    return top;
  }

 private:
  std::array<std::uint64_t, 4> state_{};
};

}  // namespace kiln::sim
