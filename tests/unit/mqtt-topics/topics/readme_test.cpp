// mqtt-topics/README.md lists every topic that is built here.
#include <fstream>
#include <iterator>
#include <set>

#include "source_dir.h"
#include "topics/topics.h"

// After everything else: cmocka's macros.
#include "check.h"

using namespace kiln;

namespace {

std::string readme() {
  std::ifstream file(kiln::test::source_dir() / "mqtt-topics/README.md");
  return {std::istreambuf_iterator<char>(file), {}};
}

// "kiln/v1/nodes/<id>/status" with every placeholder replaced by an id, as the builders below use them.
std::string filled(std::string heading) {
  const std::pair<std::string, std::string> places[] = {
      {"<id>", "n1"}, {"<n>", "0"}, {"<job>", "7-k3fqa"}, {"<user>", "ada"}, {"<verb>", "job-pause"}};
  for (const auto& [place, value] : places) {
    for (auto at = heading.find(place); at != std::string::npos; at = heading.find(place)) {
      heading.replace(at, place.size(), value);
    }
  }
  return heading;
}

void the_page_has_exactly_the_topics_that_are_built() {
  const auto node = *NodeId::parse("n1");
  const auto job = *JobId::parse("7-k3fqa");
  const std::set<std::string> built = {topics::controller_status(),
                                       topics::controller_summary(),
                                       topics::node_status(node),
                                       topics::node_info(node),
                                       topics::node_tasks(node),
                                       topics::node_progress(node),
                                       topics::node_host(node),
                                       topics::node_event(node),
                                       topics::node_ack(node),
                                       topics::node_update(node),
                                       topics::gpu_telemetry(node, 0),
                                       topics::gpu_temp_c(node, 0),
                                       topics::cpu_temp_c(node),
                                       topics::command(node),
                                       topics::command_all(),
                                       topics::job_status(job),
                                       topics::job_progress(job),
                                       topics::job_event(job),
                                       topics::request("ada", "job-pause"),
                                       topics::response("ada", "job-pause"),
                                       topics::home_assistant_config(node)};
  std::set<std::string> listed;
  const auto page = readme();
  const std::string mark = "\n### `";
  for (auto at = page.find(mark); at != std::string::npos; at = page.find(mark, at + 1)) {
    const auto begin = at + mark.size();
    const auto topic = filled(page.substr(begin, page.find('`', begin) - begin));
    if (!built.contains(topic)) print_error("nobody builds %s\n", topic.c_str());
    listed.insert(topic);
  }
  for (const auto& topic : built) {
    if (!listed.contains(topic)) print_error("%s has no heading in mqtt-topics/README.md\n", topic.c_str());
  }
  check(listed == built);
}

}  // namespace

int main() {
  return kiln::test::run("readme", {{"the page has exactly the topics that are built",
                                     the_page_has_exactly_the_topics_that_are_built}});
}
