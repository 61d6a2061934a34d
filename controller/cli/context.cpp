#include "cli/context.h"

#include <fmt/format.h>
#include <poll.h>

#include <chrono>

#include "base/ids.h"
#include "base/text.h"
#include "cli/fields.h"
#include "cli/text.h"

namespace kiln::cli {

Exit exit_of(Code code) {
  switch (code) {
    case Code::invalid:
    case Code::too_large:
    case Code::unsupported:
      return Exit::usage;
    case Code::not_found:
      return Exit::not_found;
    case Code::conflict:
    case Code::denied:
      return Exit::refused;
    case Code::unavailable:
    case Code::timeout:
      return Exit::unreachable;
    case Code::full:
    case Code::io:
    case Code::internal:
      return Exit::local;
  }
  return Exit::local;
}

void Context::warn(std::string_view text) {
  err.line("kiln: " + styled("warning: ", Style::yellow, err.color()) + harmless(text));
}

bool Context::pause_ms(int ms) const {
  // poll and not a sleep: a signal ends it.
  if (!client.interrupted()) (void)::poll(nullptr, 0, ms);
  return !client.interrupted();
}

std::int64_t now_ms() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

Status check_id(std::string_view text, std::string_view what) {
  if (is_id(text)) return {};
  return fail(Code::invalid,
              fmt::format("'{}' is no {}: give it as `kiln {}s` shows it", to_utf8(text), what, what));
}

Result<Json> find_job(Context& context, const std::string& id_or_number) {
  if (auto checked = check_id(id_or_number, "job"); !checked) return fail(std::move(checked.error()));
  return context.client.job(id_or_number);
}

Exit exit_of_job(const Json& job) {
  return text_of(job, "state") == "done" ? Exit::ok : Exit::job_failed;
}

}  // namespace kiln::cli
