#include "box/screen.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace kiln::box {

namespace {

constexpr std::string_view bold = "\x1b[1m";
constexpr std::string_view red = "\x1b[1;31m";
constexpr std::string_view yellow = "\x1b[1;33m";
constexpr std::string_view green = "\x1b[1;32m";
constexpr std::string_view plain = "\x1b[0m";

// What comes from outside must not move the cursor; what the font lacks becomes '?'.
std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f) {
      out += c;
    } else if (byte < 0x80 || byte >= 0xc0) {  // a control character, or the first byte of a longer one
      out += '?';
    }
  }
  return out;
}

struct Line {
  std::string text;
  std::string_view colour;
};

class Page {
 public:
  Page(int columns, int rows)
      : columns_(static_cast<std::size_t>(std::max(columns, 20))),
        rows_(static_cast<std::size_t>(std::max(rows, 5))) {}

  void line(std::string_view text = {}, std::string_view colour = {}) {
    lines_.push_back({printable(text).substr(0, columns_), colour});
  }
  // "label    text", the text broken at spaces.
  void row(std::string_view label, std::string_view text, std::string_view colour = {}) {
    constexpr std::size_t indent = 14;
    std::string rest = printable(text);
    std::string head = fmt::format("  {:<{}}", label, indent - 2);
    do {
      const auto room = columns_ - indent;
      auto cut = rest.size();
      if (cut > room) {
        cut = rest.rfind(' ', room);
        if (cut == rest.npos || cut == 0) cut = room;
      }
      lines_.push_back({head + rest.substr(0, cut), colour});
      rest.erase(0, cut);
      rest.erase(0, rest.find_first_not_of(' ') == rest.npos ? rest.size() : rest.find_first_not_of(' '));
      head.assign(indent, ' ');
    } while (!rest.empty());
  }

  [[nodiscard]] std::string text() const {
    std::string out;
    for (std::size_t i = 0; i < std::min(lines_.size(), rows_); ++i) {
      if (i != 0) out += "\r\n";
      if (!lines_[i].colour.empty()) out += lines_[i].colour;
      out += lines_[i].text;
      if (!lines_[i].colour.empty()) out += plain;
      out += "\x1b[K";
    }
    return out + "\x1b[J";
  }

 private:
  std::size_t columns_;
  std::size_t rows_;
  std::vector<Line> lines_;
};

struct State {
  std::string text;
  std::string_view colour;
};

State state_of(const ScreenFacts& facts) {
  const auto& state = facts.agent.state;
  if (state == "online") return {facts.agent.running.empty() ? "ready" : "rendering", green};
  if (state == "approved") return {"approved, connecting", green};
  if (state == "pending") return {"waits for approval: compare the fingerprint on the page", yellow};
  if (state == "refused") return {"not let in", red};
  if (state == "offline" || state == "searching") return {"looks for the controller", yellow};
  if (!facts.notice.empty()) return {facts.notice, yellow};
  return {facts.agent_active ? "starting" : "the agent is not running", facts.agent_active ? plain : red};
}

}  // namespace

std::vector<std::string> complaints(const ScreenFacts& facts) {
  std::vector<std::string> out;
  if (!facts.link) {
    out.emplace_back("No network cable, or the switch is off.");
  } else if (facts.addresses.empty()) {
    out.emplace_back(
        "No address: is there a DHCP server? Otherwise write address and gateway into kiln.toml.");
  }
  // kiln-box find says more about it.
  const auto& known = facts.box.problems;
  const bool is_said = std::any_of(known.begin(), known.end(), [](const auto& one) {
    return one.find("controller") != std::string::npos;
  });
  if (facts.box.controller.empty() && facts.agent.controller.empty() && facts.notice.empty() && !is_said) {
    out.emplace_back(
        "No controller: write controller = \"https://...\" into kiln.toml on the partition KILN-CONFIG.");
  }
  out.insert(out.end(), facts.box.problems.begin(), facts.box.problems.end());
  // Nothing is wrong with a box that waits for a person: its state says so.
  if (!facts.agent.message.empty() && facts.agent.state != "pending") out.push_back(facts.agent.message);
  return out;
}

std::string screen(const ScreenFacts& facts, int columns, int rows) {
  Page page(columns, rows);
  const auto& name = facts.agent.name.empty() ? facts.box.name : facts.agent.name;
  page.line();
  page.line("  KILN   " + name, bold);
  page.line();
  std::string addresses;
  for (std::size_t i = 0; i < std::min<std::size_t>(facts.addresses.size(), 2); ++i) {
    addresses += (addresses.empty() ? "" : ", ") + facts.addresses[i];
  }
  page.row("Address", addresses.empty() ? "none" : addresses);
  const auto& controller = facts.agent.controller.empty() ? facts.box.controller : facts.agent.controller;
  page.row("Controller", controller.empty() ? "none" : controller);
  const auto state = state_of(facts);
  page.row("State", state.text, state.colour);
  if (!facts.agent.fingerprint.empty()) page.row("Fingerprint", facts.agent.fingerprint, bold);
  if (!facts.agent.ca_fingerprint.empty()) {
    page.row("Farm's CA",
             facts.agent.ca_fingerprint +
                 (facts.box.pinned ? "" : "  believed at first sight: compare it with the page"));
  }
  if (facts.agent.temp_c) page.row("Temperature", fmt::format("{:.0f} C", *facts.agent.temp_c));
  for (std::size_t i = 0; i < std::min<std::size_t>(facts.agent.running.size(), 4); ++i) {
    const auto& one = facts.agent.running[i];
    page.row(i == 0 ? "Renders" : "", fmt::format("{}  frame {}  {:.0f} %", one.job, one.frame, one.percent));
  }
  page.row("System", fmt::format("{}, slot {}{}{}", facts.version, facts.slot,
                                 facts.update.empty() ? "" : "; ", facts.update));
  const auto wrong = complaints(facts);
  if (!wrong.empty()) {
    page.line();
    for (std::size_t i = 0; i < wrong.size(); ++i) page.row(i == 0 ? "Wrong" : "", wrong[i], yellow);
  }
  return page.text();
}

}  // namespace kiln::box
