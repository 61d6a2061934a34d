// Numbers in a file's bytes. For this room's readers of pictures.
#pragma once

#include <cstdint>
#include <string_view>

namespace kiln::session {

// Reads numbers at places that a hostile or cut file may put anywhere: out of range reads 0 and is
// remembered.
class Bytes {
 public:
  Bytes(std::string_view bytes, bool big_endian) : bytes_(bytes), big_endian_(big_endian) {}

  std::uint64_t number(std::uint64_t at, unsigned width) {
    if (!has(at, width)) {
      short_ = true;
      return 0;
    }
    std::uint64_t value = 0;
    for (unsigned i = 0; i < width; ++i) {
      const auto place = big_endian_ ? width - 1 - i : i;
      value |= std::uint64_t{static_cast<unsigned char>(bytes_[at + i])} << (8 * place);
    }
    return value;
  }
  std::uint8_t u8(std::uint64_t at) { return static_cast<std::uint8_t>(number(at, 1)); }
  std::uint16_t u16(std::uint64_t at) { return static_cast<std::uint16_t>(number(at, 2)); }
  std::uint32_t u32(std::uint64_t at) { return static_cast<std::uint32_t>(number(at, 4)); }
  std::uint64_t u64(std::uint64_t at) { return number(at, 8); }
  std::int32_t i32(std::uint64_t at) { return static_cast<std::int32_t>(u32(at)); }

  [[nodiscard]] bool has(std::uint64_t at, std::uint64_t count) const {
    return at <= bytes_.size() && count <= bytes_.size() - at;
  }
  [[nodiscard]] std::string_view text(std::uint64_t at, std::uint64_t count) const {
    return has(at, count) ? bytes_.substr(at, count) : std::string_view();
  }
  [[nodiscard]] std::uint64_t size() const { return bytes_.size(); }
  // Something was read beyond the end.
  [[nodiscard]] bool ran_out() const { return short_; }

 private:
  std::string_view bytes_;
  bool big_endian_;
  bool short_ = false;
};

}  // namespace kiln::session
