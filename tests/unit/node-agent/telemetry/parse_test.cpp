#include "telemetry/parse.h"

#include <cmath>

#include "check.h"

using namespace kiln::telemetry;

namespace {

void numbers_are_read_whole_or_not_at_all() {
  const struct {
    const char* text;
    std::optional<std::int64_t> want;
  } cases[] = {{"42\n", 42},           {" -7 ", -7},
               {"", std::nullopt},     {"\n", std::nullopt},
               {"42 C", std::nullopt}, {"0x10", std::nullopt},
               {"1e3", std::nullopt},  {"99999999999999999999", std::nullopt}};
  for (const auto& one : cases) check(parse_integer(one.text) == one.want);
  check(parse_hex("0x1002\n") == 0x1002U);
  check(!parse_hex("1002") && !parse_hex("0x") && !parse_hex("0xfffffffff") && !parse_hex("0xzz"));
}

void load_is_the_busy_share_between_two_readings() {
  const auto before = parse_cpu_times("cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 1 2 3 4\n");
  const auto after = parse_cpu_times("cpu  175 0 125 750 150 0 0 0 90 0\n");
  check(before && after);
  check_equal(before->total, 1000U);
  check_equal(before->busy, 200U);
  check_equal(cpu_percent(*before, *after).value(), 50.0);
  check(!cpu_percent(*before, *before));  // no time has passed
  check(!cpu_percent(*after, *before));   // the counters ran backwards
  for (const char* bad : {"", "cpu", "cpu a b c d", "cpu 1 2 3", "cpu0 1 2 3 4", "intr 1 2 3 4",
                          "cpu 18446744073709551615 1 1 1"}) {
    check(!parse_cpu_times(bad));
  }
}

void memory_in_use_is_what_cannot_be_had_without_swapping() {
  const auto memory =
      parse_meminfo("MemTotal:       16384000 kB\nMemFree: 1 kB\nMemAvailable:    8192000 kB\n");
  check(memory.has_value());
  check_equal(memory->total_mib, 16000U);
  check_equal(memory->used_mib, 8000U);
  const auto old = parse_meminfo("MemTotal: 4096 kB\nMemFree: 1024 kB\nBuffers: 512 kB\nCached: 512 kB\n");
  check_equal(old->used_mib, 2U);
  check_equal(parse_meminfo("MemTotal: 1024 kB\nMemAvailable: 4096 kB\n")->used_mib, 0U);
  for (const char* bad : {"", "MemTotal", "MemTotal: kB", "MemTotal: 0 kB", "MemTotal: 5", "MemTotal: -5 kB",
                          "MemTotal: 9999999999999999999 kB"}) {
    check(!parse_meminfo(bad));
  }
}

void a_cpu_is_named_on_every_architecture() {
  const auto xeon = parse_cpuinfo(
      "processor\t: 0\nmodel name\t: Intel(R) Xeon(R) CPU           X5650  @ 2.67GHz\n\n"
      "processor\t: 1\nmodel name\t: other\n");
  check_equal(xeon.name, "Intel(R) Xeon(R) CPU X5650 @ 2.67GHz");
  check_equal(xeon.cores, 2U);
  const auto pi =
      parse_cpuinfo("processor\t: 0\nBogoMIPS\t: 108.00\n\nHardware\t: BCM2835\nModel\t\t: Raspberry Pi 4\n");
  check_equal(pi.name, "Raspberry Pi 4");
  check_equal(pi.cores, 1U);
  check_equal(parse_cpuinfo("\xff\xfe garbage : :").cores, 0U);
}

void the_system_names_itself() {
  check_equal(parse_os_release("ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"),
              "Debian GNU/Linux 12 (bookworm)");
  check_equal(parse_os_release("PRETTY_NAME='A \\\"B\\\"'\n"), "A \"B\"");
  check_equal(parse_os_release("NAME=Kiln\nPRETTY_NAME=\n"), "Kiln");
  check_equal(parse_os_release("PRETTY_NAME=\"\x01\xff\"\n"), "??");
  check_equal(parse_os_release(""), "");
}

void two_spellings_of_a_pci_address_are_one() {
  const struct {
    const char* text;
    const char* want;  // null: refused
  } cases[] = {{"00000000:0A:00.0", "0000:0a:00.0"},
               {"0000:0a:00.0\n", "0000:0a:00.0"},
               {"10000:e1:1f.7", "10000:e1:1f.7"},
               {"", nullptr},
               {"0a:00.0", nullptr},
               {"0000:100:00.0", nullptr},
               {"0000:0a:20.0", nullptr},
               {"0000:0a:00.8", nullptr},
               {"0000:0a:00", nullptr},
               {"card0", nullptr},
               {"....:::", nullptr}};
  for (const auto& one : cases) {
    const auto got = normal_pci_address(one.text);
    check_equal(got.has_value(), one.want != nullptr);
    if (got) check_equal(*got, one.want);
  }
}

void a_card_goes_by_the_name_on_its_box() {
  const std::string ids =
      "# comment\n1002  Advanced Micro Devices, Inc. [AMD/ATI]\n\t744c  Navi 31 [Radeon RX 7900 XTX]\n"
      "\t\t1002 0e3b  RX 7900 GRE [Sapphire]\n\t7480  Navi 33\n8086  Intel\n\t56a0  DG2 [Arc A770]\n";
  check_equal(pci_device_name(ids, 0x1002, 0x744c), "Radeon RX 7900 XTX");
  check_equal(pci_device_name(ids, 0x1002, 0x7480), "Navi 33");
  check_equal(pci_device_name(ids, 0x8086, 0x56a0), "Arc A770");
  check_equal(pci_device_name(ids, 0x1002, 0x56a0), "");  // another vendor's
  check_equal(pci_device_name(ids, 0x10de, 0x2684), "");
  check_equal(pci_device_name("", 0x10de, 0x2684), "");
}

void names_are_fit_to_be_sent() {
  check_equal(clean_text("  a \t b\n"), "a b");
  check_equal(clean_text(std::string("ab\0cd", 5)), "ab");
  check_equal(clean_text("Ger\xc3\xa4t\x07"), "Ger??t?");
  check_equal(clean_text(std::string(500, 'x'), 10).size(), 10U);
  check(!plausible(std::nullopt, 0, 1) && !plausible(2.0, 0, 1) && !plausible(NAN, 0, 1) &&
        plausible(1.0, 0, 1));
}

}  // namespace

int main() {
  return kiln::test::run(
      "parse", {{"numbers are read whole or not at all", numbers_are_read_whole_or_not_at_all},
                {"load is the busy share between two readings", load_is_the_busy_share_between_two_readings},
                {"memory in use is what cannot be had without swapping",
                 memory_in_use_is_what_cannot_be_had_without_swapping},
                {"a CPU is named on every architecture", a_cpu_is_named_on_every_architecture},
                {"the system names itself", the_system_names_itself},
                {"two spellings of a PCI address are one", two_spellings_of_a_pci_address_are_one},
                {"a card goes by the name on its box", a_card_goes_by_the_name_on_its_box},
                {"names are fit to be sent", names_are_fit_to_be_sent}});
}
