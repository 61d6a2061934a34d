#include "box/install_to.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "box/boot_slots.h"
#include "box/command.h"
#include "runtime/files.h"
#include "runtime/log.h"

namespace kiln::box {

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t min_disk_bytes =
    8'000'000'000;  // two slots of 2 GiB, their boot slots, and room for frames
constexpr std::size_t chunk_bytes = 4UL * 1024 * 1024;

// As in image/parts/disk.sh; sizes in MiB. The ids are made by sfdisk, new for every disk.
constexpr const char* table =
    "label: gpt\n"
    "size=64MiB, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name=esp\n"
    "size=32MiB, type=EBD0A0A2-B9E5-4433-87C0-68B6B72699C7, name=kiln-config\n"
    "size=128MiB, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, name=boot-a\n"
    "size=2048MiB, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, name=root-a\n";

std::string partition(const std::string& disk, int number) {
  const bool ends_in_digit = disk.back() >= '0' && disk.back() <= '9';
  return fmt::format("{}{}{}", disk, ends_in_digit ? "p" : "", number);
}

Status copy_device(const fs::path& from, const fs::path& to) {
  auto in = runtime::open_file(from, O_RDONLY);
  if (!in) return fail(std::move(in.error()));
  auto out = runtime::open_file(to, O_WRONLY);
  if (!out) return fail(std::move(out.error()));
  std::string buffer(chunk_bytes, '\0');
  for (ssize_t got = 0; (got = ::read(in->get(), buffer.data(), buffer.size())) != 0;) {
    if (got < 0) return fail(runtime::os_error(errno, "cannot read " + from.string()));
    if (auto done = runtime::write_all(
            out->get(), std::string_view(buffer.data(), static_cast<std::size_t>(got)), to.string());
        !done) {
      return done;
    }
  }
  return ::fsync(out->get()) == 0 ? Status()
                                  : Status(fail(runtime::os_error(errno, "cannot write " + to.string())));
}

// For the screen, and whoever runs us by hand.
void say(const Places& places, const std::string& message) {
  log::info("box", "{}", message);
  const auto json = Json::object({{"message", message}});
  if (auto done = runtime::write_file_atomically(places.run / "install-to.json", json.dump() + "\n"); !done) {
    log::warn("box", "{}", done.error().message);
  }
}

std::string names_of(const std::vector<Disk>& disks) {
  std::string out;
  for (const auto& disk : disks) {
    out += fmt::format("{}{} ({}, {} GB)", out.empty() ? "" : ", ", disk.path,
                       disk.model.empty() ? "disk" : disk.model, disk.bytes / 1'000'000'000);
  }
  return out;
}

}  // namespace

Result<std::vector<Disk>> parse_disks(std::string_view lsblk_json) {
  auto json = Json::parse(lsblk_json, {.bytes = 256UL * 1024, .depth = 8, .values = 8192});
  if (!json) return fail(std::move(json.error()).with("lsblk"));
  const auto* list = json->find("blockdevices");
  if (list == nullptr || list->as_array() == nullptr) return fail(Code::invalid, "lsblk: no blockdevices");
  std::vector<Disk> out;
  for (const auto& one : *list->as_array()) {
    const auto* bytes = one.find("size");
    const auto* read_only = one.find("ro");
    if (text_of(one, "type") != "disk" || bytes == nullptr || bytes->as_number() == nullptr) continue;
    if (read_only != nullptr && read_only->as_bool() != nullptr && *read_only->as_bool()) continue;
    out.push_back({.path = text_of(one, "path"),
                   .model = text_of(one, "model"),
                   .bytes = static_cast<std::uint64_t>(*bytes->as_number())});
  }
  return out;
}

Result<Disk> only_other_disk(const std::vector<Disk>& disks, const std::string& booted) {
  std::vector<Disk> fitting;
  std::copy_if(disks.begin(), disks.end(), std::back_inserter(fitting),
               [&](const Disk& disk) { return disk.path != booted && disk.bytes >= min_disk_bytes; });
  if (fitting.size() == 1) return fitting.front();
  if (fitting.empty()) {
    return fail(Code::not_found,
                fmt::format("no other disk of at least {} GB is here", min_disk_bytes / 1'000'000'000));
  }
  return fail(Code::conflict,
              fmt::format("which disk? There are {}: unplug the others, or run kiln-box install-to {}",
                          names_of(fitting), fitting.front().path));
}

namespace {

Status erase_and_copy(const Places& places, const std::string& target) {
  const auto listed =
      output_of({"lsblk", "--nodeps", "--bytes", "--json", "--output", "PATH,TYPE,SIZE,MODEL,RO"});
  if (!listed) return fail(listed.error());
  auto disks = parse_disks(*listed);
  if (!disks) return fail(std::move(disks.error()));
  auto booted = runtime::read_file(places.run / "disk", 256);
  if (!booted) return fail(Code::unsupported, "this is no flashed box: it was not started from Kiln's disk");
  booted->erase(booted->find_last_not_of('\n') + 1);

  Disk disk;
  if (target.empty() || target == "auto") {
    auto found = only_other_disk(*disks, *booted);
    if (!found) return fail(std::move(found.error()));
    disk = *found;
  } else {
    const auto found =
        std::find_if(disks->begin(), disks->end(), [&](const Disk& one) { return one.path == target; });
    if (target == *booted) return fail(Code::conflict, fmt::format("{} is the disk that runs", target));
    if (found == disks->end()) {
      return fail(Code::not_found,
                  fmt::format("there is no disk {}; there are {}", target, names_of(*disks)));
    }
    if (found->bytes < min_disk_bytes) {
      return fail(Code::too_large, fmt::format("{} is too small: at least {} GB are needed", target,
                                               min_disk_bytes / 1'000'000'000));
    }
    disk = *found;
  }
  say(places,
      fmt::format("installing on {}: everything on it is erased; this takes some minutes", names_of({disk})));
  const auto script = places.run / "install-to.sfdisk";
  if (auto done = runtime::write_file_atomically(script, table); !done) return done;
  if (auto done = run({"wipefs", "--all", "--quiet", disk.path}); !done) return done;
  if (auto done = run({"sh", "-c", "sfdisk --quiet --wipe always --wipe-partitions always \"$1\" <\"$0\"",
                       script.string(), disk.path});
      !done) {
    return done;
  }
  if (auto done = run({"udevadm", "settle"}); !done) return done;
  const std::string slot = booted_slot() == "B" ? "b" : "a";
  const std::pair<fs::path, int> copies[] = {
      {"esp", 1}, {"config", 2}, {"boot-" + slot, 3}, {"root-" + slot, 4}};
  ::sync();
  for (const auto& [from, number] : copies) {
    log::info("box", "copying {}", from.string());
    if (auto done = copy_device(places.run / "slots" / from, partition(disk.path, number)); !done)
      return done;
  }
  const auto mount_point = places.run / "install-to";
  if (auto done = runtime::make_folders(mount_point); !done) return done;
  if (auto done = run({"mount", "-t", "vfat", partition(disk.path, 1), mount_point.string()}); !done)
    return done;
  const auto stored = BootSlots(mount_point / "kiln").store(BootEnvironment());
  if (auto done = run({"umount", mount_point.string()}); !done) return done;
  if (!stored) return stored;
  say(places, fmt::format("{} is a box now: switch off, take the stick out, switch on", disk.path));
  return {};
}

}  // namespace

Status install_to(const Places& places, const std::string& target) {
  auto done = erase_and_copy(places, target);
  if (!done) say(places, "not installed: " + done.error().message);
  return done;
}

}  // namespace kiln::box
