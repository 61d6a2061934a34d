#include "base/json.h"

#include "base/ids.h"
#include "check.h"

using kiln::Code;
using kiln::Json;

namespace {

void a_value_survives_printing() {
  const std::string text = R"({"a":[1,2.5,null,true],"b":{"c":"ö \"q\""},"big":9007199254740991})";
  const auto json = Json::parse(text);
  check_ok(json);
  check_equal(json->dump(), text);
}

void hostile_text_is_refused() {
  const struct {
    std::string text;
    Code code;
  } cases[] = {
      {"", Code::invalid},
      {"{", Code::invalid},
      {"{} x", Code::invalid},
      {"{\"a\":1,\"a\":2}", Code::invalid},
      {"\"\xff\"", Code::invalid},
      {"\"\xc0\xaf\"", Code::invalid},
      {"\"\\u0000\"", Code::invalid},
      {std::string("\"a\0b\"", 5), Code::invalid},
      {"1e999", Code::invalid},
      {std::string(17, '['), Code::too_large},
      {std::string(20'000, ' '), Code::too_large},
  };
  for (const auto& one : cases) {
    const auto json = Json::parse(one.text);
    check(!json.has_value());
    check_equal(to_string(json.error().code), to_string(one.code));
  }
  std::string many = "[0";
  for (int i = 0; i < 5000; ++i) many += ",0";
  check(!Json::parse(many + "]").has_value());
}

void a_reader_names_the_first_wrong_field() {
  const auto json = Json::parse(R"({"sid":1.5,"name":7})");
  check_ok(json);
  kiln::JsonReader in(*json, "node status");
  std::uint64_t sid = 0;
  std::string name;
  in.required("sid", sid);
  in.required("name", name);
  const auto result = in.finish(sid);
  check(!result.has_value());
  check_equal(result.error().message,
              "node status.sid: a whole number from 0 to 9007199254740992 is expected, not 1.5");
}

void a_missing_field_is_named() {
  const auto json = Json::parse(R"({})");
  kiln::JsonReader in(*json, "x");
  std::string name;
  in.required("name", name);
  check_equal(in.finish(0).error().message, "x.name: missing");
}

void ids_keep_their_form() {
  check(kiln::JobId::parse("7-k3fqa").has_value());
  for (const char* bad : {"", "A", "a_b", "a/b", "123456789012345678901234567890123"}) {
    check(!kiln::NodeId::parse(bad).has_value());
  }
  const auto task = kiln::TaskId::parse("7-k3fqa-12");
  check_ok(task);
  check_equal(task->job.str(), "7-k3fqa");
  check_equal(task->index, 12U);
  check_equal(task->str(), "7-k3fqa-12");
  for (const char* bad : {"7", "-1", "7-", "7-01", "7-99999999999", "7-x"}) check(!kiln::TaskId::parse(bad));
  check_equal(kiln::make_job_id(7, 0).str(), "7-aaaaa");
}

}  // namespace

int main() {
  return kiln::test::run("json",
                         {{"a value survives printing", a_value_survives_printing},
                          {"hostile text is refused", hostile_text_is_refused},
                          {"a reader names the first wrong field", a_reader_names_the_first_wrong_field},
                          {"a missing field is named", a_missing_field_is_named},
                          {"ids keep their form", ids_keep_their_form}});
}
