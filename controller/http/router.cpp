#include "http/router.h"

#include <algorithm>

namespace kiln::http {

namespace {

bool is_param(std::string_view part) {
  return part.starts_with('{');
}
bool is_rest(std::string_view part) {
  return part.ends_with("...}");
}

std::vector<std::string> split(std::string_view pattern) {
  std::vector<std::string> parts;
  for (std::size_t at = 1; at < pattern.size();) {
    const std::size_t end = std::min(pattern.find('/', at), pattern.size());
    parts.emplace_back(pattern.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

// How many literal segments matched; nullopt: no match.
std::optional<std::size_t> matches(const std::vector<std::string>& parts,
                                   const std::vector<std::string>& segments) {
  std::size_t literals = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i >= segments.size()) return std::nullopt;
    if (is_rest(parts[i])) return literals;
    if (is_param(parts[i])) {
      if (segments[i].empty() || segments[i].find('/') != std::string::npos) return std::nullopt;
    } else if (parts[i] == segments[i]) {
      ++literals;
    } else {
      return std::nullopt;
    }
  }
  if (parts.size() != segments.size()) return std::nullopt;
  return literals;
}

std::vector<std::pair<std::string, std::string>> params_of(const std::vector<std::string>& parts,
                                                           const std::vector<std::string>& segments) {
  std::vector<std::pair<std::string, std::string>> params;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (is_rest(parts[i])) {
      std::string rest = segments[i];
      for (std::size_t k = i + 1; k < segments.size(); ++k) rest.append("/").append(segments[k]);
      params.emplace_back(parts[i].substr(1, parts[i].size() - 5), std::move(rest));
    } else if (is_param(parts[i])) {
      params.emplace_back(parts[i].substr(1, parts[i].size() - 2), segments[i]);
    }
  }
  return params;
}

}  // namespace

void Router::add(Method method, std::string pattern, Handler handler) {
  KILN_ASSERT(pattern.starts_with('/') && method != Method::head);
  for (const auto& entry : entries_)
    KILN_ASSERT(entry.route.method != method || entry.route.pattern != pattern);
  auto parts = split(pattern);
  entries_.push_back({{method, std::move(pattern)}, std::move(parts), std::move(handler)});
}

void Router::wrap(const std::function<Handler(const Route*, Handler)>& around) {
  for (auto& entry : entries_) entry.handler = around(&entry.route, std::move(entry.handler));
  if (fallback_ != nullptr) fallback_ = around(nullptr, std::move(fallback_));
}

Router::Match Router::find(std::string_view method, const std::vector<std::string>& segments) const {
  const auto wanted = parse_method(method);
  const auto served = wanted == Method::head ? Method::get : wanted;
  Match match;
  const Entry* best = nullptr;
  std::size_t best_literals = 0;
  std::vector<Method> allowed;
  for (const auto& entry : entries_) {
    const auto literals = matches(entry.parts, segments);
    if (!literals) continue;
    allowed.push_back(entry.route.method);
    if (entry.route.method != served || (best != nullptr && *literals <= best_literals)) continue;
    best = &entry;
    best_literals = *literals;
  }
  if (best != nullptr) {
    match.handler = &best->handler;
    match.params = params_of(best->parts, segments);
    return match;
  }
  if (allowed.empty() && fallback_ != nullptr && served == Method::get) {
    match.handler = &fallback_;
    return match;
  }
  if (std::find(allowed.begin(), allowed.end(), Method::get) != allowed.end())
    allowed.push_back(Method::head);
  std::sort(allowed.begin(), allowed.end());
  allowed.erase(std::unique(allowed.begin(), allowed.end()), allowed.end());
  for (const Method one : allowed)
    match.allowed.append(match.allowed.empty() ? "" : ", ").append(to_string(one));
  return match;
}

std::vector<Route> Router::routes() const {
  std::vector<Route> routes;
  for (const auto& entry : entries_) routes.push_back(entry.route);
  return routes;
}

}  // namespace kiln::http
