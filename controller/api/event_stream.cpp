#include <fmt/format.h>

#include "api/gate.h"
#include "api/routes.h"
#include "api/shapes.h"

namespace kiln::api {

namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t snapshot_jobs = 100;
constexpr std::uint32_t snapshot_results = 24;
constexpr auto comment_every = 15s;  // proxies and browsers give up on a silent stream after 30 s or more
constexpr std::int64_t check_every_ms = 5'000;  // who was shut out sees no more than this
constexpr auto look_up_every = 1s;              // …while the server's end is noticed within this

Result<Json> snapshot(Api& api) {
  JobQuery job_query;
  job_query.limit = snapshot_jobs;
  ResultQuery result_query;
  result_query.limit = snapshot_results;
  auto jobs = api.reader.jobs(job_query);
  if (!jobs) return fail(std::move(jobs.error()));
  auto nodes = api.reader.nodes();
  if (!nodes) return fail(std::move(nodes.error()));
  auto results = api.reader.results(result_query);
  if (!results) return fail(std::move(results.error()));
  Json job_list(Json::Array{});
  for (const auto& job : *jobs) job_list.push(shown(api, job));
  Json node_list(Json::Array{});
  for (const auto& node : *nodes) node_list.push(shown(api, node));
  Json result_list(Json::Array{});
  for (const auto& result : *results) result_list.push(to_json(result));
  auto farm = farm_json(api);
  if (!farm) return farm;
  // The newest, for as long as a person may want to read how it ended.
  Json rollout;
  if (api.updates != nullptr) {
    const auto all = api.updates->rollouts();
    if (!all.empty()) rollout = to_json(all.front(), true);
  }
  return Json::object({{"farm", std::move(*farm)},
                       {"rollout", std::move(rollout)},
                       {"summary", payloads::to_json(api.live.summary())},
                       {"jobs", std::move(job_list)},
                       {"nodes", std::move(node_list)},
                       {"results", std::move(result_list)}});
}

// Until the client goes, falls behind the ring (it comes back with its Last-Event-ID and gets a snapshot), is
// somebody who may not come in any more, or the server stops.
// checked_ms: monotonic, when the gate let the caller in.
Status follow(Api& api, const Caller& caller, std::int64_t checked_ms, std::uint64_t from, http::Sink& sink) {
  auto quiet = 0s;
  while (!sink.is_stopping()) {
    if (api.now().mono_ms - checked_ms >= check_every_ms) {
      if (!still_stands(api, caller)) break;
      checked_ms = api.now().mono_ms;
    }
    const auto batch = api.events.read(from, look_up_every);
    if (batch.end == EventRing::Batch::End::behind || batch.end == EventRing::Batch::End::closed) break;
    from = batch.last;
    std::string text;
    for (const auto& one : batch.texts) text += *one;
    quiet = text.empty() ? quiet + look_up_every : 0s;
    if (quiet >= comment_every) {
      text = ": still here\n\n";
      quiet = 0s;
    }
    if (text.empty()) continue;
    if (auto sent = sink.write(text); !sent) return sent;
  }
  return {};
}

http::Response stream(Api& api, http::Request& request) {
  const auto checked_ms = api.now().mono_ms;
  auto place = api.events.enter();
  if (place == nullptr)
    return http::problem(503, "too many pages watch this farm; close one, or wait a moment");

  std::uint64_t from = api.events.last();  // before the snapshot: an event twice is harmless, one lost is not
  std::string first = "retry: 2000\n\n";
  const std::string* last_id = request.field("last-event-id");
  const auto last = last_id == nullptr ? std::nullopt : api.events.number(*last_id);
  if (last && api.events.reaches_back_to(*last)) {
    from = *last;
  } else {
    const auto now = snapshot(api);
    if (!now) return http::problem(now.error());
    first += fmt::format("id: {}\nevent: snapshot\ndata: {}\n\n", api.events.id(from), now->dump());
  }
  http::Response response{.content_type = "text/event-stream"};
  response.body = http::Stream{
      std::nullopt,
      [&api, caller = caller_of(request), checked_ms, place, from, first](http::Sink& sink) -> Status {
        if (auto sent = sink.write(first); !sent) return sent;
        return follow(api, caller, checked_ms, from, sink);
      }};
  return response;
}

}  // namespace

void add_event_routes(http::Router& router, Api& api) {
  router.add(http::Method::get, "/api/v1/events",
             [&](http::Request& request) { return stream(api, request); });
}

}  // namespace kiln::api
