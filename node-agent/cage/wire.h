// What the agent and the warden of a cage say to each other. Both are of one build: no versions, no byte
// orders.
//
// Over the control socket (datagrams): first the warden's hello, with a descriptor of itself; then orders,
// each of which is answered by a byte, but for a launch. Over a channel, which comes with the order to
// launch: the request with its descriptors, the answer with the child's pidfd; at the end a byte, answered by
// the wait status.
#pragma once

#include <cstdint>

namespace kiln::cage::wire {

// To a service that makes cages for an agent that may not (systemd/kiln-cage@.service): this and the
// descriptors of its standard output, control and trouble; then the arguments of bwrap, each with a NUL at
// its end.
struct Enter {
  std::uint32_t bytes = 0;
  std::uint32_t arguments = 0;
};

// The warden's descriptors.
constexpr int control_fd = 3;
constexpr int trouble_fd = 4;  // why it killed everything, as text

constexpr char hello = 'h';

struct Order {
  enum What : std::uint32_t { launch, keep, sweep };
  std::uint32_t what = launch;
  std::uint32_t level = 0;  // of keep and sweep
};

constexpr std::uint32_t max_descriptors = 16;
constexpr std::uint32_t max_request_bytes = 4U * 1024 * 1024;  // more than the kernel starts a program with

// Followed by `bytes` bytes: program, folder ("": none), arguments and variables, each with a NUL at its end;
// then the descriptors' numbers in the child, as 32-bit integers.
struct Request {
  std::uint32_t bytes = 0;
  std::uint32_t arguments = 0;
  std::uint32_t variables = 0;
  std::uint32_t descriptors = 0;
  std::int32_t niceness = 0;
};

struct Answer {
  enum Step : std::uint32_t { fine, fork, descriptors, folder, exec };
  std::uint32_t step = fine;
  std::int32_t error = 0;  // an errno
};

}  // namespace kiln::cage::wire
