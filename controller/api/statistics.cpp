#include <fmt/format.h>

#include "api/routes.h"
#include "api/shapes.h"

namespace kiln::api {

namespace {

constexpr std::uint32_t max_hours = 1000;  // six weeks
constexpr std::int64_t hour_ms = 3'600'000;

Json to_json(const scheduler::ProductionRow& row) {
  Json json(Json::Object{});
  set_production(json, row.production);
  json.set("jobs", row.jobs);
  json.set("jobs_open", row.jobs_open);
  json.set("tasks", payloads::to_json(row.counts));
  json.set("render_s", row.render_s);
  json.set("waste", api::to_json(row.waste));
  json.set("newest_ms", row.newest_ms);
  return json;
}

Json to_json(const scheduler::TaskTimes& times) {
  Json json(Json::Object{});
  if (!times.node.empty()) json.set("node", times.node.str());
  json.set("tasks", times.tasks);
  json.set("units", times.units);
  json.set("total_s", times.total_s);
  json.set("mean_s", times.mean_s());
  json.set("median_s", times.median_s);
  json.set("p95_s", times.p95_s);
  json.set("unit_s", times.unit_s());
  return json;
}

void add(scheduler::NodeUse& sum, const scheduler::NodeUse& use) {
  sum.online_s += use.online_s;
  sum.busy_s += use.busy_s;
  sum.done_s += use.done_s;
  sum.waste.failed_s += use.waste.failed_s;
  sum.waste.lost_s += use.waste.lost_s;
  sum.waste.superseded_s += use.waste.superseded_s;
}

http::Response productions(Api& api, http::Request& request) {
  ProductionQuery query;
  if (const std::string* project = request.query_value("project")) query.project = *project;
  if (const std::string* sequence = request.query_value("sequence")) query.sequence = *sequence;
  if (query.sequence && !query.project)
    return http::problem(400, "?sequence= goes with ?project=: two projects may have one of that name");
  if (const auto page = read_page(request, "from", &ProductionQuery::from, query); !page)
    return http::problem(page.error());
  const auto rows = api.reader.productions(query);
  if (!rows) return http::problem(rows.error());
  return list_response("productions", *rows,
                       [](const scheduler::ProductionRow& row) { return to_json(row); });
}

http::Response usage(Api& api, http::Request& request) {
  UsageQuery query;
  if (const std::string* name = request.query_value("node")) {
    auto node = NodeId::parse(*name);
    if (!node) return http::problem(node.error());
    if (const auto known = api.reader.node(*node); !known) return http::problem(known.error());
    query.node = std::move(*node);
  }
  const auto hours = query_number(request, "hours", 24, max_hours);
  if (!hours) return http::problem(hours.error());
  const std::int64_t now_ms = api.now().unix_ms;
  // Whole hours: the running one and those before it.
  query.to_ms = now_ms - now_ms % hour_ms + hour_ms;
  query.from_ms = query.to_ms - *hours * hour_ms;
  const auto rows = api.reader.usage(query);
  if (!rows) return http::problem(rows.error());
  scheduler::NodeUse total;
  Json list(Json::Array{});
  for (const auto& row : *rows) {
    add(total, row.use);
    list.push(Json::object({{"hour_ms", row.hour_ms}, {"use", api::to_json(row.use)}}));
  }
  return json_response(Json::object({{"usage", std::move(list)}, {"total", api::to_json(total)}}));
}

http::Response statistics(Api& api, http::Request& request) {
  const auto job = api.reader.job(request.param("id"));
  if (!job) return http::problem(job.error());
  std::optional<std::uint32_t> step;
  if (const std::string* name = request.query_value("step")) {
    const auto found = step_of(*job, *name);
    if (!found) return http::problem(found.error());
    step = *found;
  }
  const auto times = api.reader.frame_times(*job, step);
  if (!times) return http::problem(times.error());
  Json nodes(Json::Array{});
  for (const auto& node : times->by_node) nodes.push(to_json(node));
  Json histogram(Json::Array{});
  for (const auto& one : times->histogram)
    histogram.push(Json::object({{"up_to_s", one.up_to_s}, {"tasks", one.tasks}}));
  return json_response(Json::object({{"all", to_json(times->all)},
                                     {"nodes", std::move(nodes)},
                                     {"histogram", std::move(histogram)},
                                     {"waste", api::to_json(job->waste)}}));
}

}  // namespace

void add_statistic_routes(http::Router& router, Api& api) {
  using http::Method;
  router.add(Method::get, "/api/v1/productions",
             [&](http::Request& request) { return productions(api, request); });
  router.add(Method::get, "/api/v1/usage", [&](http::Request& request) { return usage(api, request); });
  router.add(Method::get, "/api/v1/jobs/{id}/statistics",
             [&](http::Request& request) { return statistics(api, request); });
}

}  // namespace kiln::api
