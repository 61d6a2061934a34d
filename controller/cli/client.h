// The controller's HTTP API as calls. Answers stay JSON: most of it goes straight to the screen.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "payloads/http_bodies.h"
#include "runtime/http_client.h"

namespace kiln::cli {

// Errors of every call: unavailable (no controller there, with what to do), timeout (also when interrupted),
// else what the controller said: invalid, not_found, conflict, denied, too_large, full, internal.
class Client {
 public:
  // `interrupted` ends a call within about a second of turning true; it outlives the client.
  // `token`: sent with every call; "" = none. `ca_file`: whom to trust over https; "" = the system's.
  Client(std::string url, std::string user, const std::atomic<bool>& interrupted, std::string token = "",
         std::string ca_file = "");

  Result<Json> farm();
  Result<Json> patch_farm(const Json& changes);
  // Newest first; "" = all.
  struct JobFilter {
    std::string state, project, sequence, shot;
    std::uint32_t limit = 20;
  };
  Result<Json> jobs(const JobFilter& filter);
  Result<Json> productions(const std::string& project, const std::string& sequence);  // "" = every
  Result<Json> usage(std::uint32_t hours);
  Result<Json> job(const std::string& id_or_number);
  // The same submission sent again with the same key is the same job: retried while the controller is away.
  Result<Json> submit(const payloads::JobSubmission& submission, const std::string& key);
  Result<Json> patch_job(const std::string& id, const Json& changes);
  Result<Json> cancel(const std::string& id);
  Result<Json> retry(const std::string& id);
  Result<Json> why(const std::string& id);
  Result<Json> requeue_many(const std::string& id, const Json& wish);
  Result<Json> statistics(const std::string& id, const std::string& step);  // "" = every step
  Status remove(const std::string& id);
  // state "" = all; from: task index.
  Result<Json> tasks(const std::string& job, const std::string& state, std::uint32_t from,
                     std::uint32_t limit);
  Result<Json> task(const std::string& id);
  Result<Json> accept(const std::string& task);
  Result<Json> requeue(const std::string& task);
  Result<std::string> log(const std::string& task, std::uint32_t attempt);
  Result<Json> results(const std::string& job, std::uint32_t from, std::uint32_t limit);
  Result<Json> nodes();
  Result<Json> node(const std::string& id);
  Result<Json> drain(const std::string& id);
  Result<Json> undrain(const std::string& id);
  Result<Json> forgive(const std::string& id);
  Result<Json> patch_node(const std::string& id, const Json& changes);
  Result<Json> power(const std::string& id, bool wake);
  Status forget(const std::string& id);

  // Any other request; `body` null: none. What has no answer (204) gives an empty object.
  Result<Json> call(const std::string& method, const std::string& path, const Json& body = {});
  Result<Json> me();
  Result<Json> users();
  Result<Json> add_user(const Json& wish);
  Result<Json> patch_user(const std::string& name, const Json& changes);
  Status remove_user(const std::string& name);
  Result<Json> tokens(const std::string& user);  // "" = as many as one may see
  Result<Json> add_token(const Json& wish);
  // The same, of who logs in with that password and out again.
  Result<Json> token_by_password(const std::string& name, const std::string& password, const Json& wish);
  Status remove_token(const std::string& id);
  Result<Json> audit(std::uint32_t limit, const std::string& caller);  // "" = everybody's
  void use_token(std::string token);
  [[nodiscard]] const std::string& token() const { return token_; }

  Result<Json> types();
  Result<std::string> type(const std::string& name);  // its template's text

  Result<std::vector<std::string>> missing_blobs(const std::vector<std::string>& digests);
  // Bytes of that blob which the controller holds of an upload that broke off; `size` when it has it all.
  Result<std::uint64_t> blob_offset(const std::string& digest, std::uint64_t size);
  // One try, from offset on. Errors: also invalid when the content is not what the digest says.
  Status put_blob(const std::string& digest, const std::filesystem::path& file, std::uint64_t offset);
  // One try; continues the file from its present size. Returns the size it has then.
  Result<std::uint64_t> get_file(const std::string& job, const std::string& path,
                                 const std::filesystem::path& file, std::uint64_t size);

  // All of a job's results as one ZIP. One try, from the beginning.
  Result<std::uint64_t> get_archive(const std::string& job, const std::filesystem::path& file);

  // Server-sent events until on_event returns false (ok), the server ends it (unavailable) or a failure.
  Status events(const std::string& last_id, const std::function<bool(const runtime::ServerEvent&)>& on_event);

  // Called about once a second during a call, and as bytes move: how many of the call's body were sent and
  // received.
  void on_moving(std::function<void(std::uint64_t sent, std::uint64_t received)> moving) {
    moving_ = std::move(moving);
  }
  // All that was wrong with what the last call sent, where the controller said so: a line each.
  [[nodiscard]] const std::vector<std::string>& problems() const { return problems_; }
  [[nodiscard]] bool interrupted() const { return interrupted_.load(); }
  [[nodiscard]] const std::string& url() const { return url_; }

 private:
  runtime::HttpOptions options(std::chrono::seconds stall);
  Result<Json> json_of(const Result<runtime::HttpResponse>& response);
  Result<Json> get(const std::string& path);
  Status gone(const std::string& path);  // DELETE
  Error failure(const Error& error) const;
  Error failure(const runtime::HttpResponse& response);

  std::string url_;
  const std::atomic<bool>& interrupted_;
  std::function<void(std::uint64_t, std::uint64_t)> moving_;
  std::string user_;
  std::string token_;
  std::string ca_file_;
  std::vector<std::string> problems_;
  runtime::HttpClient http_;
};

// [a-z0-9-]{1,32} out of a login name: "Ana Lima" becomes "ana-lima".
std::string user_name(std::string_view login);
// A fresh key for submit().
std::string random_key();

}  // namespace kiln::cli
