#include "telemetry/parse.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace kiln::telemetry {

namespace {

constexpr std::string_view blanks = " \t\r\n";

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

template <class Int>
std::optional<Int> whole(std::string_view text, int base = 10) {
  Int value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Takes the next line off `rest`, without its newline.
std::optional<std::string_view> next_line(std::string_view& rest) {
  if (rest.empty()) return std::nullopt;
  const auto end = rest.find('\n');
  const auto line = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  return line;
}

// Takes the next word off `rest`; empty at its end.
std::string_view next_word(std::string_view& rest) {
  rest.remove_prefix(std::min(rest.find_first_not_of(blanks), rest.size()));
  const auto word = rest.substr(0, rest.find_first_of(blanks));
  rest.remove_prefix(word.size());
  return word;
}

// The value of `key: value`, absent when the line is about something else.
std::optional<std::string_view> field(std::string_view line, std::string_view key) {
  if (!line.starts_with(key)) return std::nullopt;
  line = trim(line.substr(key.size()));
  if (!line.starts_with(':')) return std::nullopt;
  return trim(line.substr(1));
}

// os-release values are shell words: quotes off, escapes undone.
std::string unquote(std::string_view value) {
  value = trim(value);
  if (value.size() >= 2 && (value.front() == '"' || value.front() == '\'') && value.back() == value.front()) {
    value = value.substr(1, value.size() - 2);
  }
  std::string out;
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (value[i] == '\\' && i + 1 < value.size()) ++i;
    out += value[i];
  }
  return out;
}

}  // namespace

std::optional<std::int64_t> parse_integer(std::string_view text) {
  return whole<std::int64_t>(trim(text));
}

std::optional<std::uint32_t> parse_hex(std::string_view text) {
  text = trim(text);
  if (!text.starts_with("0x")) return std::nullopt;
  return whole<std::uint32_t>(text.substr(2), 16);
}

std::optional<double> plausible(std::optional<double> value, double low, double high) {
  if (value && *value >= low && *value <= high) return value;  // a NaN is in no range
  return std::nullopt;
}

std::string clean_text(std::string_view text, std::size_t max_bytes) {
  std::string out;
  for (const char c : text) {
    if (c == '\0') break;
    const bool is_blank = blanks.find(c) != std::string_view::npos || c == ' ';
    if (is_blank && (out.empty() || out.back() == ' ')) continue;
    out += is_blank ? ' ' : (c > ' ' && c < '\x7f') ? c : '?';
  }
  out.resize(std::min(out.size(), max_bytes));
  while (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

std::optional<CpuTimes> parse_cpu_times(std::string_view proc_stat) {
  while (auto line = next_line(proc_stat)) {
    if (next_word(*line) != "cpu") continue;
    // user nice system idle iowait irq softirq steal; the guest columns that follow are inside user
    // (proc(5)).
    std::array<std::uint64_t, 8> ticks{};
    std::size_t count = 0;
    for (; count < ticks.size(); ++count) {
      const auto word = next_word(*line);
      if (word.empty()) break;
      const auto value = whole<std::uint64_t>(word);
      if (!value || *value > (1ULL << 60)) return std::nullopt;  // keeps the sum from wrapping
      ticks[count] = *value;
    }
    if (count < 4) return std::nullopt;
    CpuTimes times;
    for (const auto tick : ticks) times.total += tick;
    times.busy = times.total - ticks[3] - ticks[4];
    return times;
  }
  return std::nullopt;
}

std::optional<double> cpu_percent(const CpuTimes& before, const CpuTimes& after) {
  if (after.total <= before.total || after.busy < before.busy) return std::nullopt;
  const auto total = static_cast<double>(after.total - before.total);
  return std::min(100.0, 100.0 * static_cast<double>(after.busy - before.busy) / total);
}

std::optional<Memory> parse_meminfo(std::string_view meminfo) {
  std::optional<std::uint64_t> total;
  std::optional<std::uint64_t> available;
  std::uint64_t reclaimable = 0;  // for kernels before 3.14, which do not say MemAvailable
  while (const auto line = next_line(meminfo)) {
    const auto kib = [&](std::string_view key) -> std::optional<std::uint64_t> {
      auto value = field(*line, key);
      if (!value) return std::nullopt;
      const auto number = whole<std::uint64_t>(next_word(*value));
      const bool is_sane = number && *number < (1ULL << 50) && trim(*value) == "kB";
      return is_sane ? number : std::nullopt;
    };
    if (const auto value = kib("MemTotal")) total = value;
    if (const auto value = kib("MemAvailable")) available = value;
    for (const auto key : {"MemFree", "Buffers", "Cached"}) reclaimable += kib(key).value_or(0);
  }
  if (!total || *total == 0) return std::nullopt;
  const auto free = std::min(available.value_or(reclaimable), *total);
  return Memory{*total / 1024, (*total - free) / 1024};
}

Cpu parse_cpuinfo(std::string_view cpuinfo) {
  Cpu cpu;
  std::string board;  // ARM names the board at the end, not the CPU
  while (const auto line = next_line(cpuinfo)) {
    if (const auto number = field(*line, "processor"); number && whole<std::uint32_t>(*number)) ++cpu.cores;
    if (const auto name = field(*line, "model name"); name && cpu.name.empty()) cpu.name = clean_text(*name);
    if (const auto name = field(*line, "Model")) board = clean_text(*name);
    if (const auto name = field(*line, "Hardware"); name && board.empty()) board = clean_text(*name);
  }
  if (cpu.name.empty()) cpu.name = board;
  return cpu;
}

std::string parse_os_release(std::string_view os_release) {
  std::string name;
  while (const auto line = next_line(os_release)) {
    constexpr std::string_view pretty = "PRETTY_NAME=";
    constexpr std::string_view plain = "NAME=";
    if (line->starts_with(pretty)) {
      if (auto text = clean_text(unquote(line->substr(pretty.size()))); !text.empty()) return text;
    }
    if (line->starts_with(plain)) name = clean_text(unquote(line->substr(plain.size())));
  }
  return name;
}

std::optional<std::string> normal_pci_address(std::string_view text) {
  text = trim(text);
  // domain:bus:device.function
  const auto first = text.find(':');
  const auto second = text.find(':', first + 1);
  const auto dot = text.find('.', second + 1);
  if (first == std::string_view::npos || second == std::string_view::npos || dot == std::string_view::npos) {
    return std::nullopt;
  }
  const auto domain = whole<std::uint32_t>(text.substr(0, first), 16);
  const auto bus = whole<std::uint32_t>(text.substr(first + 1, second - first - 1), 16);
  const auto device = whole<std::uint32_t>(text.substr(second + 1, dot - second - 1), 16);
  const auto function = whole<std::uint32_t>(text.substr(dot + 1), 16);
  if (!domain || !bus || !device || !function || *bus > 0xff || *device > 0x1f || *function > 7) {
    return std::nullopt;
  }
  return fmt::format("{:04x}:{:02x}:{:02x}.{:x}", *domain, *bus, *device, *function);
}

std::string pci_device_name(std::string_view pci_ids, std::uint32_t vendor, std::uint32_t device) {
  // `vendor  name` at the margin, `<tab>device  name` below it, deeper lines for subsystems.
  const auto vendor_line = fmt::format("\n{:04x}  ", vendor);
  const auto start = pci_ids.find(vendor_line);
  if (start == std::string_view::npos) return {};
  pci_ids.remove_prefix(start + 1);
  (void)next_line(pci_ids);
  const auto device_line = fmt::format("\t{:04x}  ", device);
  while (const auto line = next_line(pci_ids)) {
    if (!line->empty() && line->front() != '\t' && line->front() != '#') return {};  // the next vendor
    if (!line->starts_with(device_line)) continue;
    auto name = line->substr(device_line.size());
    const auto open = name.find('[');
    const auto close = name.rfind(']');
    if (open != std::string_view::npos && close != std::string_view::npos && close > open + 1) {
      name = name.substr(open + 1, close - open - 1);
    }
    return clean_text(name, 64);
  }
  return {};
}

}  // namespace kiln::telemetry
