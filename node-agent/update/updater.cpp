#include "update/updater.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "base/json.h"
#include "runtime/facts.h"
#include "runtime/files.h"
#include "runtime/log.h"

namespace kiln::update {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

namespace {

constexpr milliseconds look_every{1'000};            // while something is under way
constexpr milliseconds look_when_idle{15'000};       // health is judged once, some time after the start
constexpr std::size_t max_word_bytes = 64UL * 1024;  // of a file of root's
constexpr std::size_t max_boot_log_bytes = 4UL * 1024 * 1024;
constexpr double told_every_pct = 1;  // of a download: no more than a person can read
constexpr std::int64_t ns_per_s = 1'000'000'000;

std::optional<Json> word_of(const fs::path& file) {
  const auto text = runtime::read_file(file, max_word_bytes);
  if (!text) return std::nullopt;
  auto json = Json::parse(*text);
  if (!json) return std::nullopt;
  return std::move(*json);
}

std::string text_of(const Json& json, std::string_view key) {
  const auto* member = json.find(key);
  const auto* text = member != nullptr ? member->as_string() : nullptr;
  return text != nullptr ? *text : std::string();
}

std::int64_t written_ns(const fs::path& file) {
  struct stat facts {};
  if (::stat(file.c_str(), &facts) != 0) return 0;
  return facts.st_mtim.tv_sec * ns_per_s + facts.st_mtim.tv_nsec;
}

fs::path bundle_in(const fs::path& folder, const payloads::UpdateImage& offer) {
  return folder / (offer.image.substr(offer.image.find(':') + 1) + ".raucb");
}

Next to(Record record, double percent) {
  return {std::move(record), Do::nothing, percent};
}

double percent_of(std::uint64_t held, const payloads::UpdateImage& offer) {
  return 100 * static_cast<double>(held) / static_cast<double>(std::max<std::uint64_t>(offer.bytes, 1));
}

bool is_under_way(State state) {
  return state == State::downloaded || state == State::installing || state == State::installed ||
         state == State::restarting;
}

}  // namespace

std::string image_version(const Places& places) {
  const auto text = runtime::read_file(places.image, max_word_bytes);
  return text ? runtime::value_of(*text, "KILN_IMAGE_VERSION") : std::string();
}

Status request(const Places& places, const std::string& what) {
  return runtime::write_file_atomically(places.requests / what, "{}\n");
}

Updater::Updater(fs::path folder, Places places, Handlers handlers)
    : folder_(std::move(folder)), places_(std::move(places)), handlers_(std::move(handlers)) {
  if (auto made = runtime::make_folders(folder_); !made) log::error("update", "{}", made.error().message);
  if (const auto json = word_of(folder_ / "state.json")) {
    auto record = parse_record(*json);
    if (record) {
      record_ = started(std::move(*record), see());
    } else {
      log::error("update", "what was remembered of an update is lost: {}", record.error().message);
    }
  }
  thread_ = std::thread([this] { run(); });
}

Updater::~Updater() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Updater::offer(payloads::UpdateImage offer) {
  {
    // A copy of what is under way must not disturb it.
    const std::lock_guard lock(record_mutex_);
    if (record_.offer == offer) return;
  }
  const std::lock_guard lock(mutex_);
  orders_.emplace_back([offer = std::move(offer)](Record record) {
    const bool is_same = record.offer.rollout == offer.rollout && record.offer.attempt == offer.attempt &&
                         record.offer.image == offer.image;
    return is_same ? record : offered(offer);
  });
  changed_.notify_all();
}

void Updater::withdraw(std::uint64_t rollout) {
  const std::lock_guard lock(mutex_);
  orders_.emplace_back([rollout](Record record) { return withdrawn(std::move(record), rollout); });
  changed_.notify_all();
}

void Updater::restarting() {
  (void)change([](Record record) { return to(update::restarting(std::move(record)), 100); });
}

void Updater::stays_up() {
  (void)change([](Record record) { return to(update::stays_up(std::move(record)), 100); });
}

void Updater::run() {
  milliseconds wait{0};
  while (take_orders(wait)) {
    round();
    deliver_boot_logs();
    const std::lock_guard lock(record_mutex_);
    wait = record_.state == State::downloading ? milliseconds(0)
           : is_under_way(record_.state)       ? look_every
                                               : look_when_idle;
  }
}

bool Updater::take_orders(milliseconds wait) {
  std::vector<std::function<Record(Record)>> orders;
  {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, wait, [this] { return is_stopping_ || !orders_.empty(); });
    if (is_stopping_) return false;
    orders = std::exchange(orders_, {});
  }
  for (const auto& order : orders)
    (void)change([&](Record record) { return to(order(std::move(record)), 0); });
  return true;
}

// Root keeps the logs, readable for us alone, and removes the oldest; which of them went out is noted here.
void Updater::deliver_boot_logs() const {
  std::error_code error;
  for (fs::directory_iterator at(places_.data / "failed-boots", error), end; !error && at != end;
       at.increment(error)) {
    const auto boot = at->path().stem();
    const auto note = folder_ / "delivered-boots" / boot;
    std::error_code ignored;
    if (at->path().extension() != ".log" || fs::exists(note, ignored)) continue;
    const auto log = runtime::read_file(at->path(), max_boot_log_bytes);
    if (!log) continue;
    if (!handlers_.deliver(boot.string(), *log)) return;
    log::info("update", "delivered what the boot {} logged, which failed", boot.string());
    if (!runtime::make_folders(note.parent_path()) || !runtime::write_file_atomically(note, "")) return;
  }
}

void Updater::round() {
  const auto seen = see();
  const auto next = change([&](Record record) {
    auto looked = look(std::move(record), seen);
    if (looked.what == Do::download)
      looked.percent = percent_of(bytes_held(looked.record.offer), looked.record.offer);
    return looked;
  });
  switch (next.what) {
    case Do::nothing:
      break;
    case Do::download:
      download(next.record.offer);
      break;
    case Do::ask:
      ask(seen);
      break;
    case Do::tidy:
      tidy();
      break;
  }
}

void Updater::download(const payloads::UpdateImage& offer) {
  const auto file = bundle_in(folder_, offer);
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder_, ignored)) {  // of earlier offers
    if (entry.path().extension() == ".raucb" && entry.path() != file) fs::remove(entry.path(), ignored);
  }
  const auto is_over = [this] {
    const std::lock_guard lock(mutex_);
    return is_stopping_ || !orders_.empty();
  };
  double told_pct = -told_every_pct;
  std::string told_trouble;
  log::info("update", "image {} ({}, {} bytes) is being downloaded", offer.version, offer.image, offer.bytes);
  const auto fetched =
      handlers_.fetch(offer, file, is_over, [&](std::uint64_t held, const std::string& trouble) {
        const auto percent = percent_of(held, offer);
        if (percent - told_pct < told_every_pct && trouble == told_trouble) return;
        told_pct = percent;
        told_trouble = trouble;
        (void)change([&](Record record) { return to(std::move(record), percent); }, trouble);
      });
  if (!fetched && is_over()) return;
  if (fetched) {
    log::info("update", "image {} is here", offer.version);
  } else {
    log::error("update", "image {}: {}", offer.version, fetched.error().message);
    fs::remove(file, ignored);
  }
  (void)change([&](Record record) { return to(downloaded(std::move(record), fetched), fetched ? 100 : 0); });
}

void Updater::ask(const Seen& before) {
  Record record;
  {
    const std::lock_guard lock(record_mutex_);
    record = record_;
  }
  if (record.state != State::downloaded) return;
  if (bytes_held(record.offer) != record.offer.bytes) {  // somebody tidied the disk
    (void)change([](Record now) { return to(offered(now.offer), 0); });
    return;
  }
  // Before the request is remembered: one that is lost is made again, one that is made twice installs twice.
  const auto written = runtime::write_file_atomically(
      places_.requests / "install.json",
      Json::object({{"bundle", fs::absolute(bundle_in(folder_, record.offer)).string()}}).dump() + "\n");
  if (!written) {
    log::error("update", "{}", written.error().message);
    (void)change([&](Record now) { return to(downloaded(std::move(now), fail(written.error())), 0); });
    return;
  }
  log::info("update", "image {} is to be installed", record.offer.version);
  (void)change([&](Record now) { return to(asked(std::move(now), before), 0); });
}

std::uint64_t Updater::bytes_held(const payloads::UpdateImage& offer) const {
  std::error_code error;
  const auto size = fs::file_size(bundle_in(folder_, offer), error);
  return error ? 0 : size;
}

void Updater::tidy() const {
  std::error_code ignored;
  std::vector<fs::path> bundles;
  for (const auto& entry : fs::directory_iterator(folder_, ignored)) {
    if (entry.path().extension() == ".raucb") bundles.push_back(entry.path());
  }
  for (const auto& bundle : bundles) fs::remove(bundle, ignored);
}

Seen Updater::see() const {
  Seen seen;
  if (const auto text = runtime::read_file(places_.image, max_word_bytes)) {
    seen.version = runtime::value_of(*text, "KILN_IMAGE_VERSION");
    seen.machine = runtime::value_of(*text, "KILN_IMAGE_COMPATIBLE");
  }
  seen.boot = runtime::first_line(places_.boot_id);
  std::error_code ignored;
  seen.request_waits = fs::exists(places_.requests / "install.json", ignored);
  const auto install = places_.run / "install.json";
  // The time first: a file that is replaced in between is looked at again.
  const auto install_ns = written_ns(install);
  if (const auto word = word_of(install)) {
    const auto* percent = word->find("percent");
    const auto* number = percent != nullptr ? percent->as_number() : nullptr;
    seen.install = Seen::Install{text_of(*word, "state"), number != nullptr ? *number : 0,
                                 text_of(*word, "message"), install_ns};
  }
  if (const auto word = word_of(places_.run / "health.json"))
    seen.health = Seen::Health{text_of(*word, "state"), text_of(*word, "slot"), text_of(*word, "message")};
  if (const auto word = word_of(places_.data / "last-update.json"))
    seen.last_update_message = text_of(*word, "message");
  const auto problems = word_of(places_.run / "problems.json");
  const auto* all = problems ? problems->as_array() : nullptr;
  for (std::size_t at = 0; all != nullptr && at < std::min(all->size(), payloads::max_problems); ++at) {
    if (const auto* text = (*all)[at].as_string(); text != nullptr && !text->empty())
      seen.problems.push_back(*text);
  }
  return seen;
}

Next Updater::change(const std::function<Next(Record)>& make, const std::string& trouble) {
  const auto seen = see();
  const std::lock_guard lock(record_mutex_);
  auto next = make(record_);
  if (next.record != record_) {
    const bool is_news = next.record.state != record_.state;
    record_ = next.record;
    if (auto kept =
            runtime::write_file_atomically(folder_ / "state.json", to_json(record_).dump() + "\n", 0600);
        !kept)
      log::error("update", "{}", kept.error().message);
    if (is_news) {
      log::info("update", "{} is {}{}{}", record_.offer.version.empty() ? "the box" : record_.offer.version,
                to_string(record_.state), record_.message.empty() ? "" : ": ", record_.message);
    }
  }
  auto update = shown(record_, seen, next.percent);
  if (!trouble.empty()) update.message = trouble;
  if (told_ != update) handlers_.on_change(update);
  told_ = std::move(update);
  return next;
}

}  // namespace kiln::update
