// The device behind the fake driver: its memory, its streams and graphs, and what it shall do wrong.
#ifndef DEJAVU_TESTS_UNIT_CUDA_FAKEDEVICE_H_
#define DEJAVU_TESTS_UNIT_CUDA_FAKEDEVICE_H_

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/cuda/FakeDriver.h"

namespace dejavu::cuda {

struct ContextTag {};

struct FunctionTag {
  std::string symbol;
  void* code = nullptr;
  size_t params = 0;        // pointers
  size_t struct_bytes = 0;  // of its only parameter, where that is a struct
};

struct ModuleTag {
  int file = -1;
  void* handle = nullptr;
  std::map<std::string, std::unique_ptr<FunctionTag>> functions;
};

struct EventTag {
  bool recorded = false;
  int64_t time = 0;  // of the fake's clock, in nanoseconds
};

struct StreamTag {
  std::vector<std::function<void()>> pending;
};

struct NodeTag {
  fake::NodeInfo info;
  std::function<void()> run;
  std::vector<std::pair<NodeTag*, bool>> before;  // with whether the edge is programmatic
};

struct GraphTag {
  std::vector<std::unique_ptr<NodeTag>> nodes;
};

struct GraphExecTag {
  GraphTag graph;
  size_t number = 0;
};

namespace fake {

struct Device {
  std::recursive_mutex mutex;
  State state;
  std::map<std::byte*, size_t> memory;  // allocations on the "device"
  std::map<std::byte*, size_t> pinned;
  size_t used_bytes = 0;
  ContextTag context;
  int64_t clock = 0;
  Result fault = 0;
  std::vector<StreamTag*> streams;
  std::mt19937 random{7};
};

[[nodiscard]] Device& device();

/// How many contexts the calling thread has pushed.
[[nodiscard]] int& ContextDepth();

/// Notes that a rule of the driver was broken.
void Violate(const std::string& what);

/// Counts a call; what it shall fail with, or 0.
[[nodiscard]] Result Enter(const char* function);
/// The same for calls that need a current context.
[[nodiscard]] Result EnterInContext(const char* function);

[[nodiscard]] inline void* Pointer(DevicePointer address) { return reinterpret_cast<void*>(address); }
/// A violation unless the bytes are in one allocation of that kind.
void CheckDevice(DevicePointer address, size_t bytes, const char* function);
void CheckPinned(const void* address, size_t bytes, const char* function);

/// Runs what is pending. Work waits until somebody waits for it: a host that goes on too early sees what a slow device
/// shows.
void Drain(StreamTag& stream);
void CopyBytes(void* to, const void* from, size_t bytes);
/// The parameters of KernelNodeParams::extra; false where they aren't what the kernel takes.
[[nodiscard]] bool ReadParams(const FunctionTag& function, void** extra, std::vector<void*>& params);
/// A kernel that takes a struct gets its address.
void CallKernel(const FunctionTag& function, const std::vector<void*>& params);

/// The nodes in an order that keeps the edges and is otherwise left to chance.
void RunGraph(const GraphTag& graph);
Result AddNode(GraphTag* graph, NodeInfo info, std::function<void()> run, NodeTag** node);
[[nodiscard]] GraphInfo Describe(const GraphTag& graph);

/// Counts an object as gone.
template <typename T>
void Release(const char* kind, T* object) {
  --device().state.live[kind];
  delete object;
}

inline constexpr Result kInvalidValue = 1;
inline constexpr Result kInvalidHandle = 400;

}  // namespace fake
}  // namespace dejavu::cuda

// How every call of the driver begins. Destroying works even where the call reports a failure: what lives afterwards is
// what the caller forgot.
#define FAKE_ENTER(enter, function)                                 \
  const std::lock_guard<std::recursive_mutex> lock(device().mutex); \
  const Result entered = enter(function)
#define FAKE_CALL(function)             \
  FAKE_ENTER(EnterInContext, function); \
  if (entered != kSuccess) return entered

#endif  // DEJAVU_TESTS_UNIT_CUDA_FAKEDEVICE_H_
