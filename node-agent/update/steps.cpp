#include "update/steps.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace kiln::update {

namespace {

constexpr double all_pct = 100;

// Follows the table; a pair that is not there changes nothing.
Record advance(Record record, On on, std::string message = {}) {
  const auto* arrow = std::find_if(arrows.begin(), arrows.end(), [&](const Arrow& one) {
    return one.from == record.state && one.on == on;
  });
  if (arrow == arrows.end()) return record;
  record.state = arrow->to;
  record.message = std::move(message);
  return record;
}

Next then(Record record, Do what = Do::nothing, double percent = 0) {
  return {std::move(record), what, percent};
}

Next look_at_installation(Record record, const Seen& seen) {
  if (seen.request_waits || !seen.install || seen.install->written_ns == record.word_ns) return then(record);
  const auto& word = *seen.install;
  if (word.state == "installed") return then(advance(std::move(record), On::written), Do::tidy, all_pct);
  if (word.state == "failed") return then(advance(std::move(record), On::broken, word.message), Do::tidy);
  return then(std::move(record), Do::nothing, word.percent);
}

// In another boot than the one it was installed in: what became of it.
Next look_at_outcome(Record record, const Seen& seen) {
  if (!seen.health || seen.health->state == "checking" || seen.health->state == "bad") {
    if (seen.version == record.offer.version) record = advance(std::move(record), On::restart);
    record.message = seen.health ? seen.health->message : std::string();
    return then(std::move(record), Do::nothing, all_pct);
  }
  const auto& health = *seen.health;
  const bool was_installing = record.state == State::installing;
  if (health.state == "rolled-back")
    return then(advance(std::move(record), On::judged_bad, health.message), Do::tidy, all_pct);
  if (health.state == "good" && seen.version == record.offer.version)
    return then(advance(std::move(record), On::judged_good), Do::tidy, all_pct);
  // The old system runs, and thinks nothing of it.
  if (was_installing && record.installs < max_installs)
    return then(
        advance(std::move(record), On::interrupted, "the box restarted while it was being installed"));
  if (was_installing) {
    auto why = fmt::format("the box restarted in each of {} installations", record.installs);
    return then(advance(std::move(record), On::broken, std::move(why)), Do::tidy);
  }
  auto why = seen.last_update_message.empty() ? fmt::format("the box runs {} after the restart", seen.version)
                                              : seen.last_update_message;
  return then(advance(std::move(record), On::judged_bad, std::move(why)), Do::tidy, all_pct);
}

}  // namespace

Json to_json(const Record& record) {
  return Json::object({{"rollout", record.offer.rollout},
                       {"attempt", record.offer.attempt},
                       {"image", record.offer.image},
                       {"bytes", record.offer.bytes},
                       {"version", record.offer.version},
                       {"state", to_string(record.state)},
                       {"message", record.message},
                       {"boot", record.boot},
                       {"word_ns", std::to_string(record.word_ns)},  // JSON's numbers end at 2^53
                       {"installs", record.installs}});
}

Result<Record> parse_record(const Json& json) {
  Record out;
  std::string state;
  std::string word_ns;
  constexpr std::size_t max_kept_bytes = 4096;
  JsonReader in(json, "update");
  in.required("rollout", out.offer.rollout);
  in.required("attempt", out.offer.attempt);
  in.required("image", out.offer.image);
  in.required("bytes", out.offer.bytes, payloads::max_image_bytes);
  in.optional("version", out.offer.version);
  in.required("state", state);
  in.optional("message", out.message, max_kept_bytes);
  in.optional("boot", out.boot);
  in.optional("word_ns", word_ns);
  in.optional("installs", out.installs);
  const auto known = payloads::parse_update_state(state);
  if (in.ok() && !known) in.reject("state", "no such state");
  if (in.ok() && out.offer.rollout != 0 && !is_digest(out.offer.image)) in.reject("image", "no digest");
  if (known) out.state = *known;
  if (!word_ns.empty() && word_ns.size() < 20 && word_ns.find_first_not_of("0123456789") == std::string::npos)
    out.word_ns = static_cast<std::int64_t>(std::stoull(word_ns));
  return in.finish(std::move(out));
}

Next look(Record record, const Seen& seen) {
  const bool is_same_boot = record.boot == seen.boot;
  switch (record.state) {
    case State::idle:
    case State::failed:
    case State::rolled_back:
      break;
    case State::good:
      // Flashed anew, or updated by other means: that is another story.
      if (seen.version != record.offer.version) return then(Record{}, Do::tidy);
      return then(std::move(record), Do::nothing, all_pct);
    case State::downloading:
      return then(std::move(record), Do::download);
    case State::downloaded:
      // Asked before the agent ended, and not remembered.
      if (seen.install && seen.install->state == "installing") {
        record.word_ns = 0;
        record.boot = seen.boot;
        return then(advance(std::move(record), On::asked), Do::nothing, seen.install->percent);
      }
      return then(std::move(record), Do::ask);
    case State::installing:
      return is_same_boot ? look_at_installation(std::move(record), seen)
                          : look_at_outcome(std::move(record), seen);
    case State::installed:
      if (is_same_boot) return then(std::move(record), Do::nothing, all_pct);
      return look_at_outcome(advance(std::move(record), On::restart), seen);
    case State::restarting:
      if (is_same_boot) return then(std::move(record), Do::nothing, all_pct);
      return look_at_outcome(std::move(record), seen);
  }
  return then(std::move(record));
}

Record started(Record record, const Seen& seen) {
  if (record.state == State::restarting && record.boot == seen.boot) return stays_up(std::move(record));
  return record;
}

Record offered(const payloads::UpdateImage& offer) {
  Record record;
  record.offer = offer;
  record.state = State::downloading;
  return record;
}

Record withdrawn(Record record, std::uint64_t rollout) {
  const bool is_taken = record.state != State::downloading && record.state != State::downloaded;
  return is_taken || record.offer.rollout != rollout ? record : Record{};
}

Record downloaded(Record record, const Status& fetched) {
  if (fetched) return advance(std::move(record), On::fetched);
  return advance(std::move(record), On::broken, fetched.error().message);
}

Record asked(Record record, const Seen& before) {
  record.boot = before.boot;
  record.word_ns = before.install ? before.install->written_ns : 0;
  ++record.installs;
  return advance(std::move(record), On::asked);
}

Record restarting(Record record) {
  return record.state == State::installed ? advance(std::move(record), On::restart) : record;
}

Record stays_up(Record record) {
  return advance(std::move(record), On::stays_up);
}

payloads::NodeUpdate shown(const Record& record, const Seen& seen, double percent) {
  payloads::NodeUpdate out;
  out.version = seen.version;
  out.machine = seen.machine;
  if (seen.health) out.slot = seen.health->slot;
  out.state = record.state;
  out.image = record.offer.image;
  out.rollout = record.offer.rollout;
  out.attempt = record.offer.attempt;
  out.message = record.message;
  out.problems = seen.problems;
  if (!out.image.empty()) out.percent = std::clamp(percent, 0.0, all_pct);
  return out;
}

}  // namespace kiln::update
