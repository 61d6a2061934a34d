#include "box/boot_slots.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "runtime/files.h"
#include "runtime/log.h"

namespace kiln::box {

namespace fs = std::filesystem;
using runtime::os_error;

namespace {

Result<BootEnvironment> read_block(const fs::path& file) {
  auto bytes = runtime::read_file(file, BootEnvironment::block_bytes);
  if (!bytes) return fail(std::move(bytes.error()));
  return BootEnvironment::parse(*bytes);
}

Status write_in_place(const fs::path& file, std::string_view block) {
  auto fd = runtime::open_file(file, O_WRONLY | O_CREAT, 0600);
  if (!fd) return fail(std::move(fd.error()));
  if (auto done = runtime::write_all(fd->get(), block, file.string()); !done) return done;
  if (::ftruncate(fd->get(), static_cast<off_t>(block.size())) != 0 || ::fsync(fd->get()) != 0) {
    return fail(os_error(errno, "cannot write " + file.string()));
  }
  return {};
}

}  // namespace

Result<BootEnvironment> BootSlots::load() const {
  if (auto block = read_block(folder_ / "grubenv")) return block;
  if (auto copy = read_block(folder_ / "grubenv.good")) return copy;
  std::error_code ignored;
  if (!fs::is_directory(folder_, ignored)) {
    return fail(Code::io, fmt::format("{}: the boot partition is not mounted here", folder_.string()));
  }
  BootEnvironment fresh;
  // Both copies gone: the slot that runs is the one that can be trusted.
  if (const auto booted = booted_slot(); is_slot(booted)) fresh.set_primary(booted);
  return fresh;
}

Status BootSlots::store(const BootEnvironment& environment) const {
  auto block = environment.block();
  if (!block) return fail(std::move(block.error()));
  if (auto done = write_in_place(folder_ / "grubenv", *block); !done) return done;
  return write_in_place(folder_ / "grubenv.good", *block);
}

Result<bool> BootSlots::repair() const {
  const auto block = read_block(folder_ / "grubenv");
  if (block && read_block(folder_ / "grubenv.good")) return false;
  auto found = load();
  if (!found) return fail(std::move(found.error()));
  if (auto done = store(*found); !done) return fail(std::move(done.error()));
  log::warn("box", "the boot environment was damaged and is repaired");
  return true;
}

std::string booted_slot(const fs::path& cmdline) {
  const auto text = runtime::read_file(cmdline, 4096);
  if (!text) return {};
  constexpr std::string_view key = "rauc.slot=";
  const auto at = text->find(key);
  if (at == std::string::npos || at + key.size() >= text->size()) return {};
  auto slot = text->substr(at + key.size(), 1);
  return is_slot(slot) ? slot : std::string();
}

bool kernel_argument(std::string_view name, const fs::path& cmdline) {
  const auto text = runtime::read_file(cmdline, 4096).value_or("");
  for (std::size_t at = 0; at < text.size();) {
    const auto end = std::min(text.find_first_of(" \n", at), text.size());
    const auto word = std::string_view(text).substr(at, end - at);
    if (word.substr(0, word.find('=')) == name) return true;
    at = end + 1;
  }
  return false;
}

Status boot_slots_command(const BootSlots& slots, const std::vector<std::string>& words, std::string& out) {
  const auto wrong = [] {
    return fail(Code::invalid,
                "write get-primary, get-current, set-primary A|B, get-state A|B or set-state A|B good|bad");
  };
  if (words.empty()) return wrong();
  auto environment = slots.load();
  if (!environment) return fail(std::move(environment.error()));
  const auto& verb = words[0];
  if (words.size() == 1 && verb == "get-primary") {
    out = environment->primary();
    return out.empty() ? Status(fail(Code::not_found, "no slot is good")) : Status();
  }
  if (words.size() == 1 && verb == "get-current") {
    out = booted_slot();
    return out.empty()
               ? Status(fail(Code::not_found, "this is no flashed box: the kernel's arguments name no slot"))
               : Status();
  }
  if (words.size() < 2 || !is_slot(words[1])) return wrong();
  const auto& slot = words[1];
  if (verb == "get-state" && words.size() == 2) {
    out = environment->is_good(slot) ? "good" : "bad";
    return {};
  }
  if (verb == "set-primary" && words.size() == 2) {
    environment->set_primary(slot);
  } else if (verb == "set-state" && words.size() == 3 && (words[2] == "good" || words[2] == "bad")) {
    environment->set_good(slot, words[2] == "good");
  } else {
    return wrong();
  }
  return slots.store(*environment);
}

}  // namespace kiln::box
