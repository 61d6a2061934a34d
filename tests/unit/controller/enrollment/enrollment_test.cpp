#include "enrollment/enrollment.h"

#include <algorithm>

#include "check.h"
#include "identity/bytes.h"
#include "identity/key.h"

namespace {

using namespace kiln;
using namespace kiln::enrollment;

// A keyring that forgets with the process, and can refuse.
struct Memory final : Keyring {
  Ring ring;
  bool is_full = false;

  Status wrote() const { return is_full ? Status(fail(Code::full, "disk full")) : Status(); }
  Result<Ring> load() override { return ring; }
  Status save(const NodeKey& key) override {
    if (is_full) return wrote();
    std::erase_if(ring.keys, [&](const auto& one) { return one.id == key.id; });
    ring.keys.push_back(key);
    return {};
  }
  Status erase(const NodeId& node) override {
    std::erase_if(ring.keys, [&](const auto& one) { return one.id == node; });
    return wrote();
  }
  Status save(const JoinToken& token) override {
    std::erase_if(ring.tokens, [&](const auto& one) { return one.id == token.id; });
    ring.tokens.push_back(token);
    return wrote();
  }
  Status erase_token(const std::string& id) override {
    std::erase_if(ring.tokens, [&](const auto& one) { return one.id == id; });
    return wrote();
  }
  Status save_known(const KnownFingerprint& one) override {
    ring.known.push_back(one);
    return wrote();
  }
  Status erase_known(const KnownFingerprint& one) override {
    std::erase(ring.known, one);
    return wrote();
  }
};

NodeId id(const std::string& text) {
  auto parsed = NodeId::parse(text);
  check_ok(parsed);
  return *parsed;
}

struct Farm {
  Memory memory;
  std::int64_t now_ms = 1'800'000'000'000;
  std::vector<std::string> admitted, expelled, forgotten;
  bool broker_is_away = false;
  std::unique_ptr<Enrollment> enrollment;

  explicit Farm(Policy policy = {}) { open(policy); }
  void open(Policy policy = {}) {
    FarmFacts facts;
    facts.farm = "f1";
    facts.version = "1";
    facts.broker.port = 8783;
    facts.reserved = {"viewer"};
    auto opened = Enrollment::open(memory, facts,
                                   {.now_ms = [this] { return now_ms; },
                                    .admit = [this](const NodeId& node, const std::string&) -> Status {
                                      if (broker_is_away)
                                        return fail(Code::unavailable, "the broker is away");
                                      admitted.push_back(node.str());
                                      return {};
                                    },
                                    .expel = [this](const NodeId& node) { expelled.push_back(node.str()); },
                                    .forget = [this](const NodeId& node) { forgotten.push_back(node.str()); },
                                    .on_change = [] {}},
                                   policy);
    check_ok(opened);
    enrollment = std::move(*opened);
  }
};

struct Box {
  identity::Key key = identity::Key::make();
  std::string hardware;
  std::string token;
  std::string name_as;  // "": by its key

  [[nodiscard]] NodeId node() const {
    return id(name_as.empty() ? identity::id_of_key(key.public_key()) : name_as);
  }
  [[nodiscard]] std::string body(const std::string& nonce) const {
    payloads::EnrollRequest request;
    request.id = node();
    request.public_key = identity::to_base64(key.public_key());
    request.nonce = nonce;
    request.hardware = hardware;
    request.join_token = token;
    return payloads::encode(request);
  }
  Result<payloads::EnrollAnswer> ask(Farm& farm, const std::string& peer = "10.0.0.7",
                                     bool is_loopback = false) const {
    const auto text = body(farm.enrollment->nonce());
    return farm.enrollment->ask(text, identity::to_base64(key.sign(text)), peer, is_loopback);
  }
  [[nodiscard]] payloads::EnrollState state(Farm& farm) const {
    auto answer = ask(farm);
    check_ok(answer);
    return answer->state;
  }
};

constexpr auto pending = payloads::EnrollState::pending;
constexpr auto approved = payloads::EnrollState::approved;

void a_box_waits_until_a_person_says_yes() {
  Farm farm;
  const Box box;
  auto answer = box.ask(farm);
  check_ok(answer);
  check(answer->state == pending && answer->secret.empty());
  check_contains(answer->message, identity::fingerprint_of_key(box.key.public_key()));
  check_ok(farm.enrollment->approve(box.node(), "ann"));
  answer = box.ask(farm);
  check_ok(answer);
  check(answer->state == approved);
  check_equal(answer->broker.username, box.node().str());
  check_equal(answer->broker.password, answer->secret);
  check(farm.enrollment->is_node(box.node(), answer->secret));
  check(!farm.enrollment->is_node(box.node(), "guess"));
  check(!farm.enrollment->is_node(id("other"), answer->secret));
  check_equal(farm.admitted.size(), std::size_t{1});
  farm.open();  // a restart: nobody asks a person again
  check(farm.enrollment->is_node(box.node(), answer->secret));
  check_equal(farm.enrollment->broker_secrets().size(), std::size_t{1});
}

void only_the_key_itself_gets_credentials() {
  Farm farm;
  const Box box;
  check(box.state(farm) == pending);
  check_ok(farm.enrollment->approve(box.node(), "ann"));
  const auto text = box.body(farm.enrollment->nonce());
  const auto good = identity::to_base64(box.key.sign(text));
  const Box thief;
  check(farm.enrollment->ask(text, identity::to_base64(thief.key.sign(text)), "p", false).error().code ==
        Code::denied);
  check(farm.enrollment->ask(text, "nonsense", "p", false).error().code == Code::denied);
  check_ok(farm.enrollment->ask(text, good, "p", false));
  // Heard and said again.
  check_contains(farm.enrollment->ask(text, good, "p", false).error().message, "nonce");
  // Signed in time, sent too late.
  const auto slow = box.body(farm.enrollment->nonce());
  farm.now_ms += 61'000;
  check(farm.enrollment->ask(slow, identity::to_base64(box.key.sign(slow)), "p", false).error().code ==
        Code::denied);
  Box impostor;
  impostor.name_as = box.node().str();
  check(impostor.ask(farm).error().code == Code::conflict);
  const auto keys = farm.enrollment->keys();
  check_contains(keys.front().remark, "another key");
}

void tokens_let_in_as_often_as_they_say() {
  Farm farm;
  auto token = farm.enrollment->make_token("classroom", farm.now_ms + 1000, 2, "ann");
  check_ok(token);
  Box first, second, third;
  first.token = second.token = third.token = token->secret;
  check(first.state(farm) == approved);
  check(first.state(farm) == approved);  // known by now: costs no use
  check(second.state(farm) == approved);
  check_contains(third.ask(farm).error().message, "used up");
  third.token.clear();
  check(third.state(farm) == pending);
  check_contains(farm.enrollment->keys().at(1).decided_by, "classroom");
  check(farm.enrollment->tokens().empty());

  token = farm.enrollment->make_token("late", farm.now_ms + 1000, 9, "ann");
  check_ok(token);
  farm.now_ms += 2000;
  Box late;
  late.token = token->secret;
  check(late.ask(farm).error().code == Code::denied);
  check(farm.enrollment->make_token("x", farm.now_ms, 1, "ann").error().code == Code::invalid);
  check(farm.enrollment->make_token("x", farm.now_ms + 1, 0, "ann").error().code == Code::invalid);
}

void a_known_fingerprint_gets_in_once() {
  Farm farm;
  const Box box;
  auto added = farm.enrollment->add_known(identity::id_of_key(box.key.public_key()));
  check_ok(added);
  check(box.state(farm) == approved);
  check(farm.enrollment->known().empty());
}

void this_machine_is_let_in_unless_told_otherwise() {
  Farm farm;
  const Box box;
  auto answer = box.ask(farm, "127.0.0.1", true);
  check_ok(answer);
  check(answer->state == approved);
  Farm strict({.admits_loopback = false});
  answer = box.ask(strict, "127.0.0.1", true);
  check_ok(answer);
  check(answer->state == pending);
}

void known_hardware_with_another_key_waits_for_a_person() {
  Farm farm;
  Box old;
  old.hardware = "board 7";
  check(old.state(farm) == pending);
  check_ok(farm.enrollment->approve(old.node(), "ann"));
  auto token = farm.enrollment->make_token("t", farm.now_ms + 1000, 2, "ann");
  check_ok(token);
  Box copy;
  copy.hardware = "board 7";
  copy.token = token->secret;
  check(copy.state(farm) == pending);
  const auto keys = farm.enrollment->keys();
  check_contains(keys.front().remark, "the same hardware as " + old.node().str());
  check_ok(farm.enrollment->approve(copy.node(), "ann"));
  check(copy.state(farm) == approved);
}

void what_is_revoked_is_out_at_once() {
  Farm farm;
  const Box box;
  check(box.state(farm) == pending);
  check_ok(farm.enrollment->approve(box.node(), "ann"));
  auto answer = box.ask(farm);
  check_ok(answer);
  check_ok(farm.enrollment->revoke(box.node(), "bob"));
  check(!farm.enrollment->is_node(box.node(), answer->secret));
  check(farm.expelled == std::vector<std::string>{box.node().str()});
  check(farm.forgotten == farm.expelled);
  check(farm.enrollment->broker_secrets().empty());
  check_contains(box.ask(farm).error().message, "revoked by bob");
  farm.open();
  check(box.ask(farm).error().code == Code::denied);
  check_ok(farm.enrollment->approve(box.node(), "ann"));
  check(box.state(farm) == approved);
}

void a_rotated_secret_ends_uploads_under_way_in_peace() {
  Farm farm;
  const Box box;
  (void)box.ask(farm);
  check_ok(farm.enrollment->approve(box.node(), "ann"));
  auto before = box.ask(farm);
  check_ok(before);
  check_ok(farm.enrollment->rotate(box.node()));
  check_equal(farm.expelled.size(), std::size_t{1});
  check(farm.forgotten.empty());  // it renders on
  check(farm.enrollment->is_node(box.node(), before->secret));
  auto after = box.ask(farm);
  check_ok(after);
  check(after->secret != before->secret);
  farm.now_ms += 300'001;
  check(!farm.enrollment->is_node(box.node(), before->secret));
  check(farm.enrollment->is_node(box.node(), after->secret));
}

void a_flood_is_bounded() {
  Farm farm({.max_pending = 3, .asks_per_minute = 5});
  for (int i = 0; i < 3; ++i) check(Box().state(farm) == pending);
  check_contains(Box().ask(farm).error().message, "approve, reject or forget");
  check(Box().ask(farm).error().code == Code::unavailable);
  check_contains(Box().ask(farm).error().message, "a minute");
  check_ok(Box().ask(farm, "10.0.0.8").error().code == Code::unavailable ? Status()
                                                                         : Status(fail(Code::internal, "")));
  farm.now_ms += 86'400'001;
  check(Box().state(farm) == pending);
  check_equal(farm.enrollment->keys().size(), std::size_t{1});
}

void nothing_is_promised_that_is_not_kept() {
  Farm farm;
  const Box box;
  farm.memory.is_full = true;
  check(box.ask(farm).error().code == Code::full);
  check(farm.enrollment->keys().empty());
  farm.memory.is_full = false;
  check(box.state(farm) == pending);
  farm.memory.is_full = true;
  check(!farm.enrollment->approve(box.node(), "ann"));
  farm.memory.is_full = false;
  check(box.state(farm) == pending);
  check_ok(farm.enrollment->approve(box.node(), "ann"));
  farm.broker_is_away = true;
  check(box.ask(farm).error().code == Code::unavailable);
  farm.broker_is_away = false;
  check(box.state(farm) == approved);
}

void garbage_is_told_what_would_be_right() {
  Farm farm;
  const Box box;
  const struct {
    std::string body;
    std::string says;
  } cases[] = {{"", "enrolment"},
               {"{}", "enrolment.id"},
               {R"({"id":"A"})", "enrolment.id"},
               {R"({"id":"a","public_key":"x","nonce":"n"})", "P-256"},
               {R"({"id":"a","public_key":"x","nonce":"n","name":"a\nb"})", "one line"},
               {std::string(9000, ' '), "over 8192"}};
  for (const auto& one : cases)
    check_contains(farm.enrollment->ask(one.body, "", one.says, false).error().message, one.says);
}

// The broker's own accounts go by these names: a box of that id would take their place.
void a_box_takes_no_name_of_the_brokers_own() {
  Farm farm;
  Box box;
  box.name_as = "viewer";
  const auto refused = box.ask(farm, "127.0.0.1", true);
  check(!refused && refused.error().code == Code::invalid);
  check_contains(refused.error().message, "not for boxes");
  check(farm.enrollment->keys().empty() && farm.admitted.empty());
}

}  // namespace

int main() {
  return kiln::test::run(
      "enrollment",
      {{"a box waits until a person says yes, and a restart keeps the answer",
        &a_box_waits_until_a_person_says_yes},
       {"only the key itself gets credentials, and only once per question",
        &only_the_key_itself_gets_credentials},
       {"a join token lets in as many as it says, until its end", &tokens_let_in_as_often_as_they_say},
       {"a known fingerprint gets in once", &a_known_fingerprint_gets_in_once},
       {"a box on this machine is let in unless told otherwise",
        &this_machine_is_let_in_unless_told_otherwise},
       {"known hardware with another key waits for a person",
        &known_hardware_with_another_key_waits_for_a_person},
       {"a revoked box is out at once and stays out", &what_is_revoked_is_out_at_once},
       {"rotation leaves uploads under way alone", &a_rotated_secret_ends_uploads_under_way_in_peace},
       {"a flood of questions is bounded", &a_flood_is_bounded},
       {"a full disk or an absent broker promises nothing", &nothing_is_promised_that_is_not_kept},
       {"a box takes no name of the broker's own", &a_box_takes_no_name_of_the_brokers_own},
       {"garbage is told what would be right", &garbage_is_told_what_would_be_right}});
}
