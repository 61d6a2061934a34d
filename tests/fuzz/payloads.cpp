// Every MQTT message's decoder on every input.
#include "payloads/messages.h"

#include "fuzz.h"

using namespace kiln;            // NOLINT(google-build-using-namespace)
using namespace kiln::payloads;  // NOLINT(google-build-using-namespace)

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto input = fuzz::text_of(data, size);
  const auto check = [&](const auto& decode) {
    fuzz::check_codec(input, max_message_bytes, decode, [](const auto& value) { return encode(value); });
  };
  check(decode_controller_status);
  check(decode_controller_summary);
  check(decode_node_status);
  check(decode_node_info);
  check(decode_node_tasks);
  check(decode_gpu_telemetry);
  check(decode_host_telemetry);
  check(decode_node_event);
  check(decode_ack);
  check(decode_node_update);
  check(decode_job_status);
  check(decode_job_event);
  check(decode_request);
  check(decode_response);
  // An op that nobody knows has no encoding: it is only answered.
  const auto command = decode_command(input);
  if (!command || !std::holds_alternative<UnknownCommand>(command->op)) check(decode_command);
  // What can be answered can be answered even when the rest is broken.
  const auto cid = peek_cid(input);
  KILN_ASSERT(cid.size() <= max_cid_bytes);
  if (command) KILN_ASSERT(cid == command->cid);
  return 0;
}
