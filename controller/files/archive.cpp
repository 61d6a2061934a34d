// PKWARE's APPNOTE.TXT 6.3.10 names the fields; section numbers below are its.
#include "files/archive.h"

#include <fmt/format.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <utility>

namespace kiln::files {
namespace {

constexpr std::size_t read_bytes = 256UL * 1024;
constexpr std::uint64_t max_32 = 0xffffffff;  // a field that says this has its value in the ZIP64 extra
constexpr std::uint64_t max_16 = 0xffff;
constexpr std::uint64_t utf8_names = 1U << 11U;  // 4.4.4
constexpr std::uint64_t plain_version = 20;      // 4.4.3.2
constexpr std::uint64_t zip64_version = 45;
constexpr std::uint64_t made_on_unix = 3U << 8U;  // 4.4.2
constexpr std::uint64_t regular_0644 = 0100644ULL << 16U;

// Appends little-endian numbers.
class Bytes {
 public:
  template <std::size_t size>
  Bytes& number(std::uint64_t value) {
    for (std::size_t i = 0; i < size; ++i) text_ += static_cast<char>(value >> (8 * i));
    return *this;
  }
  Bytes& u16(std::uint64_t value) { return number<2>(value); }
  Bytes& u32(std::uint64_t value) { return number<4>(value); }
  Bytes& u64(std::uint64_t value) { return number<8>(value); }
  Bytes& add(std::string_view text) {
    text_ += text;
    return *this;
  }
  [[nodiscard]] const std::string& str() const { return text_; }

 private:
  std::string text_;
};

// 4.4.6, in UTC; the extra field below has the exact time for whoever reads it.
std::uint64_t dos_time(std::int64_t unix_s) {
  const std::time_t time = unix_s;
  std::tm utc = {};
  ::gmtime_r(&time, &utc);
  const auto year = static_cast<std::uint64_t>(std::clamp(utc.tm_year - 80, 0, 127));
  const auto field = [](int value) { return static_cast<std::uint64_t>(value); };
  return year << 25U | field(utc.tm_mon + 1) << 21U | field(utc.tm_mday) << 16U | field(utc.tm_hour) << 11U |
         field(utc.tm_min) << 5U | field(utc.tm_sec / 2);
}

// Info-ZIP's "UT": the time of change.
void add_time_extra(Bytes& out, std::int64_t unix_s) {
  constexpr std::uint64_t modified = 1;
  out.u16(0x5455).u16(5).number<1>(modified).u32(static_cast<std::uint64_t>(unix_s));
}

struct Entry {
  const OutputFile& file;
  std::uint64_t offset = 0;
  std::uint64_t crc = 0;
};

std::string local_header(const Entry& entry) {  // 4.3.7
  const bool is_big = entry.file.size >= max_32;
  Bytes extra;
  if (is_big) extra.u16(1).u16(16).u64(entry.file.size).u64(entry.file.size);  // 4.5.3
  add_time_extra(extra, entry.file.modified_s);
  const auto size = is_big ? max_32 : entry.file.size;
  Bytes out;
  out.u32(0x04034b50).u16(is_big ? zip64_version : plain_version).u16(utf8_names).u16(0);
  out.u32(dos_time(entry.file.modified_s)).u32(entry.crc).u32(size).u32(size);
  out.u16(entry.file.path.size()).u16(extra.str().size()).add(entry.file.path).add(extra.str());
  return out.str();
}

std::string central_header(const Entry& entry) {  // 4.3.12
  const bool is_big = entry.file.size >= max_32;
  const bool is_far = entry.offset >= max_32;
  Bytes wide;
  if (is_big) wide.u64(entry.file.size).u64(entry.file.size);
  if (is_far) wide.u64(entry.offset);
  Bytes extra;
  if (is_big || is_far) extra.u16(1).u16(wide.str().size()).add(wide.str());
  add_time_extra(extra, entry.file.modified_s);
  const auto version = is_big || is_far ? zip64_version : plain_version;
  const auto size = is_big ? max_32 : entry.file.size;
  Bytes out;
  out.u32(0x02014b50).u16(made_on_unix | version).u16(version).u16(utf8_names).u16(0);
  out.u32(dos_time(entry.file.modified_s)).u32(entry.crc).u32(size).u32(size);
  out.u16(entry.file.path.size()).u16(extra.str().size()).u16(0).u16(0).u16(0);
  out.u32(regular_0644).u32(is_far ? max_32 : entry.offset).add(entry.file.path).add(extra.str());
  return out.str();
}

std::string end_records(std::uint64_t count, std::uint64_t directory_offset, std::uint64_t directory_size) {
  Bytes out;
  if (count >= max_16 || directory_offset >= max_32 || directory_size >= max_32) {
    constexpr std::uint64_t rest_of_record = 44;
    out.u32(0x06064b50).u64(rest_of_record).u16(made_on_unix | zip64_version).u16(zip64_version);  // 4.3.14
    out.u32(0).u32(0).u64(count).u64(count).u64(directory_size).u64(directory_offset);
    out.u32(0x07064b50).u32(0).u64(directory_offset + directory_size).u32(1);  // 4.3.15
  }
  out.u32(0x06054b50).u16(0).u16(0).u16(std::min(count, max_16)).u16(std::min(count, max_16));  // 4.3.16
  out.u32(std::min(directory_size, max_32)).u32(std::min(directory_offset, max_32)).u16(0);
  return out.str();
}

// Calls take(bytes) for the file's `size` bytes.
Status read_through(const OpenFile& file, const OutputFile& planned, std::string& buffer,
                    const Archive::Sink& take) {
  const auto changed = [&] {
    return fail(Code::conflict, fmt::format("'{}' changed while the archive was made", planned.path));
  };
  if (file.size != planned.size) return changed();
  for (std::uint64_t offset = 0; offset < planned.size;) {
    const auto wanted = std::min<std::uint64_t>(buffer.size(), planned.size - offset);
    const auto got = ::pread(file.fd.get(), buffer.data(), wanted, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(runtime::os_error(errno, fmt::format("reading '{}'", planned.path)));
    if (got == 0) return changed();
    if (auto status = take({buffer.data(), static_cast<std::size_t>(got)}); !status) return status;
    offset += static_cast<std::uint64_t>(got);
  }
  return {};
}

}  // namespace

Archive::Archive(std::vector<OutputFile> files, Open open)
    : files_(std::move(files)), open_(std::move(open)) {
  std::uint64_t directory_size = 0;
  for (const auto& file : files_) {
    const Entry entry{file, size_, 0};
    directory_size += central_header(entry).size();
    size_ += local_header(entry).size() + file.size;
  }
  size_ += directory_size + end_records(files_.size(), size_, directory_size).size();
}

Result<Archive> Archive::plan(std::vector<OutputFile> files, Open open) {
  if (files.empty()) return fail(Code::not_found, "the job has no output yet");
  return Archive(std::move(files), std::move(open));
}

Status Archive::write(const Sink& sink) const {
  std::vector<std::uint64_t> checksums;
  checksums.reserve(files_.size());
  std::string buffer(read_bytes, '\0');
  std::uint64_t offset = 0;
  for (const auto& file : files_) {
    const auto open = open_(file.path);
    if (!open) return fail(open.error());
    uLong crc = ::crc32(0, nullptr, 0);
    const auto add_up = [&crc](std::string_view bytes) -> Status {
      crc = ::crc32_z(crc, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size());
      return {};
    };
    if (auto status = read_through(*open, file, buffer, add_up); !status) return status;
    checksums.push_back(crc);
    const auto header = local_header({file, offset, crc});
    if (auto status = sink(header); !status) return status;
    if (auto status = read_through(*open, file, buffer, sink); !status) return status;
    offset += header.size() + file.size;
  }
  const auto directory_offset = offset;
  offset = 0;
  std::string directory;
  std::uint64_t directory_size = 0;
  for (std::size_t i = 0; i < files_.size(); ++i) {
    const Entry entry{files_[i], offset, checksums[i]};
    offset += local_header(entry).size() + files_[i].size;
    directory += central_header(entry);
    if (directory.size() < read_bytes && i + 1 < files_.size()) continue;
    if (auto status = sink(directory); !status) return status;
    directory_size += directory.size();
    directory.clear();
  }
  return sink(end_records(files_.size(), directory_offset, directory_size));
}

}  // namespace kiln::files
