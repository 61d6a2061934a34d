#include "base/version.h"

namespace kiln {

const std::string_view version = KILN_VERSION;

}  // namespace kiln
