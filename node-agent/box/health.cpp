#include "box/health.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "box/command.h"
#include "box/verdict.h"
#include "runtime/clock.h"
#include "runtime/files.h"
#include "runtime/log.h"

namespace kiln::box {

namespace fs = std::filesystem;
using Kind = Verdict::Kind;

namespace {

constexpr int connect_timeout_ms = 3000;
constexpr std::chrono::seconds look_again{3};
constexpr std::size_t max_journal_bytes = 2UL * 1024 * 1024;  // of one failed boot
constexpr std::size_t max_journals = 6;                       // two updates that failed, three tries each

class Health {
 public:
  Health(const Places& places, const BootSlots& slots)
      : places_(places),
        slots_(slots),
        slot_(booted_slot()),
        boot_(boot_id()),
        version_(image_fact(places, "VERSION")) {}

  Status watch() {
    if (slot_.empty())
      return fail(Code::unsupported, "this is no flashed box: the kernel's arguments name no slot");
    if (auto repaired = slots_.repair(); !repaired) return fail(std::move(repaired.error()));
    read_trial();
    if (trial_ && trial_->slot == slot_ && trial_->boot != boot_) remember_try();
    const auto began_ms = runtime::now().mono_ms;
    auto well_since_ms = began_ms;
    while (true) {
      const auto now_ms = runtime::now().mono_ms;
      auto facts = look();
      facts.up_s = static_cast<double>(now_ms - began_ms) / 1000;
      if (facts.trial && !missing(facts).empty()) well_since_ms = now_ms;
      const auto verdict = judge(facts, static_cast<double>(now_ms - well_since_ms) / 1000);
      if (verdict.kind == Kind::wait) {
        say("checking", verdict.reason);
        std::this_thread::sleep_for(look_again);
        continue;
      }
      return act(verdict);
    }
  }

 private:
  fs::path trial_file() const { return places_.data / "trial.json"; }

  void read_trial() {
    const auto json = read_json(trial_file());
    if (!json) return;
    if (auto trial = parse_trial(*json)) trial_ = std::move(*trial);
  }
  void write_trial() const {
    if (auto done = runtime::write_file_atomically(trial_file(), to_json(*trial_).dump() + "\n", 0600);
        !done) {
      log::error("box", "{}", done.error().message);
    }
  }
  void remember_try() {
    trial_->boots.push_back(boot_);
    write_trial();
  }

  [[nodiscard]] HealthFacts look() const {
    HealthFacts facts;
    facts.slot = slot_;
    facts.boot = boot_;
    facts.trial = trial_;
    if (!trial_ || trial_->slot != slot_) return facts;
    const auto agent = service_state("kiln-agent.service");
    facts.agent_active = agent.active;
    facts.agent_restarts = agent.restarts;
    facts.link = has_link(places_.sysfs);
    facts.data_writable = is_writable(places_.data);
    facts.gpus = count_gpus(places_.sysfs);
    facts.controller_reachable =
        trial_->online_before && is_reachable(read_box_state(places_).controller, connect_timeout_ms);
    return facts;
  }

  Status act(const Verdict& verdict) {
    switch (verdict.kind) {
      case Kind::wait:
        break;
      case Kind::pending:
        say("good", "an update is installed and waits for the restart");
        return {};
      case Kind::settled:
      case Kind::good:
        log::info("box", "slot {} is good", slot_);
        if (trial_) log::info("box", "the update to {} is complete", version_);
        return settle("good", "");
      case Kind::rolled_back:
        log::error("box", "{}", verdict.reason);
        keep_journals();
        return settle("rolled-back", verdict.reason);
      case Kind::interrupted:
        log::warn("box", "{}", verdict.reason);
        return settle("interrupted", verdict.reason);
      case Kind::bad:
        return give_up(verdict.reason);
    }
    return {};
  }

  // This slot has all its tries; after a trial it is also the first, and what is no good is marked as that.
  Status settle(const char* state, const std::string& message) {
    auto environment = slots_.load();
    if (!environment) return fail(std::move(environment.error()));
    const bool other_failed = trial_ && trial_->slot != slot_;
    if (trial_) environment->set_primary(slot_);
    environment->set_good(slot_, true);
    if (other_failed) environment->set_good(other_slot(slot_), false);
    if (auto done = slots_.store(*environment); !done) return done;
    std::error_code ignored;
    if (trial_) {
      const auto last = Json::object({{"state", state}, {"version", trial_->version}, {"message", message}});
      if (auto done = runtime::write_file_atomically(places_.data / "last-update.json", last.dump() + "\n");
          !done) {
        log::error("box", "{}", done.error().message);
      }
      fs::remove(trial_file(), ignored);
    }
    say(state, message);
    return {};
  }

  Status give_up(const std::string& reason) {
    log::error("box", "slot {} is not good after its update: {}; restarting", slot_, reason);
    trial_->reason = reason;
    write_trial();
    say("bad", reason);
    if (auto synced = run({"journalctl", "--sync"}); !synced) log::warn("box", "{}", synced.error().message);
    if (auto restarted = run({"systemctl", "--no-block", "reboot"}); !restarted) return restarted;
    std::this_thread::sleep_for(std::chrono::minutes(5));  // the restart ends us
    return fail(Code::timeout, "the restart did not come");
  }

  // What the failed tries logged, for the agent to deliver.
  void keep_journals() {
    const auto folder = places_.data / "failed-boots";
    if (auto made = runtime::make_folders(folder); !made) return;
    std::error_code ignored;
    for (const auto& boot : trial_->boots) {
      auto name = boot;  // as the kernel writes it; journalctl knows it without the dashes alone
      std::erase(name, '-');
      const auto shown = output_of(
          {"journalctl", "--boot=" + name, "--output=short-monotonic", "--no-pager", "--lines=5000"},
          std::chrono::minutes(2), max_journal_bytes);
      if (!shown) {
        log::warn("box", "what the boot {} logged is lost: {}", boot, shown.error().message);
        continue;
      }
      if (auto done = runtime::write_file_atomically(folder / (boot + ".log"), *shown, 0640); !done) return;
    }
    if (auto owned = run({"chgrp", "-R", "kiln-agent", folder.string()}); !owned)
      log::warn("box", "{}", owned.error().message);
    std::vector<fs::directory_entry> all;
    for (const auto& entry : fs::directory_iterator(folder, ignored)) all.push_back(entry);
    std::sort(all.begin(), all.end(), [&](const auto& a, const auto& b) {
      return a.last_write_time(ignored) > b.last_write_time(ignored);
    });
    for (std::size_t i = max_journals; i < all.size(); ++i) fs::remove(all[i].path(), ignored);
  }

  void say(const char* state, const std::string& message) const {
    const auto json =
        Json::object({{"slot", slot_}, {"version", version_}, {"state", state}, {"message", message}});
    if (auto done = runtime::write_file_atomically(places_.run / "health.json", json.dump() + "\n"); !done) {
      log::error("box", "{}", done.error().message);
    }
  }

  const Places& places_;
  const BootSlots& slots_;
  std::string slot_;
  std::string boot_;
  std::string version_;
  std::optional<Trial> trial_;
};

}  // namespace

Status watch_health(const Places& places, const BootSlots& slots) {
  return Health(places, slots).watch();
}

}  // namespace kiln::box
