#include "runtime/cpu/CpuFeatures.h"

#include <sched.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "absl/strings/str_cat.h"

namespace dejavu {
namespace {

#if defined(__x86_64__)

enum Register : uint8_t { kEax, kEbx, kEcx, kEdx };

// One CPUID bit and the lowest psABI level that needs it. See the x86-64 psABI, section "Micro-Architecture Levels".
struct FeatureBit {
  uint32_t leaf;
  Register reg;
  int bit;
  int level;
};

constexpr std::array<FeatureBit, 22> kFeatures = {{
    {1, kEcx, 0, 2},            // SSE3
    {1, kEcx, 9, 2},            // SSSE3
    {1, kEcx, 13, 2},           // CMPXCHG16B
    {1, kEcx, 19, 2},           // SSE4.1
    {1, kEcx, 20, 2},           // SSE4.2
    {1, kEcx, 23, 2},           // POPCNT
    {0x80000001U, kEcx, 0, 2},  // LAHF
    {1, kEcx, 12, 3},           // FMA
    {1, kEcx, 22, 3},           // MOVBE
    {1, kEcx, 27, 3},           // OSXSAVE
    {1, kEcx, 28, 3},           // AVX
    {1, kEcx, 29, 3},           // F16C
    {7, kEbx, 3, 3},            // BMI1
    {7, kEbx, 5, 3},            // AVX2
    {7, kEbx, 8, 3},            // BMI2
    {0x80000001U, kEcx, 5, 3},  // LZCNT
    {7, kEbx, 16, 4},           // AVX512F
    {7, kEbx, 17, 4},           // AVX512DQ
    {7, kEbx, 28, 4},           // AVX512CD
    {7, kEbx, 30, 4},           // AVX512BW
    {7, kEbx, 31, 4},           // AVX512VL
    {1, kEcx, 26, 3},           // XSAVE
}};

// Which registers the operating system saves (XCR0): AVX needs bits 1 and 2, AVX-512 also 5 to 7.
constexpr uint32_t kAvxState = 0x06;
constexpr uint32_t kAvx512State = 0xE6;

bool Has(const FeatureBit& feature) {
  std::array<unsigned, 4> regs = {};
  if (__get_cpuid_count(feature.leaf, 0, &regs[kEax], &regs[kEbx], &regs[kEcx], &regs[kEdx]) == 0) {
    return false;
  }
  return ((regs[feature.reg] >> static_cast<unsigned>(feature.bit)) & 1U) != 0;
}

uint32_t SavedState() {
  uint32_t low = 0;
  uint32_t high = 0;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

int Level() {
  int level = 4;
  for (const FeatureBit& feature : kFeatures) {
    if (!Has(feature)) {
      level = std::min(level, feature.level - 1);
    }
  }
  if (level >= 3) {
    const uint32_t state = SavedState();
    level = (state & kAvx512State) == kAvx512State ? level : (state & kAvxState) == kAvxState ? 3 : 2;
  }
  return level;
}

#endif

std::string ReadLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// CPUs that the quota of a container's control group allows, or a large number where there is none.
int QuotaCores() {
  std::istringstream line(ReadLine("/sys/fs/cgroup/cpu.max"));
  double quota = 0;
  double period = 0;
  if (!(line >> quota >> period) || quota <= 0 || period <= 0) {
    return CPU_SETSIZE;
  }
  return std::max(1, static_cast<int>(std::ceil(quota / period)));
}

}  // namespace

std::vector<std::string> SupportedIsas() {
#if defined(__x86_64__)
  std::vector<std::string> isas;
  for (int level = Level(); level >= 2; --level) {
    isas.push_back(absl::StrCat("x86-64-v", level));
  }
  isas.emplace_back("x86-64");
  return isas;
#elif defined(__aarch64__)
  return {"aarch64"};
#else
  return {};
#endif
}

bool HasLevel3() {
#if defined(__x86_64__)
  static const bool kHas = Level() >= 3;
  return kHas;
#else
  return false;
#endif
}

int AvailableCores() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  if (sched_getaffinity(0, sizeof(mask), &mask) != 0) {
    return std::max(1, std::min(static_cast<int>(std::thread::hardware_concurrency()), QuotaCores()));
  }
  std::set<std::string> cores;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &mask)) {
      const std::string siblings =
          ReadLine(absl::StrCat("/sys/devices/system/cpu/cpu", cpu, "/topology/thread_siblings_list"));
      cores.insert(siblings.empty() ? absl::StrCat("cpu", cpu) : siblings);
    }
  }
  return std::max(1, std::min(static_cast<int>(cores.size()), QuotaCores()));
}

std::string CpuName() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) {
      return line.substr(colon + 2);
    }
  }
  return "CPU";
}

}  // namespace dejavu
