// Renderers that people put on the controller, and what it costs a node to fetch one.
#include <fmt/core.h>

#include <algorithm>

#include "scheduler/farm_data.h"

namespace kiln::scheduler {

namespace {

constexpr int max_looked_at = 16;             // lanes of a job: an estimate needs no more
constexpr std::size_t max_renderers = 1'000;  // their archives fill any disk long before

}  // namespace

bool FarmState::Data::has_renderer(PoolNo pool, NodeNo no) const {
  if (pools[pool].needs.bundle.name.empty()) return true;
  const auto& having = node(no).having;
  return std::binary_search(having.begin(), having.end(), pool);
}

double FarmState::Data::fetch_ms(const Pool& pool) const {
  constexpr double mib = 1024.0 * 1024;
  return 1000 * static_cast<double>(pool.needs.bundle.size) / (mib * std::max(policy.fetch_mib_s, 1U));
}

bool FarmState::Data::outruns_fetch(const Job& job, const Step& step) const {
  if (pools[step.pool].needs.bundle.name.empty() || step.counts.done == 0) return false;
  std::uint32_t slots = 0;
  int looked_at = 0;
  for (const auto& [lane, out] : job.out_lanes) {
    if (has_renderer(step.pool, node_of(lane))) slots += out.second;
    if (++looked_at == max_looked_at) break;
  }
  if (slots == 0) return false;
  const auto left = step.total - std::min(step.total, step.counts.done);
  const auto left_ms = 1000 * step.done_s / step.counts.done * left / slots;
  return left_ms < fetch_ms(pools[step.pool]);
}

void Turn::on(const AddRenderer& event) {
  const auto& bundle = event.row.bundle;
  const auto known = data_.renderers.find(bundle.name);
  if (known != data_.renderers.end() && known->second.bundle == bundle) return answer(event.request, Done{});
  if (known != data_.renderers.end()) {
    return answer(event.request,
                  fail(Code::conflict,
                       fmt::format("there is another {} already ({}): remove it first, or give this one "
                                   "another version",
                                   bundle.name, known->second.file)));
  }
  if (data_.renderers.size() >= max_renderers) {
    return answer(event.request, fail(Code::full, fmt::format("there are {} renderers, as many as are kept: "
                                                              "remove some first",
                                                              max_renderers)));
  }
  data_.renderers.emplace(bundle.name, event.row);
  effects_.emplace_back(SaveRenderer{event.row});
  answer(event.request, Done{});
}

void Turn::on(const RemoveRenderer& event) {
  const auto known = data_.renderers.find(event.name);
  if (known == data_.renderers.end()) {
    return answer(event.request, fail(Code::not_found, fmt::format("there is no renderer {}", event.name)));
  }
  for (const auto& [number, job] : data_.jobs) {
    const auto needs = [&](const Step& step) { return step.spec.needs.bundle.name == event.name; };
    if (!job.is_live() || std::none_of(job.steps.begin(), job.steps.end(), needs)) continue;
    return answer(event.request, fail(Code::conflict,
                                      fmt::format("job {} ({}) needs {}: cancel it, or wait until it is done",
                                                  number, job.row.spec.name, event.name)));
  }
  data_.renderers.erase(known);
  effects_.emplace_back(EraseRenderer{event.name});
  answer(event.request, Done{});
}

}  // namespace kiln::scheduler
