#include "store/json_columns.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/json.h"

namespace kiln::store {
namespace {

// Our own text, not a message: these only keep a damaged file from taking the memory. A hundred steps with
// frames as long as they may be are 1 MB.
constexpr JsonLimits stored{.bytes = 64UL * 1024 * 1024, .depth = 16, .values = 10'000'000};
constexpr std::size_t any_bytes = stored.bytes;
constexpr std::size_t any_items = stored.values;

// ---- writing: what is as it is by default is left out ---------------------------------------------------

template <class List>
void set_list(Json& json, const char* key, const List& list) {
  if (!list.empty()) json.set(key, Json(Json::Array(list.begin(), list.end())));
}
template <class Value>
void set_unless(Json& json, const char* key, const Value& value, const Value& standard) {
  if (value != standard) json.set(key, Json(value));
}
template <class List, class Write>
Json array_of(const List& list, const Write& write) {
  Json::Array array;
  array.reserve(list.size());
  for (const auto& one : list) array.push_back(write(one));
  return Json(std::move(array));
}

Json attribute_json(const scheduler::Attribute& attribute) {
  auto json = Json::object({{"name", attribute.name}});
  set_list(json, "any_of", attribute.any_of);
  set_list(json, "all_of", attribute.all_of);
  return json;
}

Json amount_json(const scheduler::Amount& amount) {
  auto json = Json::object({{"name", amount.name}, {"min", amount.min}});
  if (amount.max) json.set("max", *amount.max);
  return json;
}

Json limit_json(const payloads::LimitUse& use) {
  return Json::object({{"name", use.name}, {"count", use.count}});
}

Json needs_json(const scheduler::Needs& needs) {
  auto json = Json::object({{"renderer", needs.renderer}, {"device", payloads::to_string(needs.device)}});
  if (!needs.attributes.empty()) json.set("attributes", array_of(needs.attributes, attribute_json));
  if (!needs.amounts.empty()) json.set("amounts", array_of(needs.amounts, amount_json));
  if (!needs.limits.empty()) json.set("limits", array_of(needs.limits, limit_json));
  if (!needs.bundle.name.empty()) json.set("bundle", payloads::to_json(needs.bundle));
  return json;
}

Json step_json(const scheduler::StepSpec& step) {
  auto json = Json::object({{"name", step.name}, {"units", step.units}, {"chunk", step.chunk}});
  if (!step.frames.empty()) json.set("frames", step.frames.str());
  set_unless(json, "target_s", step.target_s, 0U);
  set_list(json, "after", step.after);
  set_list(json, "pairs_with", step.pairs_with);
  json.set("needs", needs_json(step.needs));
  return json;
}

// ---- reading --------------------------------------------------------------------------------------------

// Hands the object to `read(JsonReader&, T&)`.
template <class T, class Read>
Result<T> read_object(const Json& json, std::string_view what, const Read& read) {
  JsonReader in(json, what);
  T value;
  if (in.ok()) read(in, value);
  return in.finish(std::move(value));
}
template <class T, class Read>
Result<std::vector<T>> read_array(const Json& json, std::string_view what, const Read& read) {
  const auto* array = json.as_array();
  if (array == nullptr) return fail(Code::invalid, fmt::format("{}: an array is expected", what));
  std::vector<T> values;
  values.reserve(array->size());
  for (const auto& item : *array) {
    auto value = read(item);
    if (!value) return fail(std::move(value.error()));
    values.push_back(std::move(*value));
  }
  return values;
}
template <class T, class Read>
void objects(JsonReader& in, std::string_view key, std::vector<T>& out, const Read& read) {
  const auto* json = in.member(key, false);
  if (json == nullptr) return;
  const auto what = in.path(key);
  auto values =
      read_array<T>(*json, what, [&](const Json& item) { return read_object<T>(item, what, read); });
  if (!values) return in.adopt(values.error());
  out = std::move(*values);
}
void texts(JsonReader& in, std::string_view key, std::vector<std::string>& out) {
  const auto* items = in.array(key, any_items);
  if (items == nullptr) return;
  for (const auto& item : *items) {
    if (item.as_string() == nullptr) return in.reject(key, "texts are expected");
    out.push_back(*item.as_string());
  }
}
template <class Int>
void numbers(JsonReader& in, std::string_view key, std::vector<Int>& out) {
  const auto* items = in.array(key, any_items);
  if (items == nullptr) return;
  constexpr auto most = std::min<std::uint64_t>(std::numeric_limits<Int>::max(), JsonReader::max_exact);
  for (const auto& item : *items) {
    const auto* number = item.as_number();
    if (number == nullptr || *number < 0 || *number > static_cast<double>(most))
      return in.reject(key, "numbers are expected");
    out.push_back(static_cast<Int>(*number));
  }
}
void device(JsonReader& in, payloads::Device& out) {
  std::string text(payloads::to_string(out));
  in.optional("device", text);
  const auto known = payloads::parse_device(text);
  if (!known) return in.reject("device", fmt::format("'{}' is no device", text));
  out = *known;
}

void read_attribute(JsonReader& in, scheduler::Attribute& attribute) {
  in.required("name", attribute.name, any_bytes);
  texts(in, "any_of", attribute.any_of);
  texts(in, "all_of", attribute.all_of);
}

void read_amount(JsonReader& in, scheduler::Amount& amount) {
  in.required("name", amount.name, any_bytes);
  in.optional("min", amount.min);
  in.optional("max", amount.max);
}

void read_limit(JsonReader& in, payloads::LimitUse& use) {
  in.required("name", use.name, any_bytes);
  in.optional("count", use.count);
}

void read_needs(JsonReader& in, scheduler::Needs& needs) {
  in.optional("renderer", needs.renderer, any_bytes);
  device(in, needs.device);
  objects(in, "attributes", needs.attributes, read_attribute);
  objects(in, "amounts", needs.amounts, read_amount);
  objects(in, "limits", needs.limits, read_limit);
  payloads::read_bundle(in, "bundle", needs.bundle);
}

void read_step(JsonReader& in, scheduler::StepSpec& step) {
  in.required("name", step.name, any_bytes);
  in.required("units", step.units);
  in.required("chunk", step.chunk);
  std::string frames;
  in.optional("frames", frames, any_bytes);
  if (!frames.empty()) {
    auto set = payloads::FrameSet::parse(frames);
    if (!set) return in.reject("frames", set.error());
    step.frames = std::move(*set);
  }
  in.optional("target_s", step.target_s);
  numbers(in, "after", step.after);
  numbers(in, "pairs_with", step.pairs_with);
  const auto* needs = in.member("needs", false);
  if (needs == nullptr) return;
  auto value = read_object<scheduler::Needs>(*needs, in.path("needs"), read_needs);
  if (!value) return in.adopt(value.error());
  step.needs = std::move(*value);
}

void read_window(JsonReader& in, scheduler::Window& window) {
  int days = 0, from_min = 0, to_min = 0;
  in.required("days", days, 0, 0x7F);
  in.required("from_min", from_min, 0, 1439);
  in.required("to_min", to_min, 0, 1440);
  window = {static_cast<std::uint8_t>(days), static_cast<std::uint16_t>(from_min),
            static_cast<std::uint16_t>(to_min)};
}

}  // namespace

std::string options_text(const payloads::RenderOptions& options) {
  return Json::object({{"scene_file", options.scene_file},
                       {"format", options.format},
                       {"autoexec", options.autoexec},
                       {"device", payloads::to_string(options.device)},
                       {"max_run_s", options.max_run_s},
                       {"stall_s", options.stall_s}})
      .dump();
}

Result<payloads::RenderOptions> parse_options(std::string_view text) {
  const auto json = Json::parse(text, stored);
  if (!json) return fail(json.error());
  return read_object<payloads::RenderOptions>(*json, "options",
                                              [](JsonReader& in, payloads::RenderOptions& options) {
                                                in.optional("scene_file", options.scene_file, any_bytes);
                                                in.optional("format", options.format);
                                                in.optional("autoexec", options.autoexec);
                                                device(in, options.device);
                                                in.optional("max_run_s", options.max_run_s);
                                                in.optional("stall_s", options.stall_s);
                                              });
}

std::string warnings_text(const std::vector<std::string>& warnings) {
  return Json(Json::Array(warnings.begin(), warnings.end())).dump();
}

Result<std::vector<std::string>> parse_warnings(std::string_view text) {
  const auto json = Json::parse(text, stored);
  if (!json) return fail(json.error());
  return read_array<std::string>(*json, "warnings", [](const Json& item) -> Result<std::string> {
    if (item.as_string() == nullptr) return fail(Code::invalid, "warnings: a text is expected");
    return *item.as_string();
  });
}

std::string steps_text(const std::vector<scheduler::StepSpec>& steps) {
  return steps.empty() ? "" : array_of(steps, step_json).dump();
}

Result<std::vector<scheduler::StepSpec>> parse_steps(std::string_view text) {
  const auto json = Json::parse(text, stored);
  if (!json) return fail(json.error());
  return read_array<scheduler::StepSpec>(*json, "steps", [](const Json& item) {
    return read_object<scheduler::StepSpec>(item, "step", read_step);
  });
}

std::string counts_text(const std::vector<payloads::TaskCounts>& counts) {
  if (counts.empty()) return "";
  return array_of(counts,
                  [](const payloads::TaskCounts& one) {
                    return Json(Json::Array{one.queued, one.running, one.done, one.failed, one.cancelled});
                  })
      .dump();
}

Result<std::vector<payloads::TaskCounts>> parse_counts(std::string_view text) {
  const auto json = Json::parse(text, stored);
  if (!json) return fail(json.error());
  return read_array<payloads::TaskCounts>(
      *json, "step_counts", [](const Json& item) -> Result<payloads::TaskCounts> {
        payloads::TaskCounts counts;
        const auto* five = item.as_array();
        if (five == nullptr || five->size() != 5)
          return fail(Code::invalid, "step_counts: five numbers are expected");
        std::uint32_t* const places[] = {&counts.queued, &counts.running, &counts.done, &counts.failed,
                                         &counts.cancelled};
        for (std::size_t i = 0; i < 5; ++i) {
          const auto* number = (*five)[i].as_number();
          if (number == nullptr || *number < 0 || *number > std::numeric_limits<std::uint32_t>::max())
            return fail(Code::invalid, "step_counts: five numbers are expected");
          *places[i] = static_cast<std::uint32_t>(*number);
        }
        return counts;
      });
}

std::string limits_text(const std::vector<payloads::LimitUse>& limits) {
  if (limits.empty()) return "";
  return Json::object({{"limits", array_of(limits, limit_json)}}).dump();
}

std::string bundle_text(const payloads::Bundle& bundle) {
  return bundle.name.empty() ? "" : Json::object({{"bundle", payloads::to_json(bundle)}}).dump();
}

Result<payloads::Bundle> parse_bundle(std::string_view text) {
  const auto json = Json::parse(text, stored);
  if (!json) return fail(json.error());
  return read_object<payloads::Bundle>(*json, "bundle", [](JsonReader& in, payloads::Bundle& bundle) {
    payloads::read_bundle(in, "bundle", bundle);
  });
}

std::string wishes_text(const scheduler::JobWishes& wishes) {
  if (wishes == scheduler::JobWishes()) return "";
  Json json = Json::object({});
  set_unless(json, "slot_limit", wishes.slot_limit, 0U);
  set_unless(json, "node_limit", wishes.node_limit, 0U);
  set_list(json, "tags", wishes.tags);
  set_list(json, "after", wishes.after);
  set_unless(json, "start_ms", wishes.start_ms, std::int64_t{0});
  return json.dump();
}

Result<std::vector<payloads::LimitUse>> parse_limits(std::string_view text) {
  const auto json = Json::parse(text, stored);
  if (!json) return fail(json.error());
  return read_object<std::vector<payloads::LimitUse>>(
      *json, "limits", [](JsonReader& in, std::vector<payloads::LimitUse>& limits) {
        objects(in, "limits", limits, read_limit);
      });
}

Result<scheduler::JobWishes> parse_wishes(std::string_view text) {
  const auto json = Json::parse(text, stored);
  if (!json) return fail(json.error());
  return read_object<scheduler::JobWishes>(*json, "wishes", [](JsonReader& in, scheduler::JobWishes& wishes) {
    in.optional("slot_limit", wishes.slot_limit);
    in.optional("node_limit", wishes.node_limit);
    texts(in, "tags", wishes.tags);
    numbers(in, "after", wishes.after);
    in.optional("start_ms", wishes.start_ms);
  });
}

std::string settings_text(const scheduler::NodeSettings& settings) {
  if (settings == scheduler::NodeSettings()) return "";
  Json json = Json::object({});
  set_unless(json, "enabled", settings.enabled, true);
  set_list(json, "tags", settings.tags);
  if (!settings.schedule.empty()) {
    json.set("schedule", array_of(settings.schedule, [](const scheduler::Window& window) {
               return Json::object(
                   {{"days", window.days}, {"from_min", window.from_min}, {"to_min", window.to_min}});
             }));
  }
  if (settings.soft_c) json.set("soft_c", *settings.soft_c);
  if (settings.hard_c) json.set("hard_c", *settings.hard_c);
  set_unless(json, "sleep_after_s", settings.sleep_after_s, 0U);
  set_unless(json, "reboot", settings.reboot, false);
  return json.dump();
}

Result<scheduler::NodeSettings> parse_settings(std::string_view text) {
  const auto json = Json::parse(text, stored);
  if (!json) return fail(json.error());
  return read_object<scheduler::NodeSettings>(*json, "settings",
                                              [](JsonReader& in, scheduler::NodeSettings& settings) {
                                                in.optional("enabled", settings.enabled);
                                                texts(in, "tags", settings.tags);
                                                objects(in, "schedule", settings.schedule, read_window);
                                                in.optional("soft_c", settings.soft_c);
                                                in.optional("hard_c", settings.hard_c);
                                                in.optional("sleep_after_s", settings.sleep_after_s);
                                                in.optional("reboot", settings.reboot);
                                              });
}

}  // namespace kiln::store
