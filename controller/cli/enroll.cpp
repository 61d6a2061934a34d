#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/config.h"
#include "cli/fields.h"
#include "cli/table.h"
#include "cli/text.h"
#include "identity/authority.h"
#include "runtime/files.h"

namespace kiln::cli {

namespace {

constexpr const char* enrollments = "/api/v1/enrollments";
constexpr const char* join_tokens = "/api/v1/join-tokens";

std::string days_left(std::int64_t until_ms) {
  return duration_text(static_cast<double>(std::max<std::int64_t>(0, until_ms - now_ms())) / 1000);
}

// People read the fingerprint from the box's screen: that names it as well as its id.
Result<std::string> find_key(Context& context, const std::string& name) {
  const auto all = context.client.call("GET", enrollments);
  if (!all) return fail(all.error());
  for (const auto& key : array_of(*all, "enrollments")) {
    if (text_of(key, "id") == name || text_of(key, "fingerprint") == name) return text_of(key, "id");
  }
  return fail(Code::not_found,
              fmt::format("no box {} has asked to join; `kiln node keys` lists those that have", name));
}

}  // namespace

Result<Exit> list_keys(Context& context) {
  const auto all = context.client.call("GET", enrollments);
  if (!all) return fail(all.error());
  if (context.json) {
    context.print(*all);
    return Exit::ok;
  }
  std::vector<Row> rows;
  std::vector<std::string> remarks;
  for (const auto& key : array_of(*all, "enrollments")) {
    const auto state = text_of(key, "state");
    const auto style = state == "pending" ? Style::yellow : state == "approved" ? Style::green : Style::red;
    rows.push_back({{text_of(key, "fingerprint"), Style::bold},
                    {state, style},
                    {harmless(text_of(key, "id"))},
                    {harmless(text_of(key, "name"))},
                    {harmless(text_of(key, "peer"))},
                    {harmless(text_of(key, "decided_by")), Style::dim}});
    if (const auto remark = harmless(text_of(key, "remark")); !remark.empty())
      remarks.push_back(fmt::format("{}: {}", text_of(key, "fingerprint"), remark));
  }
  if (rows.empty()) {
    context.say("no box has asked to join yet");
    return Exit::ok;
  }
  context.out.raw(
      table_text({{"fingerprint"}, {"state"}, {"id"}, {"name", false, 6}, {"from"}, {"by", false, 8, 1}},
                 rows, context.out.width(), context.out.color()));
  for (const auto& remark : remarks) context.out.line(styled(remark, Style::yellow, context.out.color()));
  return Exit::ok;
}

Result<Exit> decide_on_key(Context& context, const std::string& name, KeyAction action) {
  const auto id = find_key(context, name);
  if (!id) return fail(id.error());
  const char* verb = action == KeyAction::approve  ? "approve"
                     : action == KeyAction::reject ? "reject"
                     : action == KeyAction::revoke ? "revoke"
                                                   : "rotate";
  const auto done = context.client.call("POST", fmt::format("{}/{}/{}", enrollments, *id, verb));
  if (!done) return fail(done.error());
  if (context.json) context.print(Json::object({{"node", *id}, {"done", verb}}));
  const char* said = action == KeyAction::approve  ? "belongs to the farm; it comes by itself within seconds"
                     : action == KeyAction::reject ? "may not join"
                     : action == KeyAction::revoke ? "is shut out; its work is queued again"
                                                   : "gets a new secret";
  context.say(fmt::format("node {}: {}", *id, said));
  return Exit::ok;
}

Result<Exit> make_join_token(Context& context, const JoinTokenOptions& options) {
  const auto made = context.client.call(
      "POST", join_tokens,
      Json::object({{"label", options.label}, {"uses", options.uses}, {"days", options.days}}));
  if (!made) return fail(made.error());
  if (context.json) {
    context.print(*made);
    return Exit::ok;
  }
  // The token alone on stdout: TOKEN=$(kiln node token).
  context.out.line(text_of(*made, "token"));
  context.err.line(
      fmt::format("good for {} within {}; it is not shown again. On a box: join_token in kiln.toml, or "
                  "kiln-agent --join-token",
                  options.uses == 1 ? "one box" : fmt::format("{} boxes", options.uses),
                  days_left(integer_of(*made, "expires_ms"))));
  return Exit::ok;
}

Result<Exit> list_join_tokens(Context& context) {
  const auto all = context.client.call("GET", join_tokens);
  if (!all) return fail(all.error());
  if (context.json) {
    context.print(*all);
    return Exit::ok;
  }
  std::vector<Row> rows;
  for (const auto& token : array_of(*all, "tokens")) {
    rows.push_back({{text_of(token, "id")},
                    {harmless(text_of(token, "label"))},
                    {std::to_string(integer_of(token, "uses_left"))},
                    {days_left(integer_of(token, "expires_ms"))},
                    {harmless(text_of(token, "made_by"))}});
  }
  if (rows.empty()) {
    context.say("no join token is good now; `kiln node token` makes one");
    return Exit::ok;
  }
  context.out.raw(table_text({{"id"}, {"label", false, 6}, {"uses left", true}, {"ends in"}, {"by"}}, rows,
                             context.out.width(), context.out.color()));
  return Exit::ok;
}

Result<Exit> remove_join_token(Context& context, const std::string& id) {
  const auto gone =
      context.client.call("DELETE", fmt::format("{}/{}", join_tokens, runtime::escape_segment(id)));
  if (!gone) return fail(gone.error());
  context.say(fmt::format("token {}: void", id));
  return Exit::ok;
}

Result<Exit> expect_boxes(Context& context, const std::vector<std::string>& fingerprints) {
  for (const auto& text : fingerprints) {
    const auto added =
        context.client.call("POST", "/api/v1/known-fingerprints", Json::object({{"fingerprint", text}}));
    if (!added) return fail(added.error());
    context.say(fmt::format("{} gets in when it asks", text_of(*added, "fingerprint")));
  }
  return Exit::ok;
}

Result<Exit> trust_server(Context& context, const std::string& server, const std::string& fingerprint) {
  const auto url = server_url(server);
  if (!url.starts_with("https://"))
    return fail(Code::invalid, fmt::format("{} is this machine: it needs no trust", url));
  runtime::HttpOptions options;
  options.trusts_anyone = true;
  const auto answer = runtime::HttpClient(url, options).get("/api/v1/ca");
  if (!answer) return fail(answer.error());
  if (!answer->ok()) return fail(Code::unavailable, fmt::format("{}: {}", url, answer->problem()));
  const auto found = identity::fingerprint_of_certificate(answer->body);
  if (!found) return fail(Error(found.error()).with(url));
  if (fingerprint.empty()) {
    context.say(fmt::format(
        "{} shows the fingerprint {}\nIf its page, opened on the controller itself, shows the same:\n"
        "  kiln trust {} {}",
        url, *found, server, *found));
    return Exit::ok;
  }
  const auto wanted = identity::read_fingerprint(fingerprint);
  if (!wanted) return fail(wanted.error());
  if (*wanted != *found) {
    return fail(Code::denied,
                fmt::format("{} shows the fingerprint {}, not {}: do not trust it before you know why", url,
                            *found, *wanted));
  }
  const auto file = trusted_file(url);
  if (auto made = runtime::make_folders(file.parent_path()); !made) return fail(std::move(made.error()));
  if (auto written = runtime::write_file_atomically(file, answer->body); !written)
    return fail(std::move(written.error()));
  context.say(fmt::format("{} is trusted", url));
  return Exit::ok;
}

Result<Exit> show_viewer(Context& context) {
  const auto viewer = context.client.call("GET", "/api/v1/mqtt-viewer");
  if (!viewer) return fail(viewer.error());
  if (context.json) {
    context.print(*viewer);
    return Exit::ok;
  }
  context.out.line(fmt::format("user      {}", text_of(*viewer, "username")));
  context.out.line(fmt::format("password  {}", text_of(*viewer, "password")));
  context.out.line(fmt::format("port      {}, TLS; the authority: {}/api/v1/ca", integer_of(*viewer, "port"),
                               context.client.url()));
  return Exit::ok;
}

}  // namespace kiln::cli
