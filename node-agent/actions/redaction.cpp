#include "actions/redaction.h"

#include <algorithm>

namespace kiln::actions {

namespace {

void insert(std::vector<std::string>& set, std::string_view text) {
  if (!text.empty() && std::find(set.begin(), set.end(), text) == set.end()) set.emplace_back(text);
}

// How much of the line's end is a beginning of the secret.
std::size_t started_at_end(std::string_view line, std::string_view secret) {
  for (auto length = std::min(line.size(), secret.size()); length > 0; --length) {
    if (line.ends_with(secret.substr(0, length))) return length;
  }
  return 0;
}

}  // namespace

void Redaction::add(std::string_view secret) {
  // A line of a secret file may be "}" or "". Hidden everywhere, it would take half of every log along.
  constexpr std::size_t telling = 4;
  insert(secrets_, secret);
  for (std::size_t begin = 0; begin < secret.size();) {
    const auto end = std::min(secret.find_first_of("\r\n", begin), secret.size());
    const auto line = secret.substr(begin, end - begin);
    if (line.size() < secret.size()) insert(line.size() >= telling ? secrets_ : lines_, line);
    begin = end + 1;
  }
}

std::string Redaction::apply(std::string_view line, bool is_cut) const {
  if (empty()) return std::string(line);
  if (std::find(lines_.begin(), lines_.end(), line) != lines_.end()) return std::string(mask);
  std::vector<bool> hidden(line.size());
  for (const auto& secret : secrets_) {
    for (auto at = line.find(secret); at != line.npos; at = line.find(secret, at + 1))
      std::fill_n(hidden.begin() + static_cast<std::ptrdiff_t>(at), secret.size(), true);
    if (!is_cut) continue;
    const auto length = started_at_end(line, secret);
    std::fill(hidden.end() - static_cast<std::ptrdiff_t>(length), hidden.end(), true);
  }
  std::string out;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (!hidden[i])
      out += line[i];
    else if (i == 0 || !hidden[i - 1])
      out += mask;
  }
  return out;
}

}  // namespace kiln::actions
