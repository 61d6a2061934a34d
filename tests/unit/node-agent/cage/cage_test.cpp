// Real cages: bubblewrap, kiln-cage and what a hostile program would try. Anybody may run this, root too.
#include "cage/cage.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>

#include "runtime/files.h"
#include "runtime/process.h"

#include "check.h"

using namespace kiln::cage;
using namespace std::chrono_literals;
namespace fs = std::filesystem;
namespace runtime = kiln::runtime;
using kiln::Code;

namespace {

// An agent's data folder with its key, and a cage for one slot of it.
class Bench {
 public:
  explicit Bench(const std::function<void(Plan&)>& change = {},
                 const fs::path& where = fs::temp_directory_path()) {
    auto pattern = (where / "kiln-cage-XXXXXX").native();
    check(::mkdtemp(pattern.data()) != nullptr);
    root = pattern;
    work = root / "scratch/slot-0/work";
    inputs = root / "scratch/slot-0/trees";
    for (const auto& one : {work, inputs}) fs::create_directories(one);
    std::ofstream(root / "node.key") << "the key";
    std::ofstream(inputs / "scene") << "a scene";
    check_ok(write_accounts(root / "accounts"));
    Plan plan;
    plan.warden = *find_warden();
    plan.layout = look_at_layout();
    plan.bounds = {1024, 200, 64};
    plan.data = root;
    plan.work = {work};
    plan.inputs = {inputs};
    plan.accounts = root / "accounts";
    if (change) change(plan);
    auto opened = Cage::open(plan);
    check_ok(opened);
    cage = std::move(*opened);
  }
  ~Bench() {
    cage.reset();
    std::error_code ignored;
    fs::permissions(work, fs::perms::owner_all, ignored);
    fs::remove_all(root, ignored);
  }
  Bench(const Bench&) = delete;

  [[nodiscard]] runtime::Captured sh(const std::string& script) const {
    runtime::CaptureOptions options;
    options.launcher = cage.get();
    options.cwd = work;
    options.environment = {{"KEY", (root / "node.key").native()},
                           {"WORK", work.native()},
                           {"INPUTS", inputs.native()},
                           {"TMPDIR", work.native()}};
    auto done = runtime::run_capture({"bash", "-c", script}, options);
    check_ok(done);
    return *done;
  }
  // Until the cage says why it killed everything.
  [[nodiscard]] std::string await_trouble() const {
    const auto until = std::chrono::steady_clock::now() + 60s;
    for (;;) {
      if (auto said = cage->trouble(); !said.empty()) return said;
      check(std::chrono::steady_clock::now() < until);
      ::poll(nullptr, 0, 5);
    }
  }

  fs::path root;
  fs::path work;
  fs::path inputs;
  std::unique_ptr<Cage> cage;
};

// Whether a process of the whole box has that word in its command line.
bool runs(const std::string& word) {
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const auto text = runtime::read_file(entry.path() / "cmdline", 1 << 16).value_or("");
    if (text.find(word) != std::string::npos) return true;
  }
  return false;
}

void output_and_ends_come_back() {
  const Bench bench;
  const auto done = bench.sh("echo out; echo err >&2; exit 3");
  check_equal(done.output, "out\nerr\n");
  check_equal(done.status.str(), "exit code 3");
  check_equal(bench.sh("kill -SEGV $$").status.str(), "killed by SIGSEGV");
  check_equal(bench.sh("echo made > file; cat $INPUTS/scene").output, "a scene");
  check_equal(runtime::read_file(bench.work / "file", 100).value_or(""), "made\n");
}

void a_program_that_is_not_there_is_named() {
  const Bench bench;
  runtime::CaptureOptions options;
  options.launcher = bench.cage.get();
  const auto missing = runtime::run_capture({"no-such-program-anywhere"}, options);
  check(!missing && missing.error().code == Code::not_found);
  // There, but not in there.
  const auto program = bench.root / "program";
  fs::copy_file("/bin/true", program);
  const auto hidden = runtime::run_capture({program.native()}, options);
  check(!hidden && hidden.error().code == Code::not_found);
  check_contains(hidden.error().message, "[cage] read_only");
  options.cwd = "/nowhere";
  const auto lost = runtime::run_capture({"true"}, options);
  check(!lost);
  check_contains(lost.error().message, "/nowhere");
}

void the_key_is_not_in_sight() {
  const Bench bench;
  check_equal(bench.sh("cat $KEY 2>/dev/null; ls -A $(dirname $KEY)").output, "scratch\n");
  check_equal(
      bench.sh("cat /proc/1/environ /proc/1/root$KEY /proc/1/fd/3 2>/dev/null; readlink /proc/1/fd/3").output,
      "");
  // Other processes of the box are not there either.
  check_equal(bench.sh("ls /proc | grep -c '^[0-9]*$'").status.code, 0);
  check(std::stoi(bench.sh("ls /proc | grep -c '^[0-9]*$'").output) < 8);
  // A cage whose owner lets it read what the data folder lies in.
  const Bench wide([](Plan& plan) { plan.read_only = {plan.data.parent_path()}; });
  check_equal(wide.sh("cat $KEY 2>/dev/null; ls -A $(dirname $KEY)").output, "scratch\n");
  check_equal(wide.sh("echo x > $WORK/x && cat $WORK/x").output, "x\n");
}

void nothing_but_its_work_and_tmp_can_be_written_to() {
  const Bench bench;
  const auto done = bench.sh(
      "for at in / /usr /etc /dev /usr/bin /proc $INPUTS /sys; do echo x 2>/dev/null > $at/x && echo $at; "
      "done; chmod u+w $INPUTS/scene 2>/dev/null; echo x 2>/dev/null >> $INPUTS/scene && echo inputs;"
      "for at in $WORK /tmp /dev/shm $HOME; do echo x > $at/x || echo not $at; done");
  check_equal(done.output, "");
  check_equal(runtime::read_file(bench.inputs / "scene", 100).value_or(""), "a scene");
}

void there_is_no_network() {
  const runtime::Fd server(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  check(::bind(server.get(), reinterpret_cast<sockaddr*>(&address), size) == 0 &&
        ::listen(server.get(), 4) == 0);
  check(::getsockname(server.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
  const auto port = std::to_string(ntohs(address.sin_port));
  const Bench bench;
  check(bench.sh("exec 9<>/dev/tcp/127.0.0.1/" + port).status.code != 0);
  check_equal(::poll(nullptr, 0, 0), 0);
  pollfd knocked{server.get(), POLLIN, 0};
  check_equal(::poll(&knocked, 1, 0), 0);
  // A loopback of its own, for programs that talk to themselves.
  check_contains(bench.sh("cat /proc/net/dev").output, "lo:");
  check_equal(bench.sh("grep -c : /proc/net/dev").output, "1\n");
}

void it_has_no_privileges_and_gets_none() {
  const Bench bench;
  const auto status =
      bench.sh("grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status; id -u").output;
  check_contains(status, "CapEff:\t0000000000000000");
  check_contains(status, "CapBnd:\t0000000000000000");
  check_contains(status, "NoNewPrivs:\t1");
  check_contains(status, "Seccomp:\t2");
  check_contains(status, "\n1000\n");
  check(bench.sh("unshare --user true 2>/dev/null").status.code != 0);
  check(bench.sh("mount -t tmpfs none /tmp 2>/dev/null").status.code != 0);
  // The warden is nobody's to end.
  check(bench.sh("kill -KILL 1; kill -TERM 1; echo still here").status.ok());
  check(bench.cage->alive());
}

void what_is_left_behind_is_swept() {
  const Bench bench;
  const auto name = "31415" + std::to_string(::getpid() % 10000);
  check(bench.sh("(setsid bash -c '(exec -c sleep " + name + ") & exit' &); sleep 0.1").status.ok());
  check(runs(name));
  bench.cage->sweep(0);
  check(!runs(name));
  check(bench.sh("true").status.ok());
}

void what_was_kept_goes_on_until_its_level_is_swept() {
  const Bench bench;
  const auto daemon = "27182" + std::to_string(::getpid() % 10000);
  const auto stray = "16180" + std::to_string(::getpid() % 10000);
  runtime::SpawnOptions options;
  options.argv = {"sleep", daemon};
  options.launcher = bench.cage.get();
  options.keeps_group = true;
  auto process = runtime::Process::spawn(options);
  check_ok(process);
  bench.cage->keep(0);
  check(bench.sh("setsid sleep " + stray + " & sleep 0.05").status.ok());
  bench.cage->sweep(1);
  check(!runs(stray));
  check(runs(daemon));
  check(process->running() && !process->wait(0ms));
  bench.cage->sweep(0);
  check(!runs(daemon));
  check_equal(process->wait(10s)->str(), "killed by SIGKILL");
}

void a_cage_takes_everything_along() {
  const auto name = "14142" + std::to_string(::getpid() % 10000);
  {
    const Bench bench;
    check(bench.sh("(setsid setsid sleep " + name + " &); sleep 0.05").status.ok());
    check(runs(name));
  }
  check(!runs(name));
}

void forking_without_end_ends_it() {
  const Bench bench;
  const auto done = bench.sh("f() { f | f & }; f; sleep 600");
  check_equal(done.status.str(), "killed by SIGKILL");
  check_contains(bench.await_trouble(), "more than 200 processes");
  check(bench.sh("echo fine").output == "fine\n");
}

void memory_is_bounded() {
  // One process hits its own limit.
  const Bench bench;
  check(!bench.sh("python3 -c 'x = bytearray(2 << 30)' 2>/dev/null").status.ok());
  // Several together are seen.
  check_equal(bench
                  .sh("for i in 1 2 3; do python3 -c 'import time\nx = b\"1\" * (500 << "
                      "20)\ntime.sleep(600)' & done; wait")
                  .status.str(),
              "killed by SIGKILL");
  check_contains(bench.await_trouble(), "more than 1024 MiB of memory");
}

void memory_without_a_name_counts() {
  const Bench bench;
  const auto done = bench.sh(
      "python3 -c 'import os, time\nfor i in range(40):\n fd = os.memfd_create(\"x\"); os.write(fd, bytes(48 "
      "<< 20))\ntime.sleep(600)'");
  check_equal(done.status.str(), "killed by SIGKILL");
  check_contains(bench.await_trouble(), "MiB of memory");
}

void files_are_bounded() {
  {
    const Bench bench;  // one file
    check(!bench.sh("head -c 100M /dev/zero > big").status.ok());
    check(fs::file_size(bench.work / "big") <= 64U << 20U);
  }
  {
    const Bench bench;  // many, in a folder that nobody may read
    const auto done = bench.sh(
        "mkdir d; cd d; chmod 0300 .; for i in $(seq 60); do head -c 10M /dev/zero > $i; done; sleep 600");
    check_equal(done.status.str(), "killed by SIGKILL");
    check_contains(bench.await_trouble(), "more than 64 MiB into its folders");
  }
  {
    const Bench bench;  // without names
    const auto done = bench.sh(
        "exec 11>a 12>b 13>c; rm a b c; for fd in 11 12 13; do head -c 40M /dev/zero >&$fd; done; sleep 600");
    check_equal(done.status.str(), "killed by SIGKILL");
    check_contains(bench.await_trouble(), "more than 64 MiB into its folders");
  }
}

void tmp_is_bounded_and_its_own() {
  const Bench bench;
  check_contains(bench.sh("df --output=size -BM /tmp | tail -1").output, "1024M");
  check_equal(bench.sh("ls -A /tmp/home; stat -c %u /tmp; [ -e /tmp/.X11-unix ] && echo there").output,
              "1000\n");
}

void a_kernel_that_refuses_is_explained() {
  Plan plan;
  plan.bwrap = "/bin/false";
  plan.warden = "/bin/true";
  const auto refused = Cage::open(plan);
  check(!refused && refused.error().code == Code::denied);
  check_contains(refused.error().message, "exit code 1");
  plan.bwrap = "/nowhere/bwrap";
  const auto missing = Cage::open(plan);
  check(!missing && missing.error().code == Code::not_found);
  check_contains(missing.error().message, "apt-get install bubblewrap");
}

void a_service_may_make_it() {
  // As systemd would: a connection, a kiln-cage --enter.
  auto pattern = (fs::temp_directory_path() / "kiln-service-XXXXXX").native();
  check(::mkdtemp(pattern.data()) != nullptr);
  const auto socket = fs::path(pattern) / "s";
  const auto none = [&](Plan& plan) { plan.service = socket; };
  Plan plan;
  none(plan);
  const auto missing = Cage::open(plan);
  check(!missing && missing.error().code == Code::unavailable);
  check_contains(missing.error().message, "systemctl enable --now kiln-cage.socket");
  runtime::SpawnOptions options;
  options.argv = {"systemd-socket-activate", "--accept", "--inetd", "-E", "PATH", "-l", socket.native(),
                  find_warden()->native(),   "--enter"};
  auto service = runtime::Process::spawn(options);
  check_ok(service);
  const auto until = std::chrono::steady_clock::now() + 60s;
  while (!fs::exists(socket)) {
    check(std::chrono::steady_clock::now() < until);
    ::poll(nullptr, 0, 5);
  }
  {
    const Bench bench(none);
    check_equal(bench.sh("cat $KEY 2>/dev/null; echo in; exit 3").output, "in\n");
    check_equal(bench.sh("f() { f | f & }; f; sleep 600").status.str(), "killed by SIGKILL");
    check_contains(bench.await_trouble(), "more than 200 processes");
  }
  const auto name = "22360" + std::to_string(::getpid() % 10000);
  {
    const Bench bench(none);
    check(bench.sh("(setsid setsid sleep " + name + " &); sleep 0.05").status.ok());
    check(runs(name));
  }
  check(!runs(name));
  service->kill();
  fs::remove_all(pattern);
}

void it_says_whether_cages_work_here() {
  auto pattern = (fs::temp_directory_path() / "kiln-try-XXXXXX").native();
  check(::mkdtemp(pattern.data()) != nullptr);
  check_ok(try_out(pattern, {}));
  check(fs::is_empty(pattern));
  fs::remove(pattern);
}

// Where the cage has folders of its own in the place of the box's, the agent's are found all the same.
void a_data_folder_may_lie_below_any_tmp() {
  for (const auto* where : {"/tmp", "/var/tmp"}) {
    const Bench bench({}, where);
    check_equal(bench.sh("cat $INPUTS/scene; echo made > file").output, "a scene");
    check_equal(runtime::read_file(bench.work / "file", 100).value_or(""), "made\n");
    check_equal(bench.sh("cat $KEY").status.str(), "exit code 1");
  }
}

}  // namespace

int main() {
  return kiln::test::run(
      "cage",
      {
          {"output and ends come back", &output_and_ends_come_back},
          {"a program that is not there is named", &a_program_that_is_not_there_is_named},
          {"the key is not in sight", &the_key_is_not_in_sight},
          {"nothing but its work and tmp can be written to", &nothing_but_its_work_and_tmp_can_be_written_to},
          {"there is no network", &there_is_no_network},
          {"it has no privileges and gets none", &it_has_no_privileges_and_gets_none},
          {"what is left behind is swept", &what_is_left_behind_is_swept},
          {"what was kept goes on until its level is swept", &what_was_kept_goes_on_until_its_level_is_swept},
          {"a cage takes everything along", &a_cage_takes_everything_along},
          {"forking without end ends it", &forking_without_end_ends_it},
          {"memory is bounded", &memory_is_bounded},
          {"memory without a name counts", &memory_without_a_name_counts},
          {"files are bounded", &files_are_bounded},
          {"tmp is bounded and its own", &tmp_is_bounded_and_its_own},
          {"a data folder may lie below any tmp", &a_data_folder_may_lie_below_any_tmp},
          {"a kernel that refuses is explained", &a_kernel_that_refuses_is_explained},
          {"a service may make it", &a_service_may_make_it},
          {"it says whether cages work here", &it_says_whether_cages_work_here},
      });
}
