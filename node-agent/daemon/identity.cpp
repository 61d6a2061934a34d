#include "daemon/identity.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "base/json.h"
#include "runtime/files.h"
#include "runtime/log.h"

namespace kiln::agent {

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t max_small_file_bytes = 4096;

}  // namespace

std::string host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0 || name[0] == '\0') return "box";
  return name.data();
}

namespace {

Result<std::optional<NodeId>> id_of_before(const fs::path& data) {
  const auto file = data / "node-id";
  auto text = runtime::read_file(file, max_small_file_bytes);
  if (!text) {
    if (text.error().code == Code::not_found) return std::optional<NodeId>();
    return fail(std::move(text.error()));
  }
  while (!text->empty() && std::isspace(static_cast<unsigned char>(text->back())) != 0) text->pop_back();
  auto id = NodeId::parse(*text);
  if (!id) {
    return fail(Code::invalid,
                fmt::format("{}: {}; correct it, or delete the file: the id follows from the box's key",
                            file.string(), id.error().message));
  }
  return std::optional<NodeId>(std::move(*id));
}

}  // namespace

Result<std::optional<NodeId>> find_node_id(const fs::path& data) {
  auto before = id_of_before(data);
  if (!before || *before) return before;
  std::error_code ignored;
  if (!fs::exists(data / key_name, ignored)) return std::optional<NodeId>();
  const auto key = identity::Key::load_or_make(data / key_name);
  if (!key) return fail(key.error());
  auto id = NodeId::parse(identity::id_of_key(key->public_key()));
  if (!id) return fail(std::move(id.error()));
  return std::optional<NodeId>(std::move(*id));
}

Result<NodeId> load_node_id(const fs::path& data, const identity::Key& key) {
  auto before = id_of_before(data);
  if (!before) return fail(std::move(before.error()));
  if (*before) return std::move(**before);
  return NodeId::parse(identity::id_of_key(key.public_key()));
}

Result<StateFile> StateFile::open(const fs::path& file) {
  const auto text = runtime::read_file(file, max_small_file_bytes);
  Values values;
  if (!text && text.error().code == Code::not_found) return StateFile(file, values);
  if (!text && text.error().code != Code::too_large) return fail(text.error());

  Error wrong{Code::too_large, "too large"};
  if (text) {
    const auto json = Json::parse(*text);
    if (json) {
      JsonReader in(*json, "state");
      in.required("farm", values.farm);
      in.required("epoch", values.epoch);
      in.required("sid", values.sid);
      auto read = in.finish(values);
      if (read) return StateFile(file, *read);
      wrong = read.error();
    } else {
      wrong = json.error();
    }
  }
  const fs::path aside = file.string() + ".bad";
  std::error_code failed;
  fs::rename(file, aside, failed);
  if (failed)
    return fail(Code::io, fmt::format("{}: {}; and it cannot be set aside: {}", file.string(), wrong.message,
                                      failed.message()));
  log::warn("agent", "{} was damaged ({}) and is set aside as {}", file.string(), wrong.message,
            aside.string());
  return StateFile(file, Values{});
}

StateFile::StateFile(StateFile&& other) noexcept
    : file_(std::move(other.file_)), values_(std::move(other.values_)) {}

std::string StateFile::farm() const {
  const std::lock_guard lock(mutex_);
  return values_.farm;
}

std::uint64_t StateFile::epoch() const {
  const std::lock_guard lock(mutex_);
  return values_.epoch;
}

Status StateFile::set_farm(const std::string& farm) {
  const std::lock_guard lock(mutex_);
  values_.farm = farm;
  values_.epoch = 0;
  return save();
}

Status StateFile::set_epoch(std::uint64_t epoch) {
  const std::lock_guard lock(mutex_);
  values_.epoch = epoch;
  return save();
}

std::uint64_t StateFile::raise_sid() {
  const std::lock_guard lock(mutex_);
  ++values_.sid;
  if (const auto saved = save(); !saved) log::error("agent", "{}", saved.error().message);
  return values_.sid;
}

void StateFile::skip_sid(std::uint64_t sid) {
  const std::lock_guard lock(mutex_);
  values_.sid = std::max(values_.sid, sid);
}

Status StateFile::save() {
  const auto json = Json::object({{"farm", values_.farm}, {"epoch", values_.epoch}, {"sid", values_.sid}});
  auto written = runtime::write_file_atomically(file_, json.dump() + "\n");
  if (!written) return fail(std::move(written.error()).with("while storing this box's state"));
  return {};
}

}  // namespace kiln::agent
