#include "daemon/discovery.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "base/json.h"
#include "runtime/http_client.h"
#include "runtime/log.h"

namespace kiln::agent {

using namespace std::chrono_literals;

namespace {

// The controller often starts in the same second as we do; later on, five seconds are soon enough.
constexpr std::array retry_after = {250ms, 500ms, 1000ms, 2000ms, 5000ms};
constexpr auto answer_within = 10s;

Result<Farm> read_farm(const std::string& controller, const std::string& body) {
  const auto json = Json::parse(body);
  if (!json) return fail(json.error());
  Farm farm;
  std::uint32_t port = 0;
  JsonReader in(*json, "farm");
  in.required("farm", farm.id);
  in.required("version", farm.version);
  if (const auto* mqtt = in.member("mqtt", true)) {
    JsonReader broker(*mqtt, "farm.mqtt");
    broker.optional("host", farm.broker.host);
    broker.required("port", port, 65535);
    if (auto read = broker.finish(0); !read) return fail(std::move(read.error()));
  }
  farm.broker.port = static_cast<std::uint16_t>(port);
  if (farm.broker.host.empty()) farm.broker.host = host_of(controller);
  return in.finish(std::move(farm));
}

}  // namespace

Result<Farm> ask_farm(const std::string& controller, const std::function<bool()>& cancelled) {
  runtime::HttpOptions options;
  options.connect_timeout = 3s;
  options.overall = answer_within;
  options.max_body_bytes = 1024 * 1024;
  options.cancelled = cancelled;
  runtime::HttpClient http(controller, options);
  const auto response = http.get("/api/v1/farm");
  if (!response) return fail(response.error());
  if (!response->ok()) {
    return fail(Code::unavailable,
                fmt::format("controller {} answers, but not well: {}", controller, response->problem()));
  }
  auto farm = read_farm(controller, response->body);
  if (!farm) {
    return fail(Code::invalid,
                fmt::format("{} is no kiln controller of this version ({}); name the right one with "
                            "--controller or in /etc/kiln/agent.toml",
                            controller, farm.error().message));
  }
  return farm;
}

Discovery::Discovery(std::string controller, std::function<void(const Farm&)> on_found)
    : controller_(std::move(controller)), on_found_(std::move(on_found)) {
  wanted_.set();
  thread_ = std::thread([this] { run(); });
}

Discovery::~Discovery() {
  stop_.set();
  wanted_.set();
  thread_.join();
}

void Discovery::run() {
  std::string told;
  std::size_t failures = 0;
  while (wanted_.wait(-1ms) && !stop_.is_set()) {
    const auto farm = ask_farm(controller_, [this] { return stop_.is_set(); });
    if (stop_.is_set()) return;
    if (farm) {
      if (!told.empty()) log::info("agent", "controller {} answers", controller_);
      told.clear();
      failures = 0;
      wanted_.clear();
      on_found_(*farm);
      continue;
    }
    // The first tries of a farm that is just starting are nobody's concern.
    if (++failures >= 3 && farm.error().message != told) {
      told = farm.error().message;
      log::warn("agent", "{}; trying again every {} s", told, retry_after.back() / 1s);
    }
    if (stop_.wait(retry_after.at(std::min(failures, retry_after.size()) - 1))) return;
  }
}

}  // namespace kiln::agent
