#include "api/edits.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "api/actions.h"
#include "api/schedule.h"

namespace kiln::api {

namespace {

// A limit is where a card is damaged or a room is cold: outside of this somebody meant something else.
constexpr double min_limit_c = 30;
constexpr double max_limit_c = 120;
constexpr std::uint32_t max_sleep_after_s = 7U * 24 * 3600;
constexpr std::size_t max_farm_limits = 256;  // counted limits that one farm has
constexpr std::size_t max_step_name = 256;

bool has(const Json& body, std::string_view key) {
  return body.find(key) != nullptr;
}

template <class T>
void take(JsonReader& in, const Json& body, std::string_view key, std::optional<T>& out) {
  if (!has(body, key)) return;
  T value{};
  in.optional(key, value);
  out = value;
}

void take_tags(JsonReader& in, const Json& body, std::optional<std::vector<std::string>>& out) {
  if (!has(body, "tags")) return;
  std::vector<std::string> tags;
  if (const auto* list = in.array("tags", payloads::max_tags)) {
    for (const auto& tag : *list) {
      if (tag.as_string() == nullptr || !is_id(*tag.as_string()))
        return in.reject("tags", "each is expected to be 1 to 32 of a-z, 0-9 and -");
      if (std::find(tags.begin(), tags.end(), *tag.as_string()) == tags.end())
        tags.push_back(*tag.as_string());
    }
  }
  out = std::move(tags);
}

// null: the farm's.
void take_limit_c(JsonReader& in, const Json& body, std::string_view key,
                  std::optional<std::optional<double>>& out) {
  const Json* value = body.find(key);
  if (value == nullptr) return;
  const double* number = value->as_number();
  if (!value->is_null() && (number == nullptr || *number < min_limit_c || *number > max_limit_c)) {
    return in.reject(key, fmt::format("a number of °C from {} to {} is expected, or null for the farm's",
                                      min_limit_c, max_limit_c));
  }
  out = number == nullptr ? std::optional<double>() : *number;
}

}  // namespace

Result<scheduler::EditJob> read_job_edit(Api& api, const Json& body) {
  JsonReader in(body, "job");
  scheduler::EditJob edit;
  if (has(body, "priority")) {
    int priority = 0;
    in.optional("priority", priority, 0, 100);
    edit.priority = priority;
  }
  take(in, body, "paused", edit.paused);
  take(in, body, "slot_limit", edit.slot_limit);
  take(in, body, "node_limit", edit.node_limit);
  take_tags(in, body, edit.tags);
  take(in, body, "start_ms", edit.start_ms);
  if (edit.start_ms && *edit.start_ms < 0) in.reject("start_ms", "unix milliseconds, or 0 for at once");
  std::vector<std::string> after;
  if (const auto* list = in.array("after", payloads::max_dependencies)) {
    for (const auto& job : *list) {
      if (job.as_string() != nullptr) {
        after.push_back(*job.as_string());
      } else if (job.as_number() != nullptr) {  // a job's number is a number to whoever types it
        after.push_back(job.dump());
      } else {
        in.reject("after", "a list of jobs by id or number is expected");
      }
    }
  }
  if (auto read = in.finish(0); !read) return fail(std::move(read.error()));
  if (has(body, "after")) {
    auto numbers = job_numbers(api, after);
    if (!numbers) return fail(std::move(numbers.error()).with("job.after"));
    edit.after = std::move(*numbers);
  }
  if (!edit.priority && !edit.paused && !edit.slot_limit && !edit.node_limit && !edit.tags && !edit.after &&
      !edit.start_ms) {
    return fail(Code::invalid,
                R"(nothing to change: send one of {"priority":0 to 100}, {"paused":true or false}, )"
                R"("slot_limit", "node_limit", "tags", "after" or "start_ms")");
  }
  return edit;
}

Result<NodeEdit> read_node_edit(const Json& body) {
  JsonReader in(body, "node");
  NodeEdit edit;
  auto& settings = edit.settings;
  take(in, body, "drained", edit.drained);
  take(in, body, "enabled", settings.enabled);
  take_tags(in, body, settings.tags);
  if (const Json* list = body.find("schedule")) {
    auto schedule = read_schedule(*list);
    if (schedule) {
      settings.schedule = std::move(*schedule);
    } else {
      in.reject("schedule", schedule.error());
    }
  }
  take_limit_c(in, body, "soft_c", settings.soft_c);
  take_limit_c(in, body, "hard_c", settings.hard_c);
  if (settings.soft_c && *settings.soft_c && settings.hard_c && *settings.hard_c &&
      **settings.soft_c >= **settings.hard_c) {
    in.reject("soft_c", fmt::format("{} must be below hard_c, {}", **settings.soft_c, **settings.hard_c));
  }
  if (has(body, "sleep_after_s")) {
    std::uint32_t seconds = 0;
    in.optional("sleep_after_s", seconds, max_sleep_after_s);
    settings.sleep_after_s = seconds;
  }
  take(in, body, "reboot", settings.reboot);
  edit.has_settings = settings.enabled || settings.tags || settings.schedule || settings.soft_c ||
                      settings.hard_c || settings.sleep_after_s || settings.reboot;
  if (in.ok() && !edit.has_settings && !edit.drained) {
    return fail(Code::invalid, R"(nothing to change: send one of "enabled", "drained", "tags", "schedule", )"
                               R"("soft_c", "hard_c", "sleep_after_s" or "reboot")");
  }
  return in.finish(std::move(edit));
}

Result<scheduler::EditFarm> read_farm_edit(const Json& body) {
  JsonReader in(body, "farm");
  scheduler::EditFarm edit;
  take(in, body, "fair_share", edit.fair_share);
  if (const Json* limits = body.find("limits")) {
    const auto* members = limits->as_object();
    if (members == nullptr || members->size() > max_farm_limits) {
      in.reject("limits", R"(an object of names and numbers is expected, as in {"nuke":4}; 0 removes one)");
    } else {
      JsonReader each(*limits, in.path("limits"));
      for (const auto& [name, count] : *members) {
        std::uint32_t number = 0;
        if (!is_id(name)) each.reject(name, "a name is 1 to 32 of a-z, 0-9 and -");
        each.required(name, number, payloads::max_limit_count);
        edit.limits[name] = number;
      }
      if (auto read = each.finish(0); !read) in.adopt(read.error());
    }
  }
  if (in.ok() && !edit.fair_share && edit.limits.empty()) {
    return fail(Code::invalid,
                R"(nothing to change: send {"fair_share":true or false} or {"limits":{"<name>":<count>}})");
  }
  return in.finish(std::move(edit));
}

Result<scheduler::RequeueTasks> read_requeue(const Json& body) {
  JsonReader in(body, "requeue");
  scheduler::RequeueTasks wish;
  std::string which;
  std::string frames;
  in.required("which", which);
  in.optional("step", wish.step, max_step_name);
  in.optional("frames", frames, payloads::FrameSet::max_text);
  if (in.ok() && which != "failed" && which != "all") in.reject("which", "failed or all is expected");
  wish.only_failed = which == "failed";
  if (in.ok() && !frames.empty()) {
    auto set = payloads::FrameSet::parse(frames);
    if (set) {
      wish.frames = std::move(*set);
    } else {
      in.reject("frames", set.error());
    }
  }
  return in.finish(std::move(wish));
}

}  // namespace kiln::api
