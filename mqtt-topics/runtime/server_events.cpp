#include "runtime/http_client.h"

namespace kiln::runtime {

// https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
bool ServerEvents::line(std::string_view text) {
  if (text.empty()) {
    if (!has_data_) return true;
    if (next_.event.empty()) next_.event = "message";
    const bool go_on = on_event_(next_);
    next_.event.clear();
    next_.data.clear();
    has_data_ = false;
    return go_on;
  }
  const auto colon = text.find(':');
  const auto name = text.substr(0, colon);
  auto value = colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (name == "data") {
    if (has_data_) next_.data += '\n';
    next_.data += value;
    has_data_ = true;
  } else if (name == "event") {
    next_.event = value;
  } else if (name == "id") {
    next_.id = value;
  }
  return true;  // comments, retry and what we do not know
}

}  // namespace kiln::runtime
