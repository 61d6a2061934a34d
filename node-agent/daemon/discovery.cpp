#include "daemon/discovery.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "base/json.h"
#include "base/text.h"
#include "daemon/identity.h"
#include "identity/authority.h"
#include "identity/bytes.h"
#include "runtime/facts.h"
#include "runtime/files.h"
#include "runtime/log.h"

namespace kiln::agent {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

// The controller often starts in the same second as we do; later on, five seconds are soon enough.
constexpr std::array retry_after = {250ms, 500ms, 1000ms, 2000ms, 5000ms};
constexpr auto refused_again = 30s;  // a person has to do something first
// Whoever is told again and again (a broker that refuses) must not ask in a circle.
constexpr auto rest_after_answer = 5s;
constexpr auto answer_within = 10s;
constexpr std::size_t max_answer_bytes = 64ULL * 1024;

bool is_https(const std::string& url) {
  return url.starts_with("https://");
}

runtime::HttpOptions brief(const std::function<bool()>& cancelled) {
  runtime::HttpOptions options;
  options.connect_timeout = 3s;
  options.overall = answer_within;
  options.max_body_bytes = max_answer_bytes;
  options.cancelled = cancelled;
  return options;
}

std::string known_fingerprint(const fs::path& ca_file) {
  const auto pem = runtime::read_file(ca_file, max_answer_bytes);
  if (!pem) return "";
  return identity::fingerprint_of_certificate(*pem).value_or("");
}

// The authority that answers there now, unverified.
Result<std::string> fetch_ca(const Config& config, const std::function<bool()>& cancelled) {
  auto options = brief(cancelled);
  options.trusts_anyone = true;
  const auto response = runtime::HttpClient(config.controller, options).get("/api/v1/ca");
  if (!response) return fail(response.error());
  if (!response->ok()) {
    return fail(Code::invalid, fmt::format("{} is no kiln controller of this version: {}", config.controller,
                                           response->problem()));
  }
  return response->body;
}

// Leaves in ca_file what may be believed.
Status settle_authority(const Config& config, const fs::path& ca_file,
                        const std::function<bool()>& cancelled) {
  auto known = known_fingerprint(ca_file);
  // On this machine nobody stands between: what is said there now counts, also for the broker.
  if (!is_https(config.controller)) known.clear();
  const bool is_pinned = !config.ca_fingerprint.empty();
  if (!known.empty() && (!is_pinned || known == config.ca_fingerprint)) return {};
  const auto pem = fetch_ca(config, cancelled);
  if (!pem) return fail(pem.error());
  const auto found = identity::fingerprint_of_certificate(*pem);
  if (!found)
    return fail(Code::invalid, fmt::format("{}/api/v1/ca: {}", config.controller, found.error().message));
  if (is_pinned && *found != config.ca_fingerprint) {
    return fail(
        Code::denied,
        fmt::format(
            "the controller at {} has the fingerprint {}, but ca_fingerprint says {}: correct the one "
            "that is wrong (the controller's page shows its own)",
            config.controller, *found, config.ca_fingerprint));
  }
  if (!is_pinned && is_https(config.controller)) {
    log::warn("agent",
              "the controller at {} is believed from now on: fingerprint {} (compare it with the one on its "
              "page)",
              config.controller, *found);
  }
  return runtime::write_file_atomically(ca_file, *pem);
}

Result<Greeting> read_greeting(const std::string& body) {
  const auto json = Json::parse(body);
  if (!json) return fail(json.error());
  Greeting greeting;
  JsonReader in(*json, "enroll");
  in.required("farm", greeting.farm);
  in.required("version", greeting.version);
  in.required("nonce", greeting.nonce);
  return in.finish(std::move(greeting));
}

// What firmware says is anybody's word.
std::string printable_line(const fs::path& file) {
  auto line = runtime::first_line(file);
  return is_one_line(line) ? line : "";
}

}  // namespace

std::string hardware_serial(const fs::path& sysfs) {
  // The UUID is for root on most systems, the rest for everybody; firmware of cheap boards says one thing for
  // all.
  for (const char* name : {"product_uuid", "board_serial", "product_serial"}) {
    const auto serial = printable_line(sysfs / "class/dmi/id" / name);
    const bool is_filler = serial.size() < 6 || serial.starts_with("To be filled") ||
                           serial.starts_with("Default") ||
                           serial.find_first_not_of("0-") == std::string::npos || serial == "Not Specified" ||
                           serial.starts_with("03000200-0400-0500");
    if (!is_filler) return fmt::format("{} {}", name, serial);
  }
  std::error_code ignored;
  std::string lowest;
  for (const auto& card : fs::directory_iterator(sysfs / "class/net", ignored)) {
    // A card that hangs on a bus: no bridge and no tunnel, whose addresses are made up at every boot.
    if (!fs::exists(card.path() / "device", ignored)) continue;
    const auto mac = printable_line(card.path() / "address");
    if (mac.size() == 17 && (lowest.empty() || mac < lowest)) lowest = mac;
  }
  return lowest.empty() ? "" : "mac " + lowest;
}

void Credentials::set_secret(const std::string& secret) {
  const std::lock_guard lock(mutex_);
  secret_ = secret;
}

runtime::HttpTrust Credentials::trust(std::function<void()> on_unauthorized) {
  return {.ca_file = ca_file_,
          .authorization = [this]() -> std::string {
            const std::lock_guard lock(mutex_);
            return secret_.empty() ? "" : payloads::node_authorization(node_, secret_);
          },
          .on_unauthorized = std::move(on_unauthorized)};
}

Result<Greeting> greet(const Config& config, const fs::path& ca_file,
                       const std::function<bool()>& cancelled) {
  if (auto settled = settle_authority(config, ca_file, cancelled); !settled)
    return fail(std::move(settled.error()));
  auto options = brief(cancelled);
  options.trust.ca_file = ca_file;
  const auto response = runtime::HttpClient(config.controller, options).get("/api/v1/enroll");
  if (!response && response.error().code == Code::denied) {
    return fail(Code::denied,
                fmt::format("{}; this box believes the authority {} ({}): if the farm was set up anew, "
                            "delete that file, or pin the new one with ca_fingerprint",
                            response.error().message, known_fingerprint(ca_file), ca_file.string()));
  }
  if (!response) return fail(response.error());
  if (!response->ok()) {
    return fail(Code::unavailable, fmt::format("controller {} answers, but not well: {}", config.controller,
                                               response->problem()));
  }
  auto greeting = read_greeting(response->body);
  if (!greeting) {
    return fail(
        Code::invalid,
        fmt::format(
            "{} is no kiln controller of this version ({}); name the right one with --controller or in "
            "/etc/kiln/agent.toml",
            config.controller, greeting.error().message));
  }
  greeting->ca_fingerprint = known_fingerprint(ca_file);
  return greeting;
}

Discovery::Discovery(Config config, NodeId node, const identity::Key& key, Credentials& credentials,
                     Handlers handlers)
    : config_(std::move(config)),
      node_(std::move(node)),
      key_(key),
      credentials_(credentials),
      handlers_(std::move(handlers)),
      hardware_(hardware_serial(config_.sysfs)) {
  wanted_.set();
  thread_ = std::thread([this] { run(); });
}

Discovery::~Discovery() {
  stop_.set();
  wanted_.set();
  thread_.join();
}

Result<payloads::EnrollAnswer> Discovery::ask() {
  const auto cancelled = [this] { return stop_.is_set(); };
  const auto greeting = greet(config_, credentials_.ca_file(), cancelled);
  if (!greeting) return fail(greeting.error());
  ca_fingerprint_ = greeting->ca_fingerprint;
  payloads::EnrollRequest request;
  request.id = node_;
  request.public_key = identity::to_base64(key_.public_key());
  request.nonce = greeting->nonce;
  request.name = config_.name.empty() ? host_name() : config_.name;
  request.hardware = hardware_;
  request.join_token = config_.join_token;
  const auto body = payloads::encode(request);
  auto options = brief(cancelled);
  options.trust.ca_file = credentials_.ca_file();
  const auto response =
      runtime::HttpClient(config_.controller, options)
          .post("/api/v1/enroll", body, {{payloads::signature_field, identity::to_base64(key_.sign(body))}});
  if (!response) return fail(response.error());
  if (response->ok()) return payloads::decode_enroll_answer(response->body);
  const bool is_final = response->status >= 400 && response->status < 500;
  return fail(is_final ? Code::denied : Code::unavailable,
              fmt::format("controller {}: {}", config_.controller, response->problem()));
}

void Discovery::stand(Standing standing) {
  standing.ca_fingerprint = ca_fingerprint_;
  if (!standing.message.empty() && standing.message != told_) log::warn("agent", "{}", standing.message);
  told_ = standing.message;
  handlers_.on_standing(standing);
}

void Discovery::run() {
  std::size_t failures = 0;
  while (wanted_.wait(-1ms) && !stop_.is_set()) {
    const auto answer = ask();
    if (stop_.is_set()) return;
    if (answer && answer->state == payloads::EnrollState::approved) {
      if (!told_.empty()) log::info("agent", "controller {} has let this box in", config_.controller);
      failures = 0;
      credentials_.set_secret(answer->secret);
      stand({"approved", "", ""});
      auto broker = answer->broker;
      if (broker.host.empty()) broker.host = host_of(config_.controller);
      wanted_.clear();
      handlers_.on_found({answer->farm, answer->version, ca_fingerprint_, std::move(broker)});
      if (stop_.wait(rest_after_answer)) return;
      continue;
    }
    std::chrono::milliseconds pause = refused_again;
    if (answer) {
      stand({"pending", answer->message, ""});
      pause = std::chrono::seconds(std::max(1U, answer->again_s));
    } else if (answer.error().code == Code::denied) {
      stand({"refused", answer.error().message, ""});
    } else {
      // The first tries of a farm that is just starting are nobody's concern.
      if (++failures >= 3) stand({"searching", answer.error().message, ""});
      pause = retry_after.at(std::min(failures, retry_after.size()) - 1);
    }
    if (stop_.wait(pause)) return;
  }
}

}  // namespace kiln::agent
