#include "cage/seccomp.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <vector>

namespace kiln::cage {

namespace {

#if defined(__x86_64__)
constexpr unsigned native_arch = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr unsigned native_arch = AUDIT_ARCH_AARCH64;
#else
#error "name this processor's AUDIT_ARCH"
#endif

// Answered with EPERM.
constexpr std::array refused = {
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_chroot,
    SYS_setns,
    SYS_unshare,
    SYS_open_tree,
    SYS_move_mount,
    SYS_fsopen,
    SYS_fsconfig,
    SYS_fsmount,
    SYS_fspick,
    SYS_mount_setattr,
    SYS_swapon,
    SYS_swapoff,
    SYS_quotactl,
    SYS_add_key,
    SYS_request_key,
    SYS_keyctl,
    SYS_bpf,
    SYS_perf_event_open,
    SYS_userfaultfd,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_kexec_load,
    SYS_kexec_file_load,
    SYS_reboot,
    SYS_acct,
    SYS_syslog,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_clock_adjtime,
    SYS_adjtimex,
    SYS_sethostname,
    SYS_setdomainname,
    SYS_open_by_handle_at,
    SYS_vhangup,
#if defined(__x86_64__)
    SYS_iopl,
    SYS_ioperm,
    SYS_modify_ldt,
#endif
};
// Answered with ENOSYS: programs fall back to what can be looked into.
constexpr std::array absent = {SYS_clone3, SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register};

constexpr unsigned offset_nr = offsetof(seccomp_data, nr);
constexpr unsigned offset_arch = offsetof(seccomp_data, arch);
constexpr unsigned offset_arg0 =
    offsetof(seccomp_data, args);  // its low half: both processors are little-endian

constexpr unsigned new_namespaces =
    CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;

void answer_when(std::vector<sock_filter>& out, long call, unsigned answer) {
  out.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(call), 0, 1));
  out.push_back(BPF_STMT(BPF_RET | BPF_K, answer));
}

// When that call's first argument passes the test.
void answer_when(std::vector<sock_filter>& out, long call, unsigned short test, unsigned value,
                 unsigned answer) {
  out.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(call), 0, 4));
  out.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset_arg0));
  out.push_back(BPF_JUMP(static_cast<unsigned short>(BPF_JMP | test | BPF_K), value, 0, 1));
  out.push_back(BPF_STMT(BPF_RET | BPF_K, answer));
  out.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset_nr));
}

std::vector<sock_filter> filter() {
  constexpr unsigned refuse = SECCOMP_RET_ERRNO | EPERM;
  constexpr unsigned lack = SECCOMP_RET_ERRNO | ENOSYS;
  constexpr unsigned pretend = SECCOMP_RET_ERRNO | 0U;
  std::vector<sock_filter> out = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset_arch),
      // 32-bit programs have numbers of their own: none is let in.
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, native_arch, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, lack),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset_nr),
  };
#if defined(__x86_64__)
  constexpr unsigned x32_bit = 0x40000000;  // the third set of numbers
  out.push_back(BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, x32_bit, 0, 1));
  out.push_back(BPF_STMT(BPF_RET | BPF_K, lack));
#endif
  for (const auto call : refused) answer_when(out, call, refuse);
  for (const auto call : absent) answer_when(out, call, lack);
  answer_when(out, SYS_clone, BPF_JSET, new_namespaces, refuse);
  answer_when(out, SYS_prctl, BPF_JEQ, PR_SET_DUMPABLE, pretend);
  out.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  return out;
}

}  // namespace

bool install_seccomp() {
  auto code = filter();
  const sock_fprog program{static_cast<unsigned short>(code.size()), code.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

}  // namespace kiln::cage
