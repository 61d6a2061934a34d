// Watching: the event stream kept alive, and a job followed to its end.
#pragma once

#include <functional>
#include <string>

#include "cli/context.h"
#include "cli/farm_view.h"

namespace kiln::cli {

// One event, already taken into the view, with the lines it is worth. False ends the watching.
using OnEvent =
    std::function<bool(const std::string& event, const Json& data, const std::vector<std::string>& lines)>;

// Keeps the view current and calls on_event until that returns false. A lost connection is taken up where it
// broke off, for five minutes; then unavailable. `tick` is called about once a second and as bytes come.
// Errors: unavailable; timeout when interrupted.
Status follow(Context& context, FarmView& view, const OnEvent& on_event,
              const std::function<void()>& tick = {});

// Follows the job until it is done, failed, cancelled or deleted; shows a progress bar on stderr when that is
// a terminal, else a line each time a tenth is passed. on_event as above, may be empty. The job as it ended.
// Errors: those of follow(); not_found when it was deleted. When interrupted says that the job goes on.
Result<Json> wait_for_job(Context& context, const Json& job, bool shows_progress,
                          const OnEvent& on_event = {});

// The last lines about a job that ended: result, where the frames are, why it failed.
void say_end(Context& context, const Json& job);

}  // namespace kiln::cli
