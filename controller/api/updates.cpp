#include "api/updates.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "api/content.h"
#include "api/gate.h"
#include "api/requests.h"
#include "api/routes.h"
#include "api/schedule.h"
#include "base/text.h"
#include "payloads/messages.h"

namespace kiln::api {

namespace {

constexpr std::size_t max_body_bytes = 256ULL * 1024;  // of a rollout that names ten thousand nodes
constexpr std::size_t max_nodes = 10'000;
constexpr std::uint32_t max_soak_s = 7 * 24 * 3600;
constexpr std::uint32_t max_at_once = 1'000;

Shelf images_of(Api& api) {
  return {.what = "an image",
          .min_bytes = 1,
          .max_bytes = payloads::max_image_bytes,
          .size = [&](const auto& digest) { return api.updates->content_size(digest); },
          .partial_size = [&](const auto& digest) { return api.updates->partial_size(digest); },
          .put = [&](const auto& digest, auto offset,
                     auto total) { return api.updates->put_image(digest, offset, total); }};
}

const rollout::Image* find(const std::vector<rollout::Image>& images, const std::string& digest) {
  const auto found =
      std::find_if(images.begin(), images.end(), [&](const auto& image) { return image.digest == digest; });
  return found == images.end() ? nullptr : &*found;
}

http::Response show_image(Api& api, http::Request& request) {
  const auto digest = digest_of(request);
  if (!digest) return http::problem(digest.error());
  const auto images = api.updates->images();
  if (const auto* image = find(images, *digest)) return json_response(to_json(*image));
  return with_upload_offset(http::problem(404, fmt::format("there is no image {}", *digest)), images_of(api),
                            *digest);
}

// One line, and something on it.
void check_word(JsonReader& in, std::string_view key, const std::string& text) {
  if (in.ok() && (text.empty() || !is_one_line(text))) in.reject(key, "a line of text is expected");
}

http::Response add_image(Api& api, http::Request& request) {
  const auto body = request.body->read_all(max_body_bytes);
  if (!body) return http::problem(body.error());
  const auto json = Json::parse(*body);
  if (!json) return http::problem(json.error());
  rollout::Image image;
  JsonReader in(*json, "image");
  in.required("digest", image.digest);
  in.required("name", image.name, payloads::max_name_bytes);
  in.required("version", image.version, payloads::max_name_bytes);
  in.required("machine", image.machine, payloads::max_name_bytes);
  if (in.ok() && !is_digest(image.digest))
    in.reject("digest", "sha256: and 64 lower-case hex digits are expected");
  check_word(in, "name", image.name);
  check_word(in, "version", image.version);
  check_word(in, "machine", image.machine);
  if (auto read = in.finish(0); !read) return http::problem(read.error());
  image.added_by = caller_of(request).name;
  const auto added = api.updates->add_image(std::move(image));
  if (!added) return http::problem(added.error());
  caller_of(request).what = fmt::format("{} for {}: {}", added->version, added->machine, added->digest);
  return json_response(to_json(*added), 201);
}

http::Response get_content(Api& api, http::Request& request) {
  const auto digest = digest_of(request);
  if (!digest) return http::problem(digest.error());
  auto image = api.updates->open_image(*digest);
  if (!image) return http::problem(image.error());
  image->version = *digest;
  return file_response(std::move(*image), "application/octet-stream", true);
}

http::Response remove_image(Api& api, http::Request& request) {
  const auto digest = digest_of(request);
  if (!digest) return http::problem(digest.error());
  const auto removed = api.updates->remove_image(*digest);
  return removed ? http::Response{.status = 204} : http::problem(removed.error());
}

void read_nodes(JsonReader& in, std::vector<NodeId>& out) {
  const auto* nodes = in.array("nodes", max_nodes);
  if (nodes == nullptr) return;
  for (const auto& one : *nodes) {
    auto node = NodeId::parse(one.as_string() != nullptr ? *one.as_string() : "");
    if (!node) return in.reject("nodes", node.error());
    out.push_back(std::move(*node));
  }
}

// The number in the path; 0 for "latest".
Result<std::uint64_t> number_of(const http::Request& request) {
  const std::string& text = request.param("number");
  if (text == "latest") return 0;
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || number == 0) {
    return fail(Code::invalid, fmt::format("'{}' is no rollout: a number is expected, or latest", text));
  }
  return number;
}

http::Response show_rollout(Api& api, http::Request& request) {
  const auto number = number_of(request);
  if (!number) return http::problem(number.error());
  for (const auto& one : api.updates->rollouts()) {
    if (*number == 0 || one.number == *number) return json_response(to_json(one, true));
  }
  return http::problem(404, *number == 0 ? std::string("there was no rollout yet")
                                         : fmt::format("there is no rollout {}", *number));
}

http::Response start(Api& api, http::Request& request) {
  const auto body = request.body->read_all(max_body_bytes);
  if (!body) return http::problem(body.error());
  const auto json = Json::parse(*body, {.bytes = max_body_bytes, .depth = 4, .values = max_nodes + 1000});
  if (!json) return http::problem(json.error());
  auto rollout = start_rollout(api, caller_of(request).name, *json);
  if (!rollout) return http::problem(rollout.error());
  caller_of(request).what = fmt::format("rollout {}: {}", rollout->number, json->dump());
  return json_response(to_json(*rollout, true), 201);
}

}  // namespace

Json to_json(const rollout::Image& image) {
  return Json::object({{"digest", image.digest},
                       {"name", image.name},
                       {"version", image.version},
                       {"machine", image.machine},
                       {"bytes", image.bytes},
                       {"added_ms", image.added_ms},
                       {"added_by", image.added_by}});
}

Json to_json(const rollout::Rollout& rollout, bool with_members) {
  using rollout::Step;
  const auto& plan = rollout.plan;
  Json counts = Json::object({{"all", rollout.members.size()}});
  for (const auto step :
       {Step::waiting, Step::updating, Step::good, Step::rolled_back, Step::failed, Step::skipped}) {
    const auto count = std::count_if(rollout.members.begin(), rollout.members.end(),
                                     [&](const auto& one) { return one.second.step == step; });
    counts.set(step == Step::rolled_back ? "rolled_back" : std::string(to_string(step)), count);
  }
  Json json = Json::object({{"number", rollout.number},
                            {"state", to_string(rollout.state)},
                            {"image", plan.image},
                            {"version", plan.version},
                            {"machine", plan.machine},
                            {"canary_pct", plan.canary_pct},
                            {"soak_s", plan.soak_s},
                            {"at_once", plan.at_once},
                            {"by", plan.by},
                            {"started_ms", rollout.started_ms},
                            {"phase", rollout.is_rest               ? "rest"
                                      : rollout.canary_good_ms != 0 ? "soak"
                                                                    : "canary"},
                            {"counts", std::move(counts)}});
  if (!plan.window.empty()) {
    Json window(Json::Array{});
    for (const auto& one : plan.window) window.push(to_json(one));
    json.set("window", std::move(window));
  }
  if (!rollout.reason.empty()) json.set("reason", rollout.reason);
  if (rollout.ended_ms != 0) json.set("ended_ms", rollout.ended_ms);
  if (rollout.canary_good_ms != 0) json.set("canary_good_ms", rollout.canary_good_ms);
  if (!with_members) return json;
  Json members(Json::Array{});
  for (const auto& [node, member] : rollout.members) {
    Json one = Json::object({{"node", node.str()},
                             {"step", to_string(member.step)},
                             {"canary", member.is_canary},
                             {"since_ms", member.since_ms}});
    if (member.step == Step::updating) one.set("seen", to_string(member.seen));
    if (member.away_ms != 0) one.set("away_ms", member.away_ms);
    if (!member.message.empty()) one.set("message", member.message);
    members.push(std::move(one));
  }
  json.set("nodes", std::move(members));
  return json;
}

Result<rollout::Rollout> start_rollout(Api& api, const std::string& by, const Json& wish) {
  if (api.updates == nullptr) return fail(Code::unavailable, "this controller keeps no images");
  rollout::Plan plan;
  plan.by = by;
  JsonReader in(wish, "rollout");
  in.optional("image", plan.image);
  in.optional("canary_pct", plan.canary_pct);
  in.optional("soak_s", plan.soak_s, max_soak_s);
  in.optional("at_once", plan.at_once, max_at_once);
  read_nodes(in, plan.nodes);
  if (in.ok() && !plan.image.empty() && !is_digest(plan.image))
    in.reject("image", "an image's digest is expected: sha256: and 64 lower-case hex digits");
  if (in.ok() && !(plan.canary_pct >= 0 && plan.canary_pct <= 100))
    in.reject("canary_pct", "0 to 100 is expected; at least one node goes first");
  if (in.ok() && plan.at_once == 0) in.reject("at_once", "at least 1 is expected");
  if (const Json* window = in.member("window", false)) {
    auto parsed = read_schedule(*window);
    if (!parsed) {
      in.reject("window", parsed.error());
    } else {
      plan.window = std::move(*parsed);
    }
  }
  if (auto read = in.finish(0); !read) return fail(std::move(read.error()));
  if (plan.image.empty()) {
    const auto images = api.updates->images();
    if (images.empty())
      return fail(Code::not_found, "there is no image yet; `kiln image add FILE` brings one");
    plan.image = images.front().digest;
  }
  return api.updates->start(std::move(plan));
}

Result<rollout::Rollout> steer_rollout(Api& api, std::uint64_t number, Updates::Steer how,
                                       const std::string& by) {
  if (api.updates == nullptr) return fail(Code::unavailable, "this controller keeps no images");
  return api.updates->steer(number, how, by);
}

void add_update_routes(http::Router& router, Api& api) {
  using http::Method;
  const auto add = [&](Method method, std::string pattern, http::Response (*handle)(Api&, http::Request&)) {
    router.add(method, std::move(pattern), [&api, handle](http::Request& request) {
      if (api.updates == nullptr) return http::problem(503, "this controller keeps no images");
      return handle(api, request);
    });
  };
  add(Method::get, "/api/v1/images", [](Api& the_api, http::Request&) {
    return list_response("images", the_api.updates->images(),
                         [](const rollout::Image& image) { return to_json(image); });
  });
  add(Method::post, "/api/v1/images", add_image);
  add(Method::get, "/api/v1/images/{digest}", show_image);
  add(Method::delete_, "/api/v1/images/{digest}", remove_image);
  add(Method::get, "/api/v1/images/{digest}/file", get_content);
  add(Method::put, "/api/v1/images/{digest}/file",
      [](Api& asked, http::Request& request) { return put_content(request, images_of(asked)); });

  add(Method::get, "/api/v1/rollouts", [](Api& the_api, http::Request&) {
    return list_response("rollouts", the_api.updates->rollouts(),
                         [](const rollout::Rollout& one) { return to_json(one, false); });
  });
  add(Method::post, "/api/v1/rollouts", start);
  add(Method::get, "/api/v1/rollouts/{number}", show_rollout);
  const auto steer = [&](const char* verb, Updates::Steer how) {
    router.add(Method::post, fmt::format("/api/v1/rollouts/{{number}}/{}", verb),
               [&api, how](http::Request& request) {
                 const auto number = number_of(request);
                 if (!number) return http::problem(number.error());
                 const auto steered = steer_rollout(api, *number, how, caller_of(request).name);
                 return steered ? json_response(to_json(*steered, true)) : http::problem(steered.error());
               });
  };
  steer("pause", Updates::Steer::pause);
  steer("resume", Updates::Steer::resume);
  steer("stop", Updates::Steer::stop);
}

}  // namespace kiln::api
