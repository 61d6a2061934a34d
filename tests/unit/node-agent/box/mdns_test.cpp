#include "box/mdns.h"

#include "box/find.h"
#include "check.h"

using kiln::box::read_mdns_answer;

namespace {

constexpr std::string_view service = kiln::box::kiln_service;

std::string be16(unsigned value) {
  return {static_cast<char>(value >> 8U), static_cast<char>(value & 0xFFU)};
}
std::string labels(std::initializer_list<std::string_view> all) {
  std::string out;
  for (const auto label : all) out += static_cast<char>(label.size()) + std::string(label);
  return out + '\0';
}
std::string record(const std::string& name, unsigned type, const std::string& data) {
  return name + be16(type) + be16(1) + std::string("\0\0\0\x0A", 4) +
         be16(static_cast<unsigned>(data.size())) + data;
}
std::string answer(std::initializer_list<std::string> records) {
  std::string out =
      be16(0x4b69) + be16(0x8400) + be16(0) + be16(static_cast<unsigned>(records.size())) + be16(0) + be16(0);
  for (const auto& one : records) out += one;
  return out;
}
const std::string instance_name = labels({"My farm. No 1", "_kiln", "_TCP", "local"});
const std::string host_name = labels({"farm", "local"});
const std::string srv = record(instance_name, 33, be16(0) + be16(0) + be16(8780) + host_name);

void an_instance_is_read_with_its_address() {
  const auto got = read_mdns_answer(answer({record(labels({"_kiln", "_tcp", "local"}), 12, instance_name),
                                            srv, record(instance_name, 16, std::string("\0", 1)),
                                            record(labels({"FARM", "local"}), 1, "\xC0\xA8\x01\x0A")}),
                                    service);
  check_ok(got);
  check_equal(got->size(), 1U);
  check_equal(got->front().name, "My farm. No 1");
  check_equal(got->front().host, "farm.local");
  check_equal(got->front().port, 8780);
  check_equal(got->front().addresses.size(), 1U);
  check_equal(got->front().addresses.front(), "192.168.1.10");
}

void names_that_point_back_are_followed() {
  // "farm._kiln._tcp.local" at byte 12; its host is "farm" and then what stands at "local" of that name
  const auto name = labels({"farm", "_kiln", "_tcp", "local"});
  const auto local = static_cast<char>(12 + 5 + 6 + 5);
  const auto host = std::string("\4farm\xC0", 6) + local;
  const auto got =
      read_mdns_answer(answer({record(name, 33, be16(0) + be16(0) + be16(8780) + host)}), service);
  check_ok(got);
  check_equal(got->front().host, "farm.local");
}

void answers_about_others_say_nothing() {
  const auto printer =
      record(labels({"laser", "_ipp", "_tcp", "local"}), 33, be16(0) + be16(0) + be16(631) + host_name);
  const auto got = read_mdns_answer(answer({printer}), service);
  check_ok(got);
  check(got->empty());
}

void no_packet_breaks_it() {
  const auto whole = answer({record(labels({"_kiln", "_tcp", "local"}), 12, instance_name), srv,
                             record(host_name, 1, "\xC0\xA8\x01\x0A")});
  for (std::size_t size = 0; size < whole.size(); ++size)
    check(!read_mdns_answer(whole.substr(0, size), service).has_value());
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (const unsigned char turned : {0x00U, 0x01U, 0x3FU, 0xC0U, 0xFFU}) {
      auto bad = whole;
      bad[at] = static_cast<char>(turned);
      static_cast<void>(read_mdns_answer(bad, service));
    }
  }
  // A name that points at itself, and one that points ahead.
  check(!read_mdns_answer(answer({record(std::string("\xC0\x0C", 2), 12, "")}), service).has_value());
  check(!read_mdns_answer(answer({record(std::string("\xC0\x40", 2), 12, "")}), service).has_value());
  check(!read_mdns_answer(kiln::box::mdns_query(service), service).has_value());
  check(!read_mdns_answer(be16(1) + be16(0x8400) + be16(0) + be16(60000) + be16(0) + be16(0), service)
             .has_value());
}

void the_question_is_as_the_rfc_has_it() {
  const auto query = kiln::box::mdns_query(service);
  check_equal(query.substr(4, 2), be16(1));
  check_equal(query.substr(12), labels({"_kiln", "_tcp", "local"}) + be16(12) + be16(0x8001));
}

void one_controller_is_taken_and_of_several_the_one_of_before() {
  using kiln::box::Candidate;
  using kiln::box::choose;
  const Candidate farm{"farm", "https://192.168.1.10:8780"};
  const Candidate lab{"lab", "https://192.168.1.11:8780"};
  check_equal(choose({farm}, lab.url).value_or(""), farm.url);
  check_equal(choose({farm, lab}, lab.url).value_or(""), lab.url);
  const auto both = choose({farm, lab}, "");
  check(!both);
  for (const char* part : {"farm", "lab", "write controller = \"https://192.168.1.10:8780\""})
    check_contains(both.error().message, part);
  check(!choose({}, farm.url));
  // On the LAN of the answer; and of one that names no address, the sender.
  const kiln::box::Instance two{
      .name = "farm", .host = "farm.local", .port = 8780, .addresses = {"10.0.0.1", "192.168.1.10"}};
  check_equal(kiln::box::candidate_of(two, "192.168.1.10").url, farm.url);
  check_equal(kiln::box::candidate_of(two, "172.17.0.1").url, "https://10.0.0.1:8780");
  check_equal(kiln::box::candidate_of({.name = "farm", .host = "farm.local", .port = 8780, .addresses = {}},
                                      "192.168.1.10")
                  .url,
              farm.url);
}

}  // namespace

int main() {
  return kiln::test::run("mdns",
                         {{"an instance is read with its address", &an_instance_is_read_with_its_address},
                          {"names that point back are followed", &names_that_point_back_are_followed},
                          {"answers about others say nothing", &answers_about_others_say_nothing},
                          {"no packet breaks it", &no_packet_breaks_it},
                          {"the question is as the RFC has it", &the_question_is_as_the_rfc_has_it},
                          {"one controller is taken, and of several the one of before",
                           &one_controller_is_taken_and_of_several_the_one_of_before}});
}
