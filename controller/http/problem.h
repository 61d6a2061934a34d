// Refusals as people and programs read them: problem JSON (RFC 9457), and the one table from codes to
// statuses.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "http/message.h"

namespace kiln::http {

// invalid 400, denied 403 (401 where logging in would help), not_found 404, conflict 409, too_large 413,
// internal 500, io 500, unsupported 501, unavailable 503, timeout 504, full 507.
int status_of(Code code);
// The other way: what `code` a refusal carries that only has a status.
Code code_of(int status);
std::string_view reason_of(int status);  // "Not Found"

// {"type":"about:blank","title":"Not Found","status":404,"detail":…,"code":"not-found"}. `detail` may hold
// anything: as_sentence() makes it fit to be shown.
Response problem(int status, Code code, std::string_view detail);
Response problem(int status, std::string_view detail);
Response problem(const Error& error);

}  // namespace kiln::http
