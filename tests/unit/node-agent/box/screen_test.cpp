#include "box/screen.h"

#include <algorithm>

#include "check.h"

using kiln::box::ScreenFacts;

namespace {

ScreenFacts rendering() {
  ScreenFacts facts;
  facts.box.name = "shelf-3";
  facts.box.controller = "https://farm:8780";
  facts.agent.state = "online";
  facts.agent.fingerprint = "ab12-cd34-ef56-7890-abcd";
  facts.agent.temp_c = 61.4;
  facts.agent.running = {{.job = "7-k3fqa", .frame = "12", .percent = 48}};
  facts.addresses = {"192.168.1.50", "fd00::1"};
  facts.version = "0.1.0";
  facts.slot = "A";
  facts.agent_active = true;
  facts.link = true;
  return facts;
}

// What stands on the glass: without colours.
std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines(1);
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\x1b') {
      while (i < text.size() && (text[i] < 'A' || text[i] == '[')) ++i;  // up to the final letter
      continue;
    }
    if (text[i] == '\n') {
      lines.emplace_back();
    } else if (text[i] != '\r') {
      lines.back() += text[i];
    }
  }
  return lines;
}

void a_box_says_who_it_is_and_what_it_does() {
  const auto text = kiln::box::screen(rendering(), 64, 24);
  for (const char* part : {"shelf-3", "192.168.1.50", "https://farm:8780", "rendering",
                           "ab12-cd34-ef56-7890-abcd", "61 C", "7-k3fqa  frame 12  48 %", "0.1.0, slot A"}) {
    check_contains(text, part);
  }
  check(text.find("Wrong") == text.npos);
}

void what_is_wrong_is_said_with_what_helps() {
  auto facts = rendering();
  facts.box.problems = {"kiln.toml:7: name: a name has 1 to 32 of a-z, 0-9 and -"};
  facts.addresses.clear();
  auto text = kiln::box::screen(facts, 80, 25);
  check_contains(text, "Wrong");
  check_contains(text, "kiln.toml:7");
  check_contains(text, "DHCP");
  facts.link = false;
  check_contains(kiln::box::screen(facts, 80, 25), "No network cable");
  facts.box.controller.clear();
  check_contains(kiln::box::screen(facts, 80, 25), "No controller");
}

void each_state_has_its_words() {
  const struct {
    const char* state;
    const char* words;
  } cases[] = {{"pending", "waits for approval"},
               {"approved", "approved"},
               {"online", "ready"},
               {"offline", "looks for the controller"},
               {"refused", "not let in"},
               {"searching", "looks for"},
               {"", "starting"}};
  for (const auto& one : cases) {
    auto facts = rendering();
    facts.agent.running.clear();
    facts.agent.state = one.state;
    check_contains(kiln::box::screen(facts, 64, 24), one.words);
  }
  auto facts = rendering();
  facts.agent.state = "pending";
  facts.agent.message = "waiting for somebody to approve ab12";
  check(kiln::box::screen(facts, 80, 24).find("Wrong") == std::string::npos);
  facts.agent = {};
  facts.agent_active = false;
  check_contains(kiln::box::screen(facts, 64, 24), "the agent is not running");
}

void an_authority_that_nobody_named_is_to_be_compared() {
  auto facts = rendering();
  facts.agent.ca_fingerprint = "aaaa-bbbb-cccc-dddd";
  check_contains(kiln::box::screen(facts, 80, 24), "aaaa-bbbb-cccc-dddd  believed at first sight");
  facts.box.pinned = true;
  check(kiln::box::screen(facts, 80, 24).find("first sight") == std::string::npos);
}

void it_fits_every_screen_and_nothing_moves_the_cursor() {
  auto facts = rendering();
  facts.agent.message = std::string(3000, 'x') + "\x1b[2J\n\n" + std::string(300, ' ') + "\xC3\xA4";
  facts.box.name = "evil\x1b[31m\r\n";
  facts.box.problems.assign(
      20, "a sentence that is longer than the screen of a small terminal has columns in a row");
  for (const int columns : {1, 40, 64, 80, 128}) {
    for (const int rows : {1, 15, 24, 48}) {
      const auto lines = lines_of(kiln::box::screen(facts, columns, rows));
      check(lines.size() <= static_cast<std::size_t>(std::max(rows, 5)));
      for (const auto& line : lines) check(line.size() <= static_cast<std::size_t>(std::max(columns, 20)));
    }
  }
  check(kiln::box::screen(facts, 80, 25).find("\x1b[2J") == std::string::npos);
}

}  // namespace

int main() {
  return kiln::test::run("screen",
                         {{"a box says who it is and what it does", &a_box_says_who_it_is_and_what_it_does},
                          {"what is wrong is said with what helps", &what_is_wrong_is_said_with_what_helps},
                          {"each state has its words", &each_state_has_its_words},
                          {"an authority that nobody named is to be compared",
                           &an_authority_that_nobody_named_is_to_be_compared},
                          {"it fits every screen and nothing moves the cursor",
                           &it_fits_every_screen_and_nothing_moves_the_cursor}});
}
