// A throw-away /sys, /proc or /etc.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace kiln::test {

class Tree {
 public:
  Tree() {
    std::string name = (std::filesystem::temp_directory_path() / "kiln-tree-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) ::abort();
    root_ = name;
  }
  ~Tree() {
    std::error_code error;
    std::filesystem::remove_all(root_, error);
  }
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;

  [[nodiscard]] const std::filesystem::path& root() const { return root_; }
  void write(const std::string& path, std::string_view text) const {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path, std::ios::binary) << text;
  }
  void link(const std::string& path, const std::string& target) const {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::filesystem::create_symlink(target, root_ / path);
  }

  // A PCI device under devices/, listed on the bus and, with `card` >= 0, as a DRM card. Returns its folder.
  std::string gpu(const std::string& pci, std::string_view vendor, std::string_view device,
                  const std::string& driver, int card) const {
    const std::string folder = "devices/pci0000:00/" + pci;
    write(folder + "/vendor", std::string(vendor) + "\n");
    write(folder + "/device", std::string(device) + "\n");
    write(folder + "/class", "0x030000\n");
    if (!driver.empty()) link(folder + "/driver", "../../../bus/pci/drivers/" + driver);
    link("bus/pci/devices/" + pci, "../../../" + folder);
    if (card >= 0) {
      const std::string name = "card" + std::to_string(card);
      link("class/drm/" + name + "/device", "../../../" + folder);
      write("class/drm/" + name + "-HDMI-A-1/status", "disconnected\n");
    }
    return folder;
  }

 private:
  std::filesystem::path root_;
};

}  // namespace kiln::test
