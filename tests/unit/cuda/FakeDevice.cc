#include "tests/unit/cuda/FakeDevice.h"

#include <algorithm>
#include <cstring>

namespace dejavu::cuda::fake {
namespace {

constexpr int64_t kKernelNanoseconds = 10000;
constexpr int64_t kCopyNanoseconds = 1000;

bool Contains(const std::map<std::byte*, size_t>& blocks, const void* start, size_t bytes) {
  auto* address = static_cast<std::byte*>(const_cast<void*>(start));
  auto next = blocks.upper_bound(address);
  if (next == blocks.begin()) {
    return false;
  }
  --next;
  return address + bytes <= next->first + next->second;
}

}  // namespace

Device& device() {
  static auto* instance = new Device;
  return *instance;
}

int& ContextDepth() {
  thread_local int depth = 0;
  return depth;
}

void Violate(const std::string& what) { device().state.violations.push_back(what); }

Result Enter(const char* function) {
  State& state = device().state;
  ++state.calls;
  const int64_t count = ++state.calls_of[function];
  const int64_t matching = state.fail_function.empty() ? state.calls : count;
  const bool matches = state.fail_function.empty() || state.fail_function == function;
  const bool hit = state.fail_at > 0 && matches && matching == state.fail_at;
  if (hit) {
    state.failed = function;
    device().fault = state.lost ? state.fail_result : device().fault;
  }
  return hit ? state.fail_result : device().fault;
}

Result EnterInContext(const char* function) {
  if (ContextDepth() == 0) {
    Violate(std::string(function) + " without a current context");
  }
  return Enter(function);
}

void CheckDevice(DevicePointer address, size_t bytes, const char* function) {
  if (!Contains(device().memory, Pointer(address), bytes)) {
    Violate(std::string(function) + ": " + std::to_string(bytes) + " bytes are outside the device's memory");
  }
}

void CheckPinned(const void* address, size_t bytes, const char* function) {
  if (!Contains(device().pinned, address, bytes)) {
    Violate(std::string(function) + ": " + std::to_string(bytes) + " bytes are not pinned");
  }
}

void Drain(StreamTag& stream) {
  std::vector<std::function<void()>> pending;
  pending.swap(stream.pending);
  for (const auto& work : pending) {
    if (device().fault == 0) {
      work();
    }
  }
}

void CopyBytes(void* to, const void* from, size_t bytes) {
  std::memcpy(to, from, bytes);
  device().clock += kCopyNanoseconds;
}

bool ReadParams(const FunctionTag& function, void** extra, std::vector<void*>& params) {
  const void* buffer = nullptr;
  size_t bytes = 0;
  for (; extra != nullptr && *extra != nullptr; extra += 2) {
    if (reinterpret_cast<uintptr_t>(*extra) == kLaunchParamBuffer) {
      buffer = extra[1];
    } else if (reinterpret_cast<uintptr_t>(*extra) == kLaunchParamBufferSize) {
      bytes = *static_cast<size_t*>(extra[1]);
    }
  }
  if (buffer == nullptr || bytes != function.params * sizeof(void*)) {
    return false;
  }
  params.resize(function.params);
  std::memcpy(params.data(), buffer, bytes);
  return true;
}

void CallKernel(const FunctionTag& function, const std::vector<void*>& p) {
  State& state = device().state;
  if (++state.kernels == state.fault_at) {
    device().fault = state.fault_result;
    return;
  }
  using V = void*;
  void* code = function.code;
  switch (p.size()) {
    case 1:
      reinterpret_cast<void (*)(V)>(code)(p[0]);
      break;
    case 3:
      reinterpret_cast<void (*)(V, V, V)>(code)(p[0], p[1], p[2]);
      break;
    case 4:
      reinterpret_cast<void (*)(V, V, V, V)>(code)(p[0], p[1], p[2], p[3]);
      break;
    case 5:
      reinterpret_cast<void (*)(V, V, V, V, V)>(code)(p[0], p[1], p[2], p[3], p[4]);
      break;
    case 6:
      reinterpret_cast<void (*)(V, V, V, V, V, V)>(code)(p[0], p[1], p[2], p[3], p[4], p[5]);
      break;
    case 7:
      reinterpret_cast<void (*)(V, V, V, V, V, V, V)>(code)(p[0], p[1], p[2], p[3], p[4], p[5], p[6]);
      break;
    default:
      Violate(function.symbol + ": the fake has no call with " + std::to_string(p.size()) + " parameters");
  }
  device().clock += kKernelNanoseconds;
}

void RunGraph(const GraphTag& graph) {
  std::vector<NodeTag*> waiting;
  for (const auto& node : graph.nodes) {
    waiting.push_back(node.get());
  }
  while (!waiting.empty()) {
    std::vector<size_t> ready;
    for (size_t i = 0; i < waiting.size(); ++i) {
      const auto is_waiting = [&](const auto& edge) {
        return std::find(waiting.begin(), waiting.end(), edge.first) != waiting.end();
      };
      if (std::none_of(waiting[i]->before.begin(), waiting[i]->before.end(), is_waiting)) {
        ready.push_back(i);
      }
    }
    const size_t next = ready[device().random() % ready.size()];
    NodeTag* node = waiting[next];
    waiting.erase(waiting.begin() + static_cast<std::ptrdiff_t>(next));
    if (device().fault == 0) {
      node->run();
    }
  }
}

Result AddNode(GraphTag* graph, NodeInfo info, std::function<void()> run, NodeTag** node) {
  graph->nodes.push_back(std::make_unique<NodeTag>());
  *node = graph->nodes.back().get();
  (*node)->info = std::move(info);
  (*node)->run = std::move(run);
  return kSuccess;
}

GraphInfo Describe(const GraphTag& graph) {
  GraphInfo info;
  std::map<const NodeTag*, size_t> numbers;
  for (const auto& node : graph.nodes) {
    numbers[node.get()] = info.nodes.size();
    info.nodes.push_back(node->info);
  }
  for (const auto& node : graph.nodes) {
    for (const auto& [before, programmatic] : node->before) {
      info.edges.push_back({numbers.at(before), numbers.at(node.get()), programmatic});
      const bool kernels = before->info.kind == NodeKind::kKernel && node->info.kind == NodeKind::kKernel;
      if (programmatic && !kernels) {
        Violate("a programmatic edge at a node that is no kernel");
      }
    }
  }
  return info;
}

}  // namespace dejavu::cuda::fake
