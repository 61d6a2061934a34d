// Every example in mqtt-topics/README.md is what this codec reads and writes.
#include <charconv>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>

#include "payloads/messages.h"
#include "source_dir.h"

// After everything else: cmocka's macros.
#include "check.h"

using namespace kiln;
using namespace kiln::payloads;

namespace {

std::string readme() {
  std::ifstream file(kiln::test::source_dir() / "mqtt-topics/README.md");
  return {std::istreambuf_iterator<char>(file), {}};
}

// Decodes and encodes again.
using Again = std::function<Result<std::string>(const std::string&)>;
template <class T>
Again json(Result<T> (*decode)(std::string_view)) {
  return [decode](const std::string& text) -> Result<std::string> {
    const auto value = decode(text);
    if (!value) return fail(value.error());
    return encode(*value);
  };
}
Again plain_number() {
  return [](const std::string& text) -> Result<std::string> {
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size())
      return fail(Code::invalid, "no plain number");
    return text;
  };
}

struct Example {
  std::string topic;
  std::string text;
};

// The fenced lines below each "### `topic`".
std::vector<Example> examples(const std::string& page) {
  std::vector<Example> found;
  std::string topic;
  bool is_fenced = false;
  for (std::size_t begin = 0; begin < page.size();) {
    const auto end = std::min(page.find('\n', begin), page.size());
    const auto line = page.substr(begin, end - begin);
    begin = end + 1;
    if (line.starts_with("```")) {
      is_fenced = !is_fenced;
    } else if (is_fenced && !topic.empty()) {
      found.push_back({topic, line});
    } else if (line.starts_with("### `")) {
      topic = line.substr(5, line.find('`', 5) - 5);
    } else if (line.starts_with("## ")) {
      topic.clear();
    }
  }
  return found;
}

void every_example_is_read_and_written_back_as_it_stands() {
  const std::map<std::string, Again> codecs = {
      {"kiln/v1/controller/status", json(decode_controller_status)},
      {"kiln/v1/controller/summary", json(decode_controller_summary)},
      {"kiln/v1/nodes/<id>/status", json(decode_node_status)},
      {"kiln/v1/nodes/<id>/info", json(decode_node_info)},
      {"kiln/v1/nodes/<id>/tasks", json(decode_node_tasks)},
      {"kiln/v1/nodes/<id>/gpus/<n>/telemetry", json(decode_gpu_telemetry)},
      {"kiln/v1/nodes/<id>/gpus/<n>/temp_c", plain_number()},
      {"kiln/v1/nodes/<id>/cpu_temp_c", plain_number()},
      {"kiln/v1/nodes/<id>/progress", plain_number()},
      {"kiln/v1/nodes/<id>/host", json(decode_host_telemetry)},
      {"kiln/v1/nodes/<id>/event", json(decode_node_event)},
      {"kiln/v1/nodes/<id>/ack", json(decode_ack)},
      {"kiln/v1/nodes/<id>/update", json(decode_node_update)},
      {"kiln/v1/cmd/<id>", json(decode_command)},
      {"kiln/v1/cmd/all", json(decode_command)},
      {"kiln/v1/jobs/<job>/status", json(decode_job_status)},
      {"kiln/v1/jobs/<job>/progress", plain_number()},
      {"kiln/v1/jobs/<job>/event", json(decode_job_event)},
      {"kiln/v1/request/<user>/<verb>", json(decode_request)},
      {"kiln/v1/response/<user>/<verb>", json(decode_response)},
  };
  std::map<std::string, int> shown;
  for (const auto& example : examples(readme())) {
    const auto codec = codecs.find(example.topic);
    if (codec == codecs.end()) print_error("no codec for the example of %s\n", example.topic.c_str());
    check(codec != codecs.end());
    const auto again = codec->second(example.text);
    if (!again) print_error("%s\n", example.text.c_str());
    check_ok(again);
    check_equal(*again, example.text);
    ++shown[example.topic];
  }
  for (const auto& [topic, codec] : codecs) {
    if (shown[topic] == 0) print_error("%s has no example\n", topic.c_str());
    check(shown[topic] > 0);
  }
}

}  // namespace

int main() {
  return kiln::test::run("readme", {{"every example is read, and written back as it stands",
                                     every_example_is_read_and_written_back_as_it_stands}});
}
