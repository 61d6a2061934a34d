// The head of one request: read strictly, because whatever two programs read differently is a way in.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>
#include <vector>

namespace kiln::http {

using Fields = std::vector<std::pair<std::string, std::string>>;

struct Head {
  std::string method;  // as sent; methods are case-sensitive
  std::string target;  // origin form ("/a%20b?c=d"), still encoded
  Fields fields;       // in the client's order; names as sent
  std::string host;    // "name", "name:port", "[::1]:8780"
  std::optional<std::uint64_t> content_length;
  bool keep_alive = true;
  bool expects_continue = false;
};

// A request that is answered with this and a closed connection.
struct Refusal {
  int status = 400;
  std::string detail;
};

struct HeadRules {
  std::size_t max_bytes = 16ULL * 1024;
  std::size_t max_fields = 64;
  std::vector<std::string> names = {};  // host names that are ours beside the ones nobody can rebind
};

// Where the head in `bytes` ends (behind its empty line), 0: it is not complete yet. Looks at no byte behind
// the end, and refuses at the first byte that no head may hold: a lone CR or LF, NUL, a control character.
// `from`: bytes that an earlier call has seen already.
tl::expected<std::size_t, Refusal> find_head_end(std::string_view bytes, std::size_t from,
                                                 const HeadRules& rules);

// `bytes` is one whole head, its empty line included.
tl::expected<Head, Refusal> parse_head(std::string_view bytes, const HeadRules& rules);

// The first field of that name (any case), or null.
const std::string* find_field(const Fields& fields, std::string_view name);

// True for a Host that a web page elsewhere cannot make point at us (DNS rebinding): an IP address,
// localhost, a name without a dot, *.local, or one of `names`. `host` may carry a port.
bool is_our_host(std::string_view host, const std::vector<std::string>& names);

}  // namespace kiln::http
