#include "api/requests.h"

#include "controller/api/fakes.h"

#include "check.h"

using namespace kiln::test;
using kiln::Json;
using kiln::api::handle_request;
using kiln::payloads::Request;
using kiln::payloads::Response;

namespace {

Response ask(World& world, std::string_view verb, const std::string& body, const std::string& user = "ada") {
  Request request;
  request.cid = "c1";
  request.body = *Json::parse(body);
  return handle_request(world.api, user, verb, request);
}

void each_verb_acts_and_answers() {
  World world;
  const struct {
    const char* verb;
    const char* body;
    int status;
    const char* part;
  } cases[] = {
      {"job-submit", R"({"cid":"c1","type":"noop","frames":"1-3"})", 201, R"("user":"ada")"},
      {"job-submit", R"({"cid":"c1","type":"noop","frames":"1-3"})", 200, R"("number":3)"},
      {"job-submit", R"({"cid":"c1","type":"noop","frames":"3-1"})", 400, "frames"},
      {"job-status", R"({"cid":"c1","job":"1"})", 200, R"("id":"1-aaaaa")"},
      {"job-status", R"({"cid":"c1","job":1})", 200, R"("id":"1-aaaaa")"},
      {"job-status", R"({"cid":"c1","job":"99"})", 404, "no job 99"},
      {"job-status", R"({"cid":"c1"})", 400, "request.job: send"},
      {"job-status", R"({"cid":"c1","job":null})", 400, "request.job: send"},
      {"job-pause", R"({"cid":"c1","job":"1"})", 200, R"("state":"paused")"},
      {"job-resume", R"({"cid":"c1","job":"1"})", 200, R"("state":"queued")"},
      {"job-cancel", R"({"cid":"c1","job":"1"})", 200, R"("state":"cancelled")"},
      {"job-retry", R"({"cid":"c1","job":"1-aaaaa"})", 200, R"("state":"queued")"},
      {"job-cancel", R"({"cid":"c1","job":"99"})", 404, "no job 99"},
      {"job-priority", R"({"cid":"c1","job":"1","priority":80})", 200, R"("priority":80)"},
      {"job-priority", R"({"cid":"c1","job":"1","priority":101})", 400, "request.priority"},
      {"job-priority", R"({"cid":"c1","job":"1"})", 400, "request.priority"},
      {"job-requeue", R"({"cid":"c1","job":1,"which":"all","frames":"1-3"})", 200, R"({"tasks":3})"},
      {"job-requeue", R"({"cid":"c1","job":1})", 400, "requeue.which"},
      {"job-requeue", R"({"cid":"c1","which":"all"})", 400, "request.job: send"},
      {"job-why", R"({"cid":"c1","job":"1"})", 200, R"({"reasons":[]})"},
      {"job-why", R"({"cid":"c1","job":"99"})", 404, "no job 99"},
      {"node-disable", R"({"cid":"c1","node":"render-1"})", 200, R"("enabled":false)"},
      {"node-enable", R"({"cid":"c1","node":"render-1"})", 200, R"("enabled":true)"},
      {"node-reboot", R"({"cid":"c1","node":"render-1"})", 200, R"("reboot":true)"},
      {"node-sleep", R"({"cid":"c1","node":"render-1"})", 200, R"("asleep":true)"},
      {"node-wake", R"({"cid":"c1","node":"render-1"})", 200, R"("id":"render-1")"},
      {"node-wake", R"({"cid":"c1","node":"none"})", 404, "none"},
      {"node-drain", R"({"cid":"c1","node":"render-1"})", 200, R"("drained":true)"},
      {"node-resume", R"({"cid":"c1","node":"render-1"})", 200, R"("drained":false)"},
      {"node-forgive", R"({"cid":"c1","node":"render-1"})", 200, R"("id":"render-1")"},
      {"node-forgive", R"({"cid":"c1","node":"none"})", 404, "none"},
      {"node-drain", R"({"cid":"c1","node":"none"})", 404, "none"},
      {"node-drain", R"({"cid":"c1","node":"A B"})", 400, "node"},
      {"node-drain", R"({"cid":"c1","node":7})", 400, "request.node: send"},
      {"job-dance", R"({"cid":"c1"})", 404, "'job-dance' is no request; there are job-submit, job-status"},
  };
  for (const auto& one : cases) {
    const Response response = ask(world, one.verb, one.body);
    if (response.status != one.status) print_error("%s %s: %s\n", one.verb, one.body, response.error.c_str());
    check_equal(response.status, one.status);
    check_equal(response.cid, "c1");
    check_contains(one.status < 400 ? response.data.dump() : response.error, one.part);
    check_equal(response.error.empty(), one.status < 400);
  }
}

void a_bad_user_is_refused() {
  World world;
  check_equal(ask(world, "job-status", R"({"job":"1"})", std::string(65, 'u')).status, 400);
  check_equal(ask(world, "job-status", R"({"job":"1"})", "").status, 400);
}

void an_answer_fits_a_message() {
  World world;
  world.reader.job_rows[0].warnings.assign(20, std::string(1000, 'w'));
  const Response response = ask(world, "job-status", R"({"job":"1"})");
  check_equal(response.status, 200);
  check(encode(response).size() <= 16 * 1024);
  check_contains(response.data.dump(), R"("state":"queued")");
}

void reasons_fit_a_message_and_the_rest_is_counted() {
  World world;
  world.farm.reasons.assign(1000, {"render-1", "", 1, std::string(100, 'w')});
  const Response response = ask(world, "job-why", R"({"job":"1"})");
  check_equal(response.status, 200);
  check(encode(response).size() <= 16 * 1024);
  const auto shown = response.data.find("reasons")->as_array()->size();
  check(shown > 50);
  check_equal(static_cast<std::size_t>(*response.data.find("more")->as_number()), 1000 - shown);
}

}  // namespace

int main() {
  return kiln::test::run("requests", {{"each verb acts and answers", each_verb_acts_and_answers},
                                      {"a bad user is refused", a_bad_user_is_refused},
                                      {"an answer fits a message", an_answer_fits_a_message},
                                      {"reasons fit a message and the rest is counted",
                                       reasons_fit_a_message_and_the_rest_is_counted}});
}
