// A settings file (TOML) as its program sees it: a name for each setting and who takes its value. Hides
// toml++.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"

namespace kiln::runtime {

// What stands in the file. monostate: something that no setting is (a date, a table in a list, …).
using SettingValue =
    std::variant<std::monostate, bool, std::int64_t, double, std::string, std::vector<std::string>>;

// Takes the value, or says what would be right (invalid); file, line and name are put before that.
using Setter = std::function<Status(const SettingValue&)>;
// By name: "slots", and "power.reboot" for `reboot` under [power].
using Settings = std::map<std::string, Setter>;

// Every setting of the file in turn. Errors: invalid with file, line, what is wrong and what would be right;
// an unknown name is an error too, since it is most often a misspelt one.
Status read_settings(const std::filesystem::path& file, const Settings& known);

// ---- setters ---------------------------------------------------------------------------------------------

// `take` says what is wrong with a text; `expected` what a value that is none should be.
Setter text_setting(std::function<Status(const std::string&)> take,
                    std::string expected = "a text in quotes is expected");
Setter texts_setting(std::function<Status(std::vector<std::string>)> take,
                     std::string expected = "a list of texts is expected");
// A whole number within the bounds.
Setter whole_setting(std::function<void(std::int64_t)> take, std::int64_t min, std::int64_t max);

Setter flag_setting(bool& out);  // true or false

// A number within the bounds, whole or not.
Setter amount_setting(double& out, double min, double max);

template <class Int>
Setter number_setting(Int& out, std::int64_t min, std::int64_t max) {
  return whole_setting([&out](std::int64_t value) { out = static_cast<Int>(value); }, min, max);
}

}  // namespace kiln::runtime
