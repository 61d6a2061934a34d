// Which system calls a caged process has no use for.
#pragma once

namespace kiln::cage {

// From here on, for this process and all that it starts: no mounts, no further namespaces, no kernel keys,
// modules, tracing or programs in the kernel; `prctl(PR_SET_DUMPABLE)` does nothing, so that the warden can
// look at everything. Needs no_new_privs. False when the kernel refuses.
bool install_seccomp();

}  // namespace kiln::cage
