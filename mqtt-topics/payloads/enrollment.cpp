#include "payloads/enrollment.h"

#include "payloads/codec.h"

namespace kiln::payloads {

namespace {

constexpr std::size_t max_pem_bytes = 4096;
constexpr std::uint32_t max_again_s = 3600;
constexpr std::uint32_t max_port = 65535;

void read_request(JsonReader& in, EnrollRequest& request) {
  std::string id;
  in.required("id", id);
  if (auto parsed = NodeId::parse(id)) {
    request.id = std::move(*parsed);
  } else if (in.ok()) {
    in.reject("id", parsed.error());
  }
  in.required("public_key", request.public_key);
  in.required("nonce", request.nonce);
  in.optional("name", request.name, max_name_bytes);
  in.optional("hardware", request.hardware, max_name_bytes);
  in.optional("join_token", request.join_token);
  for (const auto& [key, text] :
       {std::pair("name", &request.name), std::pair("hardware", &request.hardware)}) {
    if (!is_one_line(*text)) in.reject(key, "one line of text is expected");
  }
}

void read_broker(JsonReader& in, EnrollBroker& broker) {
  std::uint32_t port = 0;
  in.optional("host", broker.host);
  in.required("port", port, max_port);
  in.optional("tls", broker.is_tls);
  in.optional("username", broker.username);
  in.optional("password", broker.password);
  in.optional("certificate", broker.certificate, max_pem_bytes);
  broker.port = static_cast<std::uint16_t>(port);
}

void read_answer(JsonReader& in, EnrollAnswer& answer) {
  std::string state;
  in.required("state", state);
  if (state != "pending" && state != "approved") in.reject("state", "pending or approved is expected");
  in.required("farm", answer.farm);
  in.required("version", answer.version);
  in.optional("again_s", answer.again_s, max_again_s);
  in.optional("message", answer.message);
  if (state != "approved") return;
  answer.state = EnrollState::approved;
  in.required("secret", answer.secret);
  read_object(in, "mqtt", true, answer.broker, read_broker);
}

}  // namespace

std::string encode(const EnrollRequest& request) {
  auto json =
      Json::object({{"id", request.id.str()}, {"public_key", request.public_key}, {"nonce", request.nonce}});
  set_some(json, "name", name_text(request.name));
  set_some(json, "hardware", name_text(request.hardware));
  set_some(json, "join_token", request.join_token);
  return json.dump();
}

std::string encode(const EnrollAnswer& answer) {
  const bool is_approved = answer.state == EnrollState::approved;
  auto json = Json::object({{"state", is_approved ? "approved" : "pending"},
                            {"farm", answer.farm},
                            {"version", answer.version},
                            {"again_s", answer.again_s}});
  set_some(json, "message", answer.message);
  if (!is_approved) return json.dump();
  json.set("secret", answer.secret);
  auto broker = Json::object({{"port", std::uint32_t{answer.broker.port}}, {"tls", answer.broker.is_tls}});
  set_some(broker, "host", answer.broker.host);
  set_some(broker, "username", answer.broker.username);
  set_some(broker, "password", answer.broker.password);
  set_some(broker, "certificate", answer.broker.certificate);
  json.set("mqtt", std::move(broker));
  return json.dump();
}

Result<EnrollRequest> decode_enroll_request(std::string_view text) {
  if (text.size() > max_enrollment_bytes)
    return fail(Code::too_large, fmt::format("enrolment: over {} bytes", max_enrollment_bytes));
  return decode_text<EnrollRequest>(text, "enrolment", read_request);
}
Result<EnrollAnswer> decode_enroll_answer(std::string_view text) {
  return decode_text<EnrollAnswer>(text, "enrolment", read_answer);
}

std::string node_authorization(const NodeId& node, std::string_view secret) {
  return fmt::format("Bearer kilnnode_{}_{}", node.str(), secret);
}

}  // namespace kiln::payloads
