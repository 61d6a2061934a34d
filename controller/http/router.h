// Which handler answers which method and path.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/message.h"

namespace kiln::http {

using Handler = std::function<Response(Request&)>;

struct Route {
  Method method = Method::get;
  std::string pattern;
};

class Router {
 public:
  // `/api/v1/jobs/{id}/files/{path...}`: {name} takes one segment, a last {name...} takes the rest, at least
  // one segment. A literal segment wins over a parameter. GET answers HEAD as well. Handlers are called from
  // many threads at once. The same method and pattern twice is a bug.
  void add(Method method, std::string pattern, Handler handler);
  // Answers a GET or HEAD that no pattern matches.
  void set_fallback(Handler handler) { fallback_ = std::move(handler); }
  // Puts what `around` makes of each handler in its place, the fallback (null route) too: no handler that was
  // added before can be reached past it.
  void wrap(const std::function<Handler(const Route*, Handler)>& around);

  struct Match {
    const Handler* handler = nullptr;  // null: see `allowed`
    std::vector<std::pair<std::string, std::string>> params;
    std::string allowed;  // for 405: "GET, HEAD"; empty: nothing is at this path
  };
  // `method`: as sent, also one that nobody knows.
  [[nodiscard]] Match find(std::string_view method, const std::vector<std::string>& segments) const;
  [[nodiscard]] std::vector<Route> routes() const;

 private:
  struct Entry {
    Route route;
    std::vector<std::string> parts;
    Handler handler;
  };
  std::vector<Entry> entries_;
  Handler fallback_;
};

}  // namespace kiln::http
