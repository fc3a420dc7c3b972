// What the processor that we run on can do, and how many of its cores are ours.
#ifndef DEJAVU_RUNTIME_CPU_CPUFEATURES_H_
#define DEJAVU_RUNTIME_CPU_CPUFEATURES_H_

#include <string>
#include <vector>

namespace dejavu {

/// The instruction sets of code files that this processor and its operating system run, best first: of x86-64-v4,
/// x86-64-v3, x86-64-v2 and x86-64 (the psABI levels), or aarch64.
[[nodiscard]] std::vector<std::string> SupportedIsas();

/// Whether this processor has all instructions of x86-64-v3, among them AVX2 and F16C. False on other architectures.
[[nodiscard]] bool HasLevel3();

/// Physical cores that this process may use: those in its affinity mask, hyperthreads of one core counted once, and no
/// more than the container's CPU quota. At least 1.
[[nodiscard]] int AvailableCores();

/// The processor's name for people, such as "AMD EPYC 9555"; never empty.
[[nodiscard]] std::string CpuName();

}  // namespace dejavu

#endif  // DEJAVU_RUNTIME_CPU_CPUFEATURES_H_
