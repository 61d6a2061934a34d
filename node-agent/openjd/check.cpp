#include "openjd/check.h"

#include <fmt/format.h>

#include "openjd/template.h"
#include "runtime/files.h"

namespace kiln::openjd {

namespace {

std::string counted(std::size_t count, std::string_view what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

std::string summary(const Template& parsed) {
  if (const auto* job = std::get_if<JobTemplate>(&parsed)) {
    return fmt::format("a valid job template: {}, {}", counted(job->steps.size(), "step"),
                       counted(job->parameters.size(), "parameter"));
  }
  const auto& environment = std::get<EnvironmentTemplate>(parsed);
  return fmt::format("a valid environment template: {}", counted(environment.parameters.size(), "parameter"));
}

}  // namespace

int check_file(const std::filesystem::path& file, std::FILE* out, std::FILE* err) {
  const DocumentLimits limits;
  const auto text = runtime::read_file(file, limits.bytes);
  if (!text) {
    fmt::print(err, "openjd: {}\n", text.error().message);
    return 1;
  }
  const auto parsed = parse_template(*text, syntax_of(file.string()), limits);
  if (parsed) {
    fmt::print(out, "{}: {}\n", file.string(), summary(*parsed));
    return 0;
  }
  for (const auto& problem : parsed.error().list())
    fmt::print(err, "{}: {}\n", file.string(), problem.to_text());
  if (const auto more = parsed.error().left_out(); more > 0) {
    fmt::print(err, "{}: {} more are not listed\n", file.string(), more);
  }
  return 1;
}

}  // namespace kiln::openjd
