#include "api/openapi.h"

#include <map>
#include <set>

#include "api/gate.h"

#include "controller/api/fakes.h"

#include "check.h"

using namespace kiln::test;

namespace {

// "GET /api/v1/jobs" of every operation. The document is ours and indented by two spaces a level.
std::set<std::string> operations(std::string_view yaml) {
  std::set<std::string> out;
  std::string path;
  bool is_paths = false;
  for (std::size_t at = 0; at < yaml.size();) {
    const std::size_t end = std::min(yaml.find('\n', at), yaml.size());
    const std::string_view line = yaml.substr(at, end - at);
    at = end + 1;
    if (!line.empty() && line[0] != ' ') is_paths = line == "paths:";
    if (!is_paths) continue;
    if (line.starts_with("  /")) path = line.substr(2, line.size() - 3);
    for (const auto& [key, method] : {std::pair("get", "GET"),
                                      {"put", "PUT"},
                                      {"post", "POST"},
                                      {"patch", "PATCH"},
                                      {"delete", "DELETE"}}) {
      if (line == fmt::format("    {}:", key)) out.insert(fmt::format("{} {}", method, path));
    }
  }
  return out;
}

void every_route_is_described_and_every_description_is_a_route() {
  World world;
  std::set<std::string> routes;
  for (auto route : make_router(world.api).routes()) {
    if (const auto dots = route.pattern.find("..."); dots != std::string::npos) route.pattern.erase(dots, 3);
    routes.insert(fmt::format("{} {}", to_string(route.method), route.pattern));
  }
  const auto described = operations(kiln::api::openapi_yaml());
  for (const auto& route : routes) {
    if (!described.contains(route)) print_error("not in openapi.yaml: %s\n", route.c_str());
  }
  for (const auto& operation : described) {
    if (!routes.contains(operation)) print_error("no such route: %s\n", operation.c_str());
  }
  check(routes == described);
  check(routes.size() > 30);
}

// The value of that extension of each operation: "GET /api/v1/jobs" -> "viewer".
std::map<std::string, std::string> extensions(std::string_view yaml, std::string_view key) {
  std::map<std::string, std::string> out;
  std::string path;
  std::string method;
  for (std::size_t at = 0; at < yaml.size();) {
    const std::size_t end = std::min(yaml.find('\n', at), yaml.size());
    const std::string_view line = yaml.substr(at, end - at);
    at = end + 1;
    if (line.starts_with("  /")) path = line.substr(2, line.size() - 3);
    if (line.starts_with("    ") && line.find_first_not_of(' ') == 4)
      method = line.substr(4, line.size() - 5);
    const std::string wanted = fmt::format("      {}: ", key);
    if (line.starts_with(wanted)) out[method + " " + path] = line.substr(wanted.size());
  }
  return out;
}

void every_operation_says_who_may() {
  const auto roles = extensions(kiln::api::openapi_yaml(), "x-kiln-role");
  const auto nodes = extensions(kiln::api::openapi_yaml(), "x-kiln-nodes");
  constexpr std::string_view role_names[] = {"anyone", "viewer", "artist", "operator", "administrator"};
  constexpr std::string_view nodes_names[] = {"", "any", "own"};
  for (const auto& access : kiln::api::access_table()) {
    std::string method(to_string(access.method));
    for (char& c : method) c = static_cast<char>(c + 32);
    std::string path(access.pattern);
    if (const auto dots = path.find("..."); dots != std::string::npos) path.erase(dots, 3);
    const std::string operation = method + " " + path;
    if (!roles.contains(operation)) print_error("%s\n", operation.c_str());
    check(roles.contains(operation));
    check_equal(roles.at(operation), role_names[static_cast<std::size_t>(access.least)]);
    const auto found = nodes.find(operation);
    check_equal(found == nodes.end() ? "" : found->second,
                nodes_names[static_cast<std::size_t>(access.nodes)]);
  }
}

void every_reference_leads_somewhere() {
  const std::string_view yaml = kiln::api::openapi_yaml();
  for (std::size_t at = 0; (at = yaml.find("#/components/", at)) != std::string_view::npos;) {
    const std::size_t end = yaml.find('"', at);
    const std::string reference(yaml.substr(at, end - at));
    at = end;
    const std::string name = reference.substr(reference.rfind('/') + 1);
    if (yaml.find(fmt::format("\n    {}:", name)) == std::string_view::npos)
      print_error("%s\n", reference.c_str());
    check(yaml.find(fmt::format("\n    {}:", name)) != std::string_view::npos);
  }
}

void every_field_of_a_shape_is_described() {
  World world;
  const std::string_view yaml = kiln::api::openapi_yaml();
  for (const char* path : {"/api/v1/farm", "/api/v1/jobs/1", "/api/v1/nodes/render-1"}) {
    const auto json = kiln::Json::parse(world.ask("GET", path).body);
    check_ok(json);
    for (const auto& [key, value] : *json->as_object())
      check_contains(yaml, fmt::format("\n        {}:", key));
  }
}

}  // namespace

int main() {
  return kiln::test::run("openapi",
                         {{"every route is described and every description is a route",
                           every_route_is_described_and_every_description_is_a_route},
                          {"every operation says who may", every_operation_says_who_may},
                          {"every reference leads somewhere", every_reference_leads_somewhere},
                          {"every field of a shape is described", every_field_of_a_shape_is_described}});
}
