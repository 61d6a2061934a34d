#include "runtime/settings.h"

#include <fmt/format.h>

// Without NDEBUG its parser asserts what a typing mistake breaks ("[:"); right after, it refuses that as an
// error.
#define TOML_ASSERT(expression) static_cast<void>(0)
#include <toml++/toml.h>

#include <utility>

namespace kiln::runtime {

namespace {

SettingValue value_of(const toml::node& node) {
  if (const auto value = node.value_exact<bool>()) return *value;
  if (const auto value = node.value_exact<std::int64_t>()) return *value;
  if (const auto value = node.value_exact<double>()) return *value;
  if (auto value = node.value_exact<std::string>()) return std::move(*value);
  const auto* array = node.as_array();
  if (array == nullptr) return std::monostate();
  std::vector<std::string> texts;
  for (const auto& element : *array) {
    auto value = element.value_exact<std::string>();
    if (!value) return std::monostate();
    texts.push_back(std::move(*value));
  }
  return texts;
}

// A file as it is read: where a mistake is named.
class Reader {
 public:
  Reader(const std::filesystem::path& file, const Settings& known) : file_(file), known_(known) {}

  Status read() const {
    toml::table table;
    try {
      table = toml::parse_file(file_.string());
    } catch (const toml::parse_error& error) {
      if (error.source().begin.line == 0) {  // it could not be read at all
        return fail(Code::invalid, fmt::format("{}: {}", file_.string(), error.description()));
      }
      return wrong(error.source(), std::string(error.description()));
    }
    for (const auto& [key, node] : table) {
      const std::string name(key.str());
      const auto* section = node.as_table();
      if (section == nullptr || !is_section(name)) {
        if (auto done = set(name, key.source(), node); !done) return done;
        continue;
      }
      for (const auto& [inner, value] : *section) {
        if (auto done = set(name + "." + std::string(inner.str()), inner.source(), value); !done) return done;
      }
    }
    return {};
  }

 private:
  [[nodiscard]] bool is_section(const std::string& name) const {
    const auto first = known_.lower_bound(name + ".");
    return first != known_.end() && first->first.starts_with(name + ".");
  }

  [[nodiscard]] Status wrong(const toml::source_region& where, const std::string& message) const {
    return fail(Code::invalid, fmt::format("{}:{}: {}", file_.string(), where.begin.line, message));
  }

  [[nodiscard]] Status set(const std::string& name, const toml::source_region& where,
                           const toml::node& node) const {
    const auto setter = known_.find(name);
    if (setter == known_.end()) {
      std::string names;
      for (const auto& [one, ignored] : known_) names += (names.empty() ? "" : ", ") + one;
      return wrong(where, fmt::format("no setting is called '{}'; there are: {}", name, names));
    }
    if (auto done = setter->second(value_of(node)); !done) {
      return wrong(node.source(), fmt::format("{}: {}", name, done.error().message));
    }
    return {};
  }

  const std::filesystem::path& file_;
  const Settings& known_;
};

}  // namespace

Status read_settings(const std::filesystem::path& file, const Settings& known) {
  return Reader(file, known).read();
}

Setter text_setting(std::function<Status(const std::string&)> take, std::string expected) {
  return [take = std::move(take), expected = std::move(expected)](const SettingValue& value) -> Status {
    const auto* text = std::get_if<std::string>(&value);
    return text != nullptr ? take(*text) : fail(Code::invalid, expected);
  };
}

Setter texts_setting(std::function<Status(std::vector<std::string>)> take, std::string expected) {
  return [take = std::move(take), expected = std::move(expected)](const SettingValue& value) -> Status {
    const auto* texts = std::get_if<std::vector<std::string>>(&value);
    return texts != nullptr ? take(*texts) : fail(Code::invalid, expected);
  };
}

Setter whole_setting(std::function<void(std::int64_t)> take, std::int64_t min, std::int64_t max) {
  return [take = std::move(take), min, max](const SettingValue& value) -> Status {
    const auto* number = std::get_if<std::int64_t>(&value);
    if (number == nullptr || *number < min || *number > max) {
      return fail(Code::invalid, fmt::format("a whole number from {} to {} is expected", min, max));
    }
    take(*number);
    return {};
  };
}

Setter flag_setting(bool& out) {
  return [&out](const SettingValue& value) -> Status {
    const auto* flag = std::get_if<bool>(&value);
    if (flag == nullptr) return fail(Code::invalid, "true or false is expected, without quotes");
    out = *flag;
    return {};
  };
}

Setter amount_setting(double& out, double min, double max) {
  return [&out, min, max](const SettingValue& value) -> Status {
    const auto* whole = std::get_if<std::int64_t>(&value);
    const auto* number = std::get_if<double>(&value);
    const double amount = whole != nullptr    ? static_cast<double>(*whole)
                          : number != nullptr ? *number
                                              : min - 1;
    if (!(amount >= min && amount <= max)) {  // not a number is not either
      return fail(Code::invalid, fmt::format("a number from {} to {} is expected", min, max));
    }
    out = amount;
    return {};
  };
}

}  // namespace kiln::runtime
