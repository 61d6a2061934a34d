// The environment variables of a session: a layer for each environment that is entered, the innermost last.
// Pure.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace kiln::actions {

class Variables {
 public:
  struct Layer {
    std::map<std::string, std::string, std::less<>> set;
    std::set<std::string, std::less<>> unset;  // stronger than `set` of the same environment
  };

  Layer& enter() { return layers_.emplace_back(); }
  Layer& innermost() { return layers_.back(); }
  void leave() { layers_.pop_back(); }

  // What the layers come to, over `base`: the value, or nothing where the variable is to be absent even if
  // the process that starts the action has it.
  struct Result {
    std::vector<std::pair<std::string, std::string>> set;
    std::vector<std::string> unset;
  };
  [[nodiscard]] Result resolve(const std::vector<std::pair<std::string, std::string>>& base) const {
    std::map<std::string, std::string, std::less<>> values(base.begin(), base.end());
    std::set<std::string, std::less<>> absent;
    for (const auto& layer : layers_) {
      for (const auto& [name, value] : layer.set) {
        values[name] = value;
        absent.erase(name);
      }
      for (const auto& name : layer.unset) {
        values.erase(name);
        absent.insert(name);
      }
    }
    return {{values.begin(), values.end()}, {absent.begin(), absent.end()}};
  }

 private:
  std::vector<Layer> layers_;
};

}  // namespace kiln::actions
