// The CPU target's instruction sets: those of this machine natively, and some under emulation of processors that have
// nothing newer.
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "codegen/cpu/CpuBackend.h"
#include "tests/conformance/Emulate.h"
#include "tests/conformance/Execute.h"
#include "tests/conformance/TestDevice.h"

namespace dejavu::testing {
namespace {

/// A team and the end of the buffers that touches an unreadable page.
struct Team {
  int threads;
  Placement placement;
};

std::vector<Variant> Variants(const std::vector<Team>& teams) {
  std::vector<Variant> variants;
  for (const Team& team : teams) {
    variants.push_back({absl::StrCat(team.threads, " threads, guarded ",
                                     team.placement == Placement::kEnd ? "ends" : "starts", " of buffers")});
  }
  return variants;
}

const std::vector<Team>& NativeTeams() {
  static const std::vector<Team> teams = {{1, Placement::kEnd},   {1, Placement::kStart}, {2, Placement::kEnd},
                                          {2, Placement::kStart}, {3, Placement::kEnd},   {3, Placement::kStart},
                                          {7, Placement::kEnd},   {7, Placement::kStart}};
  return teams;
}

// Emulation is slow.
const std::vector<Team>& EmulatedTeams() {
  static const std::vector<Team> teams = {{1, Placement::kEnd}, {3, Placement::kStart}};
  return teams;
}

class NativeKernel final : public TestKernel {
 public:
  NativeKernel(const std::vector<std::byte>& object, std::string symbol)
      : kernels_(object), symbol_(std::move(symbol)) {}

  [[nodiscard]] std::vector<Variant> variants() const override { return Variants(NativeTeams()); }

  [[nodiscard]] absl::StatusOr<std::vector<Argument>> Call(const Problem& problem, size_t variant) const override {
    const LoadedKernels::Function kernel = kernels_.Find(symbol_);
    if (kernel == nullptr) {
      return BugError("the object does not define ", symbol_);
    }
    const Team& team = NativeTeams()[variant];
    return testing::Call(kernel, problem, team.threads, team.placement);
  }

 private:
  LoadedKernels kernels_;
  std::string symbol_;
};

class EmulatedKernel final : public TestKernel {
 public:
  EmulatedKernel(const Emulator& emulator, const std::vector<std::byte>& object, std::string symbol)
      : kernels_(emulator, object), symbol_(std::move(symbol)) {}

  [[nodiscard]] std::vector<Variant> variants() const override { return Variants(EmulatedTeams()); }

  [[nodiscard]] absl::StatusOr<std::vector<Argument>> Call(const Problem& problem, size_t variant) const override {
    const Team& team = EmulatedTeams()[variant];
    return kernels_.Call(symbol_, problem, team.threads, team.placement);
  }

 private:
  EmulatedKernels kernels_;
  std::string symbol_;
};

class CpuTestDevice final : public TestDevice {
 public:
  /// Natively if `emulator` is null.
  CpuTestDevice(const CpuTarget& isa, const Emulator* emulator) : isa_(isa), emulator_(emulator) {}

  [[nodiscard]] std::string name() const override {
    return absl::StrCat(absl::StrReplaceAll(std::string(isa_.name), {{"-", "_"}}),
                        emulator_ == nullptr ? "" : "_emulated");
  }

  [[nodiscard]] std::string WhyNot() const override {
    if (emulator_ != nullptr) {
      return emulator_->missing;
    }
    return HostRuns(isa_) ? "" : absl::StrCat("this CPU does not run ", name());
  }

  [[nodiscard]] bool fast() const override { return emulator_ == nullptr; }
  [[nodiscard]] const KernelTable& kernels() const override { return CpuKernels(); }

  [[nodiscard]] absl::StatusOr<std::unique_ptr<TestKernel>> Compile(const KernelSpec& spec) const override {
    ASSIGN_OR_RETURN(const std::vector<std::byte> object, CompileCpu({spec}, isa_));
    ASSIGN_OR_RETURN(std::string symbol, CpuKernels().Symbol(spec));
    if (emulator_ == nullptr) {
      return std::make_unique<NativeKernel>(object, std::move(symbol));
    }
    return std::make_unique<EmulatedKernel>(*emulator_, object, std::move(symbol));
  }

  [[nodiscard]] double ExpError(double /*x*/) const override { return 2e-7; }

 private:
  const CpuTarget& isa_;
  const Emulator* emulator_;
};

}  // namespace

const std::vector<const TestDevice*>& TestDevices() {
  static const std::vector<CpuTestDevice> devices = [] {
    std::vector<CpuTestDevice> all;
    for (const CpuTarget& isa : CpuTargets()) {
      if (isa.x86 || HostRuns(isa)) {
        all.emplace_back(isa, nullptr);
      }
      if (const Emulator* emulator = FindEmulator(isa.name); emulator != nullptr) {
        all.emplace_back(isa, emulator);
      }
    }
    return all;
  }();
  static const std::vector<const TestDevice*> pointers = [] {
    std::vector<const TestDevice*> all;
    for (const CpuTestDevice& device : devices) {
      all.push_back(&device);
    }
    return all;
  }();
  return pointers;
}

}  // namespace dejavu::testing
