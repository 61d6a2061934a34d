// An expected failure is a value: a code for programs, a sentence for people.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace kiln {

// What kind of failure, as a caller may branch on it. The names cross the wire (HTTP problem `code`,
// MQTT `code`), so they are part of the contract.
enum class Code {
  invalid,      // the input is wrong: say what would be right
  not_found,    // the named thing does not exist
  conflict,     // the thing exists in a state that forbids this (a superseded attempt, say)
  denied,       // the caller may not do this
  too_large,    // over a stated bound
  unsupported,  // understood, but this build or box cannot do it
  unavailable,  // not now: the peer is away, the queue is full; try again
  timeout,      // no answer within the deadline
  full,         // no space left
  io,           // the operating system refused
  internal,     // a bug; systemd restarts the daemon and the store brings it back
};

std::string_view to_string(Code code);

struct Error {
  Code code = Code::internal;
  std::string message;

  // Prepends what was being done: `while uploading frame 12 of job 7: disk full`.
  [[nodiscard]] Error with(std::string_view context) && {
    message.insert(0, ": ");
    message.insert(0, context);
    return std::move(*this);
  }
  friend bool operator==(const Error&, const Error&) = default;
};

// A T or the reason why there is none.
template <class T>
class [[nodiscard]] Result : public tl::expected<T, Error> {
 public:
  using tl::expected<T, Error>::expected;
};

using Status = Result<void>;

// One line of UTF-8, at most 2000 bytes: what is none becomes U+FFFD, the rest is cut. Messages quote what
// came from outside, and end in logs, terminals and JSON.
std::string as_sentence(std::string text);

// `return fail(Code::invalid, "frames: 10-1 runs backwards; write 1-10");`
inline tl::unexpected<Error> fail(Code code, std::string message) {
  return tl::make_unexpected(Error{code, as_sentence(std::move(message))});
}
inline tl::unexpected<Error> fail(Error error) {
  error.message = as_sentence(std::move(error.message));
  return tl::make_unexpected(std::move(error));
}

// A bug is an assertion that stays on in release. Prints file, line and expression, then aborts.
[[noreturn]] void bug(const char* file, int line, const char* expression);

}  // namespace kiln

#define KILN_ASSERT(expression) \
  ((expression) ? static_cast<void>(0) : ::kiln::bug(__FILE__, __LINE__, #expression))
