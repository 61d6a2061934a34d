#include "fleet/wake.h"

#include "check.h"

using kiln::fleet::magic_packet;

namespace {

void the_packet_is_six_ff_and_sixteen_times_the_address() {
  for (const char* mac : {"02:42:ac:1f:00:0e", "02-42-AC-1F-00-0E"}) {
    const auto packet = magic_packet(mac);
    check_ok(packet);
    check_equal(packet->size(), 102U);
    check_equal(packet->substr(0, 6), std::string(6, '\xff'));
    const std::string address("\x02\x42\xac\x1f\x00\x0e", 6);
    for (std::size_t i = 0; i < 16; ++i) check(packet->substr(6 + 6 * i, 6) == address);
  }
}

void what_is_no_address_is_refused() {
  for (const char* mac : {"", "02:42:ac:1f:00", "02:42:ac:1f:00:0e:11", "02:42:ac:1f:00:0g", "0242ac1f000e",
                          "02:42:ac:1f:00:0", "02.42.ac.1f.00.0e", "02:42:ac:1f:00:0e "}) {
    const auto packet = magic_packet(mac);
    check(!packet.has_value());
    check_contains(packet.error().message, "aa:bb:cc:dd:ee:ff");
    check(!kiln::fleet::send_magic_packet(mac).has_value());
  }
}

}  // namespace

int main() {
  return kiln::test::run("wake", {{"the packet is six FF and sixteen times the address",
                                   the_packet_is_six_ff_and_sixteen_times_the_address},
                                  {"what is no address is refused", what_is_no_address_is_refused}});
}
