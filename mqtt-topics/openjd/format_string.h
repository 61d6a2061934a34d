// Text with references in double braces: "frame {{Task.Param.Frame}}". Parsed once; which names exist where
// it stands is scope.h's question, what they are worth is asked when it is resolved.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace kiln::openjd {

// What the names are worth: "Param.Frames" -> "1-24".
using Symbols = std::map<std::string, std::string, std::less<>>;

class FormatString {
 public:
  struct Part {
    bool is_reference = false;
    std::string text;  // the name, without braces and spaces; or the text between
    friend bool operator==(const Part&, const Part&) = default;
  };

  FormatString() = default;
  // Errors: invalid, with what is wrong inside of which braces.
  static Result<FormatString> parse(std::string_view text);
  // Text that is taken as it is, braces included.
  static FormatString literal(std::string text);

  [[nodiscard]] const std::string& text() const { return text_; }  // as written
  [[nodiscard]] const std::vector<Part>& parts() const { return parts_; }
  [[nodiscard]] bool has_references() const;
  // Errors: not_found, naming the reference that `symbols` do not know.
  [[nodiscard]] Result<std::string> resolve(const Symbols& symbols) const;

  friend bool operator==(const FormatString&, const FormatString&) = default;

 private:
  std::string text_;
  std::vector<Part> parts_;
};

}  // namespace kiln::openjd
