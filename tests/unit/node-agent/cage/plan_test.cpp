#include "cage/plan.h"

#include <algorithm>
#include <initializer_list>

#include "check.h"

using namespace kiln::cage;
namespace fs = std::filesystem;

namespace {

Plan plan_of_a_slot() {
  Plan plan;
  plan.bwrap = "/usr/bin/bwrap";
  plan.warden = "/usr/bin/kiln-cage";
  plan.layout = {{"/bin", "usr/bin"}, {"/lib64", ""}};
  plan.bounds = {4096, 300, 10240};
  plan.data = "/var/lib/kiln-agent";
  plan.programs = {"/srv/blender-4.2"};
  plan.read_only = {"/mnt/assets"};
  plan.inputs = {"/var/lib/kiln-agent/scratch/slot-0/trees"};
  plan.work = {"/var/lib/kiln-agent/scratch/slot-0/work"};
  plan.devices = {"/dev/nvidia0"};
  plan.accounts = "/var/lib/kiln-agent/scratch/slot-0/accounts";
  return plan;
}

// Where these words stand one after another; -1: nowhere.
long place_of(const std::vector<std::string>& all, std::initializer_list<std::string> words) {
  const auto found = std::search(all.begin(), all.end(), words.begin(), words.end());
  return found == all.end() ? -1 : found - all.begin();
}

void it_has_namespaces_of_its_own_and_no_capabilities() {
  const auto all = arguments(plan_of_a_slot());
  check_equal(all[0], "/usr/bin/bwrap");
  for (const auto* one : {"--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc",
                          "--new-session", "--die-with-parent", "--as-pid-1"}) {
    check(std::find(all.begin(), all.end(), one) != all.end());
  }
  check(place_of(all, {"--cap-drop", "ALL"}) > 0);
  check(place_of(all, {"--uid", "1000", "--gid", "1000"}) > 0);
  check(std::find(all.begin(), all.end(), "--share-net") == all.end());
}

void the_system_is_read_only_and_the_rest_is_not_there() {
  const auto all = arguments(plan_of_a_slot());
  check(place_of(all, {"--ro-bind", "/usr", "/usr"}) > 0);
  check(place_of(all, {"--symlink", "usr/bin", "/bin"}) > 0);
  check(place_of(all, {"--ro-bind", "/lib64", "/lib64"}) > 0);
  check(place_of(all, {"--remount-ro", "/"}) > 0);
  for (const auto* one :
       {"/etc", "/home", "/root", "/var", "/run", "/", "/etc/kiln", "/var/lib/kiln-agent"}) {
    check_equal(place_of(all, {"--ro-bind", one, one}), -1);
    check_equal(place_of(all, {"--ro-bind-try", one, one}), -1);
    check_equal(place_of(all, {"--bind", one, one}), -1);
  }
  check(place_of(all, {"--ro-bind", "/var/lib/kiln-agent/scratch/slot-0/accounts/passwd", "/etc/passwd"}) >
        0);
}

void only_the_tasks_places_can_be_written_to() {
  const auto all = arguments(plan_of_a_slot());
  const std::string work = "/var/lib/kiln-agent/scratch/slot-0/work";
  check(place_of(all, {"--bind", work, work}) > 0);
  check_equal(std::count(all.begin(), all.end(), "--bind"), 1);
  const std::string trees = "/var/lib/kiln-agent/scratch/slot-0/trees";
  check(place_of(all, {"--ro-bind", trees, trees}) > 0);
  check(place_of(all, {"--ro-bind-try", "/mnt/assets", "/mnt/assets"}) > 0);
  check(place_of(all, {"--ro-bind-try", "/srv/blender-4.2", "/srv/blender-4.2"}) > 0);
}

void the_command_is_the_warden_with_its_bounds() {
  const auto all = arguments(plan_of_a_slot());
  const auto at = place_of(
      all, {"--", "/usr/bin/kiln-cage", "300", "4096", "10240", "/var/lib/kiln-agent/scratch/slot-0/work"});
  check_equal(static_cast<std::size_t>(at) + 6, all.size());
}

void data_below_what_tasks_may_read_is_hidden_again() {
  auto plan = plan_of_a_slot();
  const std::string data = "/var/lib/kiln-agent";
  check_equal(place_of(arguments(plan), {"--tmpfs", data}), -1);
  plan.read_only = {"/var/lib"};
  const auto all = arguments(plan);
  const auto hidden = place_of(all, {"--tmpfs", data});
  check(hidden > place_of(all, {"--ro-bind-try", "/var/lib", "/var/lib"}));
  check(hidden < place_of(all, {"--bind", data + "/scratch/slot-0/work"}));
  plan.read_only = {"/var/lib/kiln"};  // another one
  check_equal(place_of(arguments(plan), {"--tmpfs", data}), -1);
  plan.read_only = {};
  plan.data = "/opt/kiln";
  check(place_of(arguments(plan), {"--tmpfs", "/opt/kiln"}) > 0);
}

void a_slot_without_a_gpu_sees_no_device_and_no_cards() {
  auto plan = plan_of_a_slot();
  auto all = arguments(plan);
  check(place_of(all, {"--dev-bind-try", "/dev/nvidia0", "/dev/nvidia0"}) > 0);
  check(place_of(all, {"--ro-bind-try", "/sys/class/drm", "/sys/class/drm"}) > 0);
  plan.devices = {};
  all = arguments(plan);
  check(std::find(all.begin(), all.end(), "--dev-bind-try") == all.end());
  check_equal(place_of(all, {"--ro-bind-try", "/sys/devices", "/sys/devices"}), -1);
}

void a_gpu_brings_the_nodes_of_its_kind() {
  const auto has = [](const std::vector<fs::path>& all, const char* one) {
    return std::find(all.begin(), all.end(), one) != all.end();
  };
  const auto nvidia = device_nodes({"nvidia", "2", "renderD130", "card2"});
  check(has(nvidia, "/dev/nvidia2") && has(nvidia, "/dev/nvidiactl") && has(nvidia, "/dev/nvidia-uvm"));
  check(!has(nvidia, "/dev/nvidia0") && !has(nvidia, "/dev/kfd"));
  const auto amd = device_nodes({"amd", "", "renderD128", "card0"});
  check(has(amd, "/dev/kfd") && has(amd, "/dev/dri/renderD128") && !has(amd, "/dev/nvidiactl"));
  check_equal(device_nodes({"intel", "", "renderD129", ""}).size(), 1U);
}

void bounds_come_from_the_settings_or_the_box() {
  Settings settings;
  auto bounds = bounds_of(settings, 64'000, 16, 500'000);
  check_equal(bounds.memory_mib, 57'600U);
  check_equal(bounds.processes, 1024U + 256);
  check_equal(bounds.scratch_mib, 100U * 1024);
  // Never more than the disk has.
  check_equal(bounds_of(settings, 64'000, 16, 1'000).scratch_mib, 900U);
  settings.memory_mib = 8'000;
  settings.max_processes = 64;
  settings.scratch_gib = 2;
  bounds = bounds_of(settings, 64'000, 16, 500'000);
  check_equal(bounds.memory_mib, 8'000U);
  check_equal(bounds.processes, 64U);
  check_equal(bounds.scratch_mib, 2'048U);
}

void variables_with_secrets_stay_outside() {
  for (const auto* one : {"PATH", "LANG", "LC_ALL", "CUDA_VISIBLE_DEVICES", "OCIO"}) check(passes_on(one));
  for (const auto* one : {"KILN_TOKEN", "AWS_SECRET_ACCESS_KEY", "HOME", "LD_PRELOAD", "SSH_AUTH_SOCK",
                          "DBUS_SESSION_BUS_ADDRESS", "PYTHONPATH", "CREDENTIALS_DIRECTORY"}) {
    check(!passes_on(one));
  }
}

}  // namespace

int main() {
  return kiln::test::run(
      "plan",
      {
          {"it has namespaces of its own and no capabilities",
           &it_has_namespaces_of_its_own_and_no_capabilities},
          {"the system is read-only and the rest is not there",
           &the_system_is_read_only_and_the_rest_is_not_there},
          {"only the task's places can be written to", &only_the_tasks_places_can_be_written_to},
          {"the command is the warden with its bounds", &the_command_is_the_warden_with_its_bounds},
          {"data below what tasks may read is hidden again", &data_below_what_tasks_may_read_is_hidden_again},
          {"a slot without a GPU sees no device and no cards",
           &a_slot_without_a_gpu_sees_no_device_and_no_cards},
          {"a GPU brings the nodes of its kind", &a_gpu_brings_the_nodes_of_its_kind},
          {"bounds come from the settings or the box", &bounds_come_from_the_settings_or_the_box},
          {"variables with secrets stay outside", &variables_with_secrets_stay_outside},
      });
}
