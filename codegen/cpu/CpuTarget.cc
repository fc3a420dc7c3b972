#include "codegen/cpu/CpuTarget.h"

#include <array>
#include <vector>

#include "llvm/ADT/StringMap.h"
#include "llvm/TargetParser/Host.h"
#include "llvm/TargetParser/Triple.h"

namespace dejavu {
namespace {

constexpr std::string_view kX86Triple = "x86_64-unknown-linux-gnu";

constexpr std::array<CpuTarget, 4> kTargets = {
    {{"x86-64-v2", kX86Triple, "x86-64-v2", "elf_x86_64", 4, 16, true, false},
     {"x86-64-v3", kX86Triple, "x86-64-v3", "elf_x86_64", 8, 16, true, true},
     {"x86-64-v4", kX86Triple, "x86-64-v4", "elf_x86_64", 16, 32, true, true},
     {"aarch64", "aarch64-unknown-linux-gnu", "generic", "aarch64elf", 4, 32, false, true}}};

// What each psABI level adds, in LLVM's names.
const std::vector<std::vector<llvm::StringRef>>& LevelFeatures() {
  static const std::vector<std::vector<llvm::StringRef>> levels = {
      {"cx16", "sahf", "popcnt", "sse3", "ssse3", "sse4.1", "sse4.2"},
      {"avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe", "xsave"},
      {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}};
  return levels;
}

// The psABI level of this machine, 1 for the baseline.
int HostX86Level() {
  const llvm::StringMap<bool> features = llvm::sys::getHostCPUFeatures();
  int level = 1;
  for (const std::vector<llvm::StringRef>& added : LevelFeatures()) {
    for (const llvm::StringRef feature : added) {
      if (!features.lookup(feature)) {
        return level;
      }
    }
    ++level;
  }
  return level;
}

}  // namespace

absl::Span<const CpuTarget> CpuTargets() { return kTargets; }

absl::StatusOr<const CpuTarget*> FindCpuTarget(std::string_view name) {
  std::string known;
  for (const CpuTarget& target : kTargets) {
    if (target.name == name) {
      return &target;
    }
    absl::StrAppend(&known, known.empty() ? "" : ", ", std::string(target.name));
  }
  return UsageError("unknown instruction set '", std::string(name), "'; known: ", known);
}

bool HostRuns(const CpuTarget& target) {
  const llvm::Triple host(llvm::sys::getProcessTriple());
  if (host.getArch() != llvm::Triple(llvm::StringRef(target.triple)).getArch()) {
    return false;
  }
  if (!target.x86) {
    return true;
  }
  static const int level = HostX86Level();
  return level >= target.name.back() - '0';
}

absl::StatusOr<const CpuTarget*> HostCpuTarget() {
  for (auto target = kTargets.rbegin(); target != kTargets.rend(); ++target) {
    if (HostRuns(*target)) {
      return &*target;
    }
  }
  return UserError("this CPU is neither AArch64 nor an x86-64 of level 2 (SSE4.2) or later; name an instruction set");
}

}  // namespace dejavu
