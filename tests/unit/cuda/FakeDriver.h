// A CUDA driver without a GPU, for tests: a libcuda.so.1 whose device is the host's memory, whose code files are shared
// objects of host functions, and which can be told to fail.
#ifndef DEJAVU_TESTS_UNIT_CUDA_FAKEDRIVER_H_
#define DEJAVU_TESTS_UNIT_CUDA_FAKEDRIVER_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "runtime/cuda/DriverTypes.h"

namespace dejavu::cuda::fake {

/// Kinds of nodes in a graph, as the fake keeps them.
enum class NodeKind { kCopy, kKernel, kEvent };

struct NodeInfo {
  NodeKind kind = NodeKind::kCopy;
  std::string symbol;  // of a kernel
  uint32_t blocks = 0;
  uint32_t threads = 0;
  uint32_t shared_bytes = 0;
};

struct EdgeInfo {
  size_t from = 0;
  size_t to = 0;
  bool programmatic = false;
};

/// An instantiated graph.
struct GraphInfo {
  std::vector<NodeInfo> nodes;
  std::vector<EdgeInfo> edges;
  int64_t launches = 0;
};

/// What the fake pretends to be, what it shall do wrong, and what it saw.
struct State {
  // The machine.
  int32_t version = 13000;
  int32_t devices = 1;
  int32_t major = 9;
  int32_t minor = 0;
  int32_t multiprocessors = 3;
  size_t total_bytes = size_t{68} << 20;

  // Failures: call number `fail_at`, from 1, of the function `fail_function` (of any, if that is empty) gives
  // `fail_result`; with `lost`, so does every call after it, as after an error that ends a context.
  std::string fail_function;
  int64_t fail_at = 0;
  Result fail_result = 0;
  bool lost = false;
  // The kernel that runs as number `fault_at`, from 1, faults: the next call that waits fails, and all after it.
  int64_t fault_at = 0;
  Result fault_result = 700;

  // Observations.
  std::string failed;  // the function that was made to fail
  int64_t calls = 0;   // that may fail
  int64_t kernels = 0;
  std::map<std::string, int64_t> calls_of;
  std::map<std::string, int64_t> live;  // objects that were not destroyed, by kind
  std::vector<GraphInfo> graphs;
  std::vector<std::string> violations;  // of the driver's rules
};

}  // namespace dejavu::cuda::fake

extern "C" {
/// The state of the loaded fake.
dejavu::cuda::fake::State* FakeCudaState();
/// A healthy machine again; counts of living objects stay.
void FakeCudaReset();
/// For other fake libraries: `work` runs in the stream's order, unless the device has a fault then.
void FakeCudaEnqueue(dejavu::cuda::StreamHandle stream, void (*work)(void*), void* argument);
/// For them too: a violation unless the bytes are the device's.
void FakeCudaCheck(const void* address, size_t bytes, const char* function);
}

#endif  // DEJAVU_TESTS_UNIT_CUDA_FAKEDRIVER_H_
