#include "box/mdns.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace kiln::box {

namespace {

constexpr std::uint16_t type_a = 1;
constexpr std::uint16_t type_ptr = 12;
constexpr std::uint16_t type_srv = 33;
constexpr std::uint16_t class_in = 1;
constexpr std::uint16_t unicast_wanted = 0x8000;  // of a question's class
constexpr std::size_t header_bytes = 12;
constexpr std::size_t max_records =
    128;  // a farm has one controller; a busy machine announces a dozen services
constexpr std::size_t max_name_bytes = 255;
constexpr std::size_t max_label_bytes = 63;

void put16(std::string& out, unsigned value) {
  out += static_cast<char>(value >> 8U);
  out += static_cast<char>(value & 0xFFU);
}

Error no_answer(std::string_view why) {
  return {Code::invalid, fmt::format("no DNS answer: {}", why)};
}

// Labels joined by dots. DNS compares ASCII letters alone without their case.
bool is_same(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](char x, char y) { return lower(x) == lower(y); });
}

class Reader {
 public:
  explicit Reader(std::string_view packet) : packet_(packet) {}

  [[nodiscard]] std::size_t at() const { return at_; }
  bool skip(std::size_t bytes) {
    if (packet_.size() - at_ < bytes) return false;
    at_ += bytes;
    return true;
  }
  std::optional<unsigned> number16() {
    if (packet_.size() - at_ < 2) return std::nullopt;
    const auto value = byte(at_) << 8U | byte(at_ + 1);
    at_ += 2;
    return value;
  }
  std::optional<std::string> name() { return name_at(at_, &at_); }
  // The name that begins at `at`, which may go on at an earlier place (RFC 1035, 4.1.4).
  [[nodiscard]] std::optional<std::string> name_at(std::size_t at, std::size_t* end) const {
    std::string out;
    auto before = at;  // a jump goes to before this: so they end
    bool jumped = false;
    while (at < packet_.size()) {
      const auto length = byte(at);
      if (length == 0) {
        if (!jumped && end != nullptr) *end = at + 1;
        return out;
      }
      if (length >= 0xC0U) {
        if (at + 1 >= packet_.size()) return std::nullopt;
        const std::size_t target = (length & 0x3FU) << 8U | byte(at + 1);
        if (target >= before) return std::nullopt;
        if (!jumped && end != nullptr) *end = at + 2;
        jumped = true;
        before = at = target;
        continue;
      }
      if (length > max_label_bytes || packet_.size() - at - 1 < length) return std::nullopt;
      if (!out.empty()) out += '.';
      out += packet_.substr(at + 1, length);
      if (out.size() > max_name_bytes) return std::nullopt;
      at += 1 + length;
    }
    return std::nullopt;
  }
  [[nodiscard]] std::string_view bytes(std::size_t at, std::size_t count) const {
    return packet_.substr(at, count);
  }
  [[nodiscard]] unsigned byte(std::size_t at) const { return static_cast<unsigned char>(packet_[at]); }

 private:
  std::string_view packet_;
  std::size_t at_ = 0;
};

struct Record {
  std::string name;
  unsigned type = 0;
  std::size_t data = 0;
  std::size_t size = 0;
};

std::optional<Record> next_record(Reader& in) {
  auto name = in.name();
  if (!name) return std::nullopt;
  Record out;
  out.name = std::move(*name);
  const auto type = in.number16();
  if (!type || !in.skip(2 + 4)) return std::nullopt;  // class, time to live
  const auto size = in.number16();
  out.data = in.at();
  if (!size || !in.skip(*size)) return std::nullopt;
  out.type = *type;
  out.size = *size;
  return out;
}

Result<std::vector<Record>> records_of(Reader& in) {
  unsigned counts[6];  // id, flags, questions, answers, authorities, additionals
  for (auto& count : counts) {
    const auto value = in.number16();
    if (!value) return fail(no_answer(fmt::format("it is shorter than {} bytes", header_bytes)));
    count = *value;
  }
  if ((counts[1] & 0x8000U) == 0) return fail(no_answer("it is a question"));
  const std::size_t total = std::size_t{counts[3]} + counts[4] + counts[5];
  if (counts[2] > max_records || total > max_records) {
    return fail(no_answer(fmt::format("{} records, at most {} are expected", total, max_records)));
  }
  for (unsigned i = 0; i < counts[2]; ++i) {
    if (!in.name() || !in.skip(4)) return fail(no_answer("its question ends too early"));
  }
  std::vector<Record> out;
  for (std::size_t i = 0; i < total; ++i) {
    auto record = next_record(in);
    if (!record) return fail(no_answer("a record ends too early"));
    out.push_back(std::move(*record));
  }
  return out;
}

}  // namespace

std::string mdns_query(std::string_view service) {
  std::string out;
  for (const unsigned value : {0x4b69U, 0U, 1U, 0U, 0U, 0U}) put16(out, value);  // an id, then: one question
  while (!service.empty()) {
    const auto label = service.substr(0, service.find('.'));
    out += static_cast<char>(label.size());
    out += label;
    service.remove_prefix(std::min(service.size(), label.size() + 1));
  }
  out += '\0';
  put16(out, type_ptr);
  put16(out, class_in | unicast_wanted);
  return out;
}

Result<std::vector<Instance>> read_mdns_answer(std::string_view packet, std::string_view service) {
  Reader in(packet);
  const auto records = records_of(in);
  if (!records) return fail(records.error());
  std::vector<Instance> out;
  for (const auto& record : *records) {
    if (record.type != type_srv || record.size < 7) continue;
    // "farm._kiln._tcp.local"; a dot in the instance's own label is part of it
    if (record.name.size() <= service.size() + 1) continue;
    const auto label = record.name.size() - service.size() - 1;
    if (record.name[label] != '.' || !is_same(std::string_view(record.name).substr(label + 1), service))
      continue;
    auto host = in.name_at(record.data + 6, nullptr);
    if (!host) return fail(no_answer("a server's name ends too early"));
    Instance instance;
    instance.name = record.name.substr(0, label);
    instance.port = static_cast<std::uint16_t>(in.byte(record.data + 4) << 8U | in.byte(record.data + 5));
    instance.host = std::move(*host);
    for (const auto& one : *records) {
      if (one.type != type_a || one.size != 4 || !is_same(one.name, instance.host)) continue;
      instance.addresses.push_back(fmt::format("{}.{}.{}.{}", in.byte(one.data), in.byte(one.data + 1),
                                               in.byte(one.data + 2), in.byte(one.data + 3)));
    }
    if (instance.port != 0) out.push_back(std::move(instance));
  }
  return out;
}

}  // namespace kiln::box
