#include <fmt/format.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cstdio>

#include "cli/commands.h"
#include "cli/config.h"
#include "cli/fields.h"
#include "cli/table.h"
#include "cli/text.h"

namespace kiln::cli {

namespace {

constexpr std::size_t max_line = 1024;
constexpr std::int64_t day_s = 24LL * 3600;

// Keys typed are not shown while it lives.
class Unseen {
 public:
  Unseen() {
    is_terminal_ = ::tcgetattr(STDIN_FILENO, &before_) == 0;
    termios hidden = before_;
    hidden.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    if (is_terminal_) ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
  }
  ~Unseen() {
    if (is_terminal_) ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
  }
  Unseen(const Unseen&) = delete;
  Unseen& operator=(const Unseen&) = delete;

 private:
  termios before_{};
  bool is_terminal_ = false;
};

bool is_typed() {
  return ::isatty(STDIN_FILENO) != 0;
}

// One line of standard input; on a terminal after the question. Errors: invalid at its end.
Result<std::string> ask(const std::string& question, bool is_secret) {
  const std::optional<Unseen> unseen = is_secret ? std::optional<Unseen>(std::in_place) : std::nullopt;
  if (is_typed()) {
    std::fputs(question.c_str(), stderr);
    std::fflush(stderr);
  }
  std::array<char, max_line> line{};
  const bool is_read = std::fgets(line.data(), static_cast<int>(line.size()), stdin) != nullptr;
  if (is_typed() && is_secret) std::fputc('\n', stderr);
  std::string text(line.data());
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  if (!is_read || text.empty())
    return fail(Code::invalid, fmt::format("{}nothing was given on standard input", question));
  return text;
}

Result<std::string> ask_new_password(const std::string& name) {
  auto password = ask(fmt::format("New password of {}: ", name), true);
  if (!password || !is_typed()) return password;
  const auto again = ask("The same again: ", true);
  if (!again) return again;
  if (*again != *password) return fail(Code::invalid, "the two are not the same: nothing was changed");
  return password;
}

std::string host_name() {
  std::array<char, 65> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "a machine";
}

std::string role_text(const Json& json) {
  const auto role = text_of(json, "role");
  return role.empty() ? "no role" : role;
}

}  // namespace

Result<Exit> log_in(Context& context, const LoginOptions& options) {
  std::string token = options.token;
  if (token.empty()) {
    auto name = options.name.empty() ? ask("Name: ", false) : Result<std::string>(options.name);
    if (!name) return fail(std::move(name.error()));
    const auto password = ask(fmt::format("Password of {} at {}: ", *name, context.client.url()), true);
    if (!password) return fail(password.error());
    auto made = context.client.token_by_password(
        *name, *password,
        Json::object({{"label", "kiln on " + host_name()}, {"expires_s", options.days * day_s}}));
    if (!made) return fail(std::move(made.error()));
    token = text_of(*made, "token");
  }
  context.client.use_token(token);
  const auto me = context.client.me();
  if (!me) return fail(me.error());
  if (auto kept = keep_token(token_file(), context.client.url(), token); !kept)
    return fail(std::move(kept.error()));
  if (context.json) {
    context.print(*me);
    return Exit::ok;
  }
  context.say(fmt::format("logged in at {} as {}, {}; the token is in {}", context.client.url(),
                          harmless(text_of(*me, "name")), role_text(*me), token_file().string()));
  return Exit::ok;
}

Result<Exit> log_out(Context& context) {
  const std::string token = context.client.token();
  if (token.empty()) {
    context.say(fmt::format("there is no token for {}", context.client.url()));
    return Exit::ok;
  }
  if (auto kept = keep_token(token_file(), context.client.url(), ""); !kept)
    return fail(std::move(kept.error()));
  // kiln_<id>_<secret>
  const auto first = token.find('_');
  const auto second = token.find('_', first + 1);
  const auto removed = context.client.remove_token(token.substr(first + 1, second - first - 1));
  if (!removed) context.warn("the token is forgotten here, but not there: " + removed.error().message);
  context.say(fmt::format("logged out at {}", context.client.url()));
  return Exit::ok;
}

Result<Exit> who_am_i(Context& context) {
  const auto me = context.client.me();
  if (!me) return fail(me.error());
  if (context.json) {
    context.print(*me);
    return Exit::ok;
  }
  const auto kind = text_of(*me, "kind");
  context.out.line(kind == "user"    ? fmt::format("{}, {}", harmless(text_of(*me, "name")), role_text(*me))
                   : kind == "local" ? "on the controller's own machine: administrator"
                                     : "nobody in particular: `kiln login` changes that");
  return Exit::ok;
}

// ---- users -----------------------------------------------------------------------------------------------

Result<Exit> list_users(Context& context) {
  const auto answer = context.client.users();
  if (!answer) return fail(answer.error());
  if (context.json) {
    context.print(*answer);
    return Exit::ok;
  }
  std::vector<Row> rows;
  for (const auto& user : array_of(*answer, "users")) {
    const bool is_out = flag_of(user, "disabled");
    rows.push_back({{text_of(user, "name")},
                    {text_of(user, "role")},
                    {is_out                          ? "disabled"
                     : flag_of(user, "has_password") ? "password"
                                                     : "tokens only",
                     is_out ? Style::red : Style::plain},
                    {ago_text(integer_of(user, "seen_ms"), now_ms())}});
  }
  if (rows.empty()) {
    context.say("no users yet: kiln user add NAME --role administrator");
    return Exit::ok;
  }
  context.out.raw(table_text({{"USER"}, {"ROLE"}, {"COMES WITH"}, {"SEEN"}}, rows, context.out.width(),
                             context.out.color()));
  return Exit::ok;
}

Result<Exit> add_user(Context& context, const std::string& name, const UserOptions& options) {
  Json wish = Json::object({{"name", name}, {"role", options.role}});
  if (!options.no_password) {
    auto password = ask_new_password(name);
    if (!password) return fail(std::move(password.error()));
    wish.set("password", *password);
  }
  const auto user = context.client.add_user(wish);
  if (!user) return fail(user.error());
  if (context.json) context.print(*user);
  context.say(fmt::format(
      "{} is {}{}", harmless(name), options.role,
      options.no_password ? fmt::format("; `kiln token add LABEL --user {}` gives a key", name) : ""));
  return Exit::ok;
}

Result<Exit> set_user(Context& context, const std::string& name, const UserOptions& options) {
  if (auto checked = check_id(name, "user"); !checked) return fail(std::move(checked.error()));
  Json changes(Json::Object{});
  if (!options.role.empty()) changes.set("role", options.role);
  if (options.enable) changes.set("disabled", false);
  if (options.disable) changes.set("disabled", true);
  if (options.password) {
    const auto me = context.client.me();
    if (me && text_of(*me, "name") == name && text_of(*me, "kind") == "user") {
      auto old = ask("Old password: ", true);
      if (!old) return fail(std::move(old.error()));
      changes.set("old_password", *old);
    }
    auto password = ask_new_password(name);
    if (!password) return fail(std::move(password.error()));
    changes.set("password", *password);
  }
  const auto user = context.client.patch_user(name, changes);
  if (!user) return fail(user.error());
  if (context.json) context.print(*user);
  context.say(fmt::format("{} is {}{}", harmless(name), role_text(*user),
                          flag_of(*user, "disabled") ? ", and disabled" : ""));
  return Exit::ok;
}

Result<Exit> remove_user(Context& context, const std::string& name) {
  if (auto checked = check_id(name, "user"); !checked) return fail(std::move(checked.error()));
  if (auto removed = context.client.remove_user(name); !removed) return fail(std::move(removed.error()));
  context.say(fmt::format("{} is removed; the jobs stay", name));
  return Exit::ok;
}

// ---- tokens ----------------------------------------------------------------------------------------------

Result<Exit> list_tokens(Context& context, const std::string& user) {
  const auto answer = context.client.tokens(user);
  if (!answer) return fail(answer.error());
  if (context.json) {
    context.print(*answer);
    return Exit::ok;
  }
  std::vector<Row> rows;
  for (const auto& token : array_of(*answer, "tokens")) {
    const auto expires_ms = integer_of(token, "expires_ms");
    const bool is_over = expires_ms != 0 && expires_ms <= now_ms();
    rows.push_back({{text_of(token, "id")},
                    {text_of(token, "user")},
                    {text_of(token, "role")},
                    {expires_ms == 0 ? "never" : date_text(expires_ms), is_over ? Style::red : Style::plain},
                    {ago_text(integer_of(token, "seen_ms"), now_ms())},
                    {harmless(text_of(token, "label"))}});
  }
  if (rows.empty()) {
    context.say("no tokens: kiln token add LABEL");
    return Exit::ok;
  }
  context.out.raw(table_text({{"TOKEN"}, {"USER"}, {"ROLE"}, {"ENDS"}, {"SEEN"}, {"FOR", false, 8}}, rows,
                             context.out.width(), context.out.color()));
  return Exit::ok;
}

Result<Exit> add_token(Context& context, const TokenOptions& options) {
  Json wish = Json::object({{"label", options.label}});
  if (options.days) wish.set("expires_s", *options.days * day_s);
  if (!options.user.empty()) wish.set("user", options.user);
  if (!options.role.empty()) wish.set("role", options.role);
  const auto token = context.client.add_token(wish);
  if (!token) return fail(token.error());
  if (context.json) {
    context.print(*token);
    return Exit::ok;
  }
  context.out.line(text_of(*token, "token"));
  context.err.line(fmt::format("kiln: shown this once; {} of {}, id {}: give it to a script as KILN_TOKEN",
                               role_text(*token), harmless(text_of(*token, "user")),
                               harmless(text_of(*token, "id"))));
  return Exit::ok;
}

Result<Exit> remove_token(Context& context, const std::string& id) {
  if (auto checked = check_id(id, "token"); !checked) return fail(std::move(checked.error()));
  if (auto removed = context.client.remove_token(id); !removed) return fail(std::move(removed.error()));
  context.say(fmt::format("token {} is removed", id));
  return Exit::ok;
}

// ---- the audit log ---------------------------------------------------------------------------------------

Result<Exit> show_audit(Context& context, const AuditOptions& options) {
  const auto answer = context.client.audit(options.limit, options.caller);
  if (!answer) return fail(answer.error());
  if (context.json) {
    context.print(*answer);
    return Exit::ok;
  }
  std::vector<Row> rows;
  for (const auto& entry : array_of(*answer, "entries")) {
    const auto status = integer_of(entry, "status");
    rows.push_back(
        {{date_text(integer_of(entry, "at_ms"))},
         {harmless(text_of(entry, "caller"))},
         {text_of(entry, "role")},
         {harmless(text_of(entry, "peer"))},
         {fmt::format("{} {}", harmless(text_of(entry, "method")), harmless(text_of(entry, "path"))),
          status >= 400 ? Style::red : Style::plain},
         {harmless(text_of(entry, "what"))}});
  }
  context.out.raw(table_text({{"WHEN"},
                              {"WHO"},
                              {"ROLE", false, 0, 2},
                              {"FROM", false, 0, 3},
                              {"ASKED", false, 16, 1},
                              {"WHAT", false, 16}},
                             rows, context.out.width(), context.out.color()));
  return Exit::ok;
}

}  // namespace kiln::cli
