// The schema's numbered steps, made part of the binary from migrations/NNNN_name.sql.
#pragma once

#include <span>

#include "base/result.h"
#include "store/database.h"

namespace kiln::store {

struct Migration {
  int number = 0;  // 1, 2, 3, …
  const char* name = "";
  const char* sql = "";
};

std::span<const Migration> migrations();

// Brings the database from its user_version to the last of `steps`, each in a transaction of its own that
// also raises user_version. Errors: unsupported when the file is newer than the last step.
Status migrate(Database& database, std::span<const Migration> steps);

}  // namespace kiln::store
