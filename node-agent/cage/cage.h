// A place that programs can be let loose in: no network, no way to the agent's data, a system that cannot be
// written to, bounds on memory, processes and files. Made with bubblewrap; inside, kiln-cage starts and
// watches them.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cage/plan.h"
#include "runtime/fd.h"
#include "runtime/process.h"

namespace kiln::cage {

class Cage : public runtime::Launcher {
 public:
  // Errors: not_found when bwrap or kiln-cage is not installed; denied when the kernel refuses, with bwrap's
  // words; unavailable when the service that should make it does not answer.
  static Result<std::unique_ptr<Cage>> open(const Plan& plan);
  ~Cage() override;  // nothing that was started in it is left afterwards
  Cage(const Cage&) = delete;

  Result<runtime::Launched> launch(const runtime::SpawnOptions& options, const std::filesystem::path& program,
                                   const std::vector<std::string>& environment) override;
  [[nodiscard]] bool passes_on(std::string_view variable) const override;
  void keep(std::size_t level) override;
  void sweep(std::size_t level) override;
  std::string trouble() override;
  [[nodiscard]] bool alive() const;

 private:
  Cage() = default;
  void order(std::uint32_t what, std::size_t level);
  Status greet(const std::filesystem::path& bwrap);

  runtime::Process process_;
  runtime::Fd control_;
  runtime::Fd trouble_;
  runtime::Fd errors_;
  runtime::Fd warden_;  // its pidfd: readable when everything in the cage is gone
  std::string told_;
};

// This box's, for Plan::layout.
Layout look_at_layout();
// The program that keeps cages, beside this one. Errors: not_found.
Result<std::filesystem::path> find_warden();
// The files of Plan::accounts. Errors: io.
Status write_accounts(const std::filesystem::path& folder);

// The socket of the service that makes cages where the agent itself may not: under systemd. "" elsewhere.
std::filesystem::path find_service();

// Whether cages work here: makes one, in a folder that it makes below `scratch`, and runs a program in it.
// Errors: those of Cage::open, saying what would help.
Status try_out(const std::filesystem::path& scratch, const std::filesystem::path& service);

}  // namespace kiln::cage
