#include "cli/client.h"

#include "cli/config.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <thread>

#include "base/ids.h"
#include "cli/fields.h"

namespace kiln::cli {

namespace {

constexpr std::size_t max_answer_bytes = 64ULL * 1024 * 1024;
constexpr JsonLimits answer_limits{max_answer_bytes, 24, 4'000'000};
constexpr std::chrono::seconds stall{60};        // an upload's commit syncs the disk
constexpr std::chrono::seconds event_stall{45};  // the stream has a line every 15 s
constexpr std::size_t digests_per_question = 10'000;

// A status as the code that the rest of the program branches on.
Code code_of(int status) {
  switch (status) {
    case 404:
    case 410:
      return Code::not_found;
    case 401:
    case 403:
      return Code::denied;
    case 409:
    case 412:
    case 423:
    case 507:  // its disk is full: a person has to act, there and not here
      return Code::conflict;
    case 413:
      return Code::too_large;
    case 408:
    case 429:
      return Code::unavailable;
    case 501:
      return Code::unsupported;
    default:
      return status >= 500 ? Code::unavailable : Code::invalid;
  }
}

std::string query(const std::vector<std::pair<std::string, std::string>>& parts) {
  std::string text;
  for (const auto& [key, value] : parts) {
    if (value.empty()) continue;
    text += text.empty() ? "?" : "&";
    text += key + "=" + runtime::escape_segment(value);
  }
  return text;
}

std::string job_path(const std::string& id) {
  return "/api/v1/jobs/" + runtime::escape_segment(id);
}
std::string task_path(const std::string& id) {
  return "/api/v1/tasks/" + runtime::escape_segment(id);
}
std::string node_path(const std::string& id) {
  return "/api/v1/nodes/" + runtime::escape_segment(id);
}
std::string blob_path(const std::string& digest) {
  return "/api/v1/blobs/" + digest;
}

}  // namespace

Client::Client(std::string url, std::string user, const std::atomic<bool>& interrupted, std::string token,
               std::string ca_file)
    : url_(std::move(url)),
      interrupted_(interrupted),
      user_(std::move(user)),
      token_(std::move(token)),
      ca_file_(std::move(ca_file)),
      http_(url_, options(stall)) {}

runtime::HttpOptions Client::options(std::chrono::seconds stall_time) {
  runtime::HttpOptions options;
  options.stall = stall_time;
  options.max_body_bytes = max_answer_bytes;
  options.headers = {{"X-Kiln-User", user_}};
  if (!token_.empty()) options.headers["Authorization"] = "Bearer " + token_;
  // What was trusted by hand, else what the settings say, else the system's authorities.
  std::error_code ignored;
  const bool is_trusted =
      url_.starts_with("https://") && std::filesystem::exists(trusted_file(url_), ignored);
  options.trust.ca_file = is_trusted ? trusted_file(url_).string() : ca_file_;
  options.cancelled = [this] { return interrupted_.load(); };
  options.moved = [this](std::uint64_t sent, std::uint64_t received) {
    if (moving_) moving_(sent, received);
  };
  return options;
}

Error Client::failure(const Error& error) const {
  if (error.code == Code::denied && url_.starts_with("https://"))
    return {Code::denied, fmt::format("{}. `kiln trust {}` shows how to trust it", error.message, url_)};
  if (error.code == Code::unavailable || (error.code == Code::timeout && !interrupted())) {
    return {Code::unavailable, error.message + " Another address goes with --server or KILN_SERVER"};
  }
  return error;
}

Error Client::failure(const runtime::HttpResponse& response) {
  Error error{code_of(response.status), response.problem()};
  problems_.clear();
  if (const auto json = Json::parse(response.body, answer_limits)) {
    for (const auto& one : array_of(*json, "problems")) {
      const auto path = text_of(one, "path");
      problems_.push_back(path.empty() ? text_of(one, "message")
                                       : fmt::format("{}: {}", path, text_of(one, "message")));
    }
    if (const auto more = integer_of(*json, "problems_left_out"); more > 0)
      problems_.push_back(fmt::format("… and {} more", more));
  }
  if (response.status >= 500)
    error.message = fmt::format("the controller at {} says: {}", url_, error.message);
  return error;
}

Result<Json> Client::json_of(const Result<runtime::HttpResponse>& response) {
  if (!response) return fail(failure(response.error()));
  if (!response->ok()) return fail(failure(*response));
  auto json = Json::parse(response->body, answer_limits);
  if (!json) {
    return fail(Code::unavailable,
                fmt::format("what answers at {} is no Kiln controller ({}); check --server and "
                            "KILN_SERVER",
                            url_, json.error().message));
  }
  return json;
}

Result<Json> Client::get(const std::string& path) {
  return json_of(http_.get(path));
}

Result<Json> Client::call(const std::string& method, const std::string& path, const Json& body) {
  const auto response =
      method == "GET" ? http_.get(path) : http_.send(method, path, body.is_null() ? "" : body.dump());
  constexpr int no_content = 204;
  if (response && response->status == no_content) return Json::object({});
  return json_of(response);
}

Result<Json> Client::farm() {
  return get("/api/v1/farm");
}

Result<Json> Client::patch_farm(const Json& changes) {
  return json_of(http_.patch("/api/v1/farm", changes.dump()));
}

Result<Json> Client::me() {
  return get("/api/v1/me");
}
Result<Json> Client::users() {
  return get("/api/v1/users");
}
Result<Json> Client::add_user(const Json& wish) {
  return json_of(http_.post("/api/v1/users", wish.dump()));
}
Result<Json> Client::patch_user(const std::string& name, const Json& changes) {
  return json_of(http_.patch("/api/v1/users/" + runtime::escape_segment(name), changes.dump()));
}
Status Client::remove_user(const std::string& name) {
  return gone("/api/v1/users/" + runtime::escape_segment(name));
}
Result<Json> Client::tokens(const std::string& user) {
  return get("/api/v1/tokens" + query({{"user", user}}));
}
Result<Json> Client::add_token(const Json& wish) {
  return json_of(http_.post("/api/v1/tokens", wish.dump()));
}
Status Client::remove_token(const std::string& id) {
  return gone("/api/v1/tokens/" + runtime::escape_segment(id));
}
Result<Json> Client::audit(std::uint32_t limit, const std::string& caller) {
  return get("/api/v1/audit" + query({{"limit", std::to_string(limit)}, {"caller", caller}}));
}

void Client::use_token(std::string token) {
  token_ = std::move(token);
  http_ = runtime::HttpClient(url_, options(stall));
}

Result<Json> Client::token_by_password(const std::string& name, const std::string& password,
                                       const Json& wish) {
  use_token("");
  const auto login =
      http_.post("/api/v1/login", Json::object({{"name", name}, {"password", password}}).dump());
  if (!login) return fail(failure(login.error()));
  if (!login->ok()) return fail(failure(*login));
  const auto field = login->headers.find("set-cookie");
  if (field == login->headers.end()) return fail(Code::unavailable, "the controller gave no session");
  // What a page of the controller's would send.
  const runtime::HttpHeaders session{{"Cookie", field->second.substr(0, field->second.find(';'))},
                                     {"Origin", url_}};
  auto made = json_of(http_.post("/api/v1/tokens", wish.dump(), session));
  (void)http_.post("/api/v1/logout", "", session);  // it would end by itself
  return made;
}

Result<Json> Client::jobs(const JobFilter& filter) {
  return get("/api/v1/jobs" + query({{"state", filter.state},
                                     {"project", filter.project},
                                     {"sequence", filter.sequence},
                                     {"shot", filter.shot},
                                     {"limit", std::to_string(filter.limit)}}));
}

Result<Json> Client::productions(const std::string& project, const std::string& sequence) {
  return get("/api/v1/productions" +
             query({{"project", project}, {"sequence", sequence}, {"limit", "1000"}}));
}

Result<Json> Client::usage(std::uint32_t hours) {
  return get("/api/v1/usage" + query({{"hours", std::to_string(hours)}}));
}

Result<Json> Client::job(const std::string& id_or_number) {
  return get(job_path(id_or_number));
}

Result<Json> Client::submit(const payloads::JobSubmission& submission, const std::string& key) {
  const std::string body = payloads::encode(submission);
  constexpr int tries = 5;
  for (int i = 1;; ++i) {
    auto answer = json_of(http_.post("/api/v1/jobs", body, {{"Idempotency-Key", key}}));
    const bool is_away = !answer && answer.error().code == Code::unavailable;
    if (!is_away || i == tries || interrupted()) return answer;
    std::this_thread::sleep_for(std::chrono::milliseconds(250 << i));
  }
}

Result<Json> Client::patch_job(const std::string& id, const Json& changes) {
  return json_of(http_.patch(job_path(id), changes.dump()));
}
Result<Json> Client::cancel(const std::string& id) {
  return json_of(http_.post(job_path(id) + "/cancel", "{}"));
}
Result<Json> Client::retry(const std::string& id) {
  return json_of(http_.post(job_path(id) + "/retry", "{}"));
}

Result<Json> Client::why(const std::string& id) {
  return get(job_path(id) + "/why");
}
Result<Json> Client::requeue_many(const std::string& id, const Json& wish) {
  return json_of(http_.post(job_path(id) + "/requeue", wish.dump()));
}
Result<Json> Client::statistics(const std::string& id, const std::string& step) {
  return get(job_path(id) + "/statistics" + query({{"step", step}}));
}

Status Client::gone(const std::string& path) {
  const auto response = http_.remove(path);
  if (!response) return fail(failure(response.error()));
  if (!response->ok()) return fail(failure(*response));
  return {};
}
Status Client::remove(const std::string& id) {
  return gone(job_path(id));
}

Result<Json> Client::tasks(const std::string& job, const std::string& state, std::uint32_t from,
                           std::uint32_t limit) {
  return get(job_path(job) + "/tasks" +
             query({{"state", state}, {"from", std::to_string(from)}, {"limit", std::to_string(limit)}}));
}
Result<Json> Client::task(const std::string& id) {
  return get(task_path(id));
}

Result<Json> Client::accept(const std::string& task) {
  return json_of(http_.post(task_path(task) + "/accept", "{}"));
}
Result<Json> Client::requeue(const std::string& task) {
  return json_of(http_.post(task_path(task) + "/requeue", "{}"));
}

Result<std::string> Client::log(const std::string& task, std::uint32_t attempt) {
  const auto response = http_.get(fmt::format("{}/attempts/{}/log", task_path(task), attempt));
  if (!response) return fail(failure(response.error()));
  if (!response->ok()) return fail(failure(*response));
  return response->body;
}

Result<Json> Client::results(const std::string& job, std::uint32_t from, std::uint32_t limit) {
  return get(job_path(job) + "/results" +
             query({{"from", std::to_string(from)}, {"limit", std::to_string(limit)}}));
}

Result<Json> Client::nodes() {
  return get("/api/v1/nodes");
}
Result<Json> Client::node(const std::string& id) {
  return get(node_path(id));
}
Result<Json> Client::drain(const std::string& id) {
  return json_of(http_.post(node_path(id) + "/drain", "{}"));
}
Result<Json> Client::forgive(const std::string& id) {
  return json_of(http_.post(node_path(id) + "/forgive", "{}"));
}
Result<Json> Client::patch_node(const std::string& id, const Json& changes) {
  return json_of(http_.patch(node_path(id), changes.dump()));
}
Result<Json> Client::power(const std::string& id, bool wake) {
  return json_of(http_.post(node_path(id) + (wake ? "/wake" : "/sleep"), "{}"));
}
Status Client::forget(const std::string& id) {
  return gone(node_path(id));
}
Result<Json> Client::undrain(const std::string& id) {
  return json_of(http_.post(node_path(id) + "/resume", "{}"));
}

Result<std::vector<std::string>> Client::missing_blobs(const std::vector<std::string>& digests) {
  std::vector<std::string> missing;
  for (std::size_t from = 0; from < digests.size(); from += digests_per_question) {
    Json list(Json::Array{});
    const auto until = std::min(digests.size(), from + digests_per_question);
    for (std::size_t i = from; i < until; ++i) list.push(digests[i]);
    Json question(Json::Object{});
    question.set("digests", std::move(list));
    const auto answer = json_of(http_.post("/api/v1/blobs/missing", question.dump()));
    if (!answer) return fail(answer.error());
    const Json* found = answer->find("missing");
    const auto* items = found != nullptr ? found->as_array() : nullptr;
    if (items == nullptr)
      return fail(Code::internal, "the controller's answer to blobs/missing has no 'missing'");
    for (const auto& item : *items) {
      if (const auto* digest = item.as_string()) missing.push_back(*digest);
    }
  }
  return missing;
}

Result<std::uint64_t> Client::blob_offset(const std::string& digest, std::uint64_t size) {
  const auto response = http_.head(blob_path(digest));
  if (!response) return fail(failure(response.error()));
  if (response->ok()) return size;
  if (response->status != 404) return fail(failure(*response));
  const auto header = response->headers.find("upload-offset");
  if (header == response->headers.end()) return 0;
  const std::string& text = header->second;
  std::uint64_t offset = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), offset);
  // Nonsense, or more than there is: start anew.
  if (error != std::errc{} || end != text.data() + text.size() || offset >= size) return 0;
  return offset;
}

Status Client::put_blob(const std::string& digest, const std::filesystem::path& file, std::uint64_t offset) {
  const auto response = http_.put_file(blob_path(digest), file, offset);
  if (!response) return fail(failure(response.error()));
  if (!response->ok()) return fail(failure(*response));
  return {};
}

Result<std::uint64_t> Client::get_archive(const std::string& job, const std::filesystem::path& file) {
  constexpr std::uint64_t any_size = std::numeric_limits<std::int64_t>::max();
  const auto got = http_.get_file(job_path(job) + "/archive", file, 0, any_size);
  if (!got) return fail(failure(got.error()));
  if (!got->response.ok()) return fail(failure(got->response));
  return got->size;
}

Result<Json> Client::types() {
  return get("/api/v1/types");
}
Result<std::string> Client::type(const std::string& name) {
  const auto response = http_.get("/api/v1/types/" + runtime::escape_segment(name));
  if (!response) return fail(failure(response.error()));
  if (!response->ok()) return fail(failure(*response));
  return response->body;
}

Result<std::uint64_t> Client::get_file(const std::string& job, const std::string& path,
                                       const std::filesystem::path& file, std::uint64_t size) {
  std::error_code error;
  auto offset = std::filesystem::file_size(file, error);
  if (error || offset >= size) offset = 0;
  const auto got = http_.get_file(job_path(job) + "/files/" + runtime::escape_path(path), file, offset, size);
  if (!got) return fail(failure(got.error()));
  if (!got->response.ok()) return fail(failure(got->response));
  return got->size;
}

Status Client::events(const std::string& last_id,
                      const std::function<bool(const runtime::ServerEvent&)>& on_event) {
  runtime::HttpClient http(url_, options(event_stall));
  runtime::HttpHeaders headers{{"Accept", "text/event-stream"}};
  if (!last_id.empty()) headers["Last-Event-ID"] = last_id;
  bool is_enough = false;
  runtime::ServerEvents events([&](const runtime::ServerEvent& event) {
    is_enough = !on_event(event);
    return !is_enough;
  });
  const auto response = http.stream(
      "/api/v1/events", [&](std::string_view line) { return events.line(line); }, headers);
  if (is_enough) return {};
  if (!response) return fail(failure(response.error()));
  if (!response->ok()) return fail(failure(*response));
  return fail(Code::unavailable, fmt::format("the controller at {} closed the connection", url_));
}

std::string user_name(std::string_view login) {
  std::string name;
  for (const char c : login.substr(0, 32)) {
    const bool is_upper = c >= 'A' && c <= 'Z';
    const bool is_plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    name += is_upper ? static_cast<char>(c - 'A' + 'a') : is_plain ? c : '-';
  }
  return is_id(name) ? name : "anonymous";
}

std::string random_key() {
  static constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyz234567";
  std::array<unsigned char, 20> random{};  // 100 bits: no two submissions meet
  KILN_ASSERT(getrandom(random.data(), random.size(), 0) == static_cast<ssize_t>(random.size()));
  std::string key;
  for (const auto byte : random) key += letters[byte % letters.size()];
  return key;
}

}  // namespace kiln::cli
