#include "runtime/cuda/MemoryLayout.h"

#include <algorithm>
#include <cstddef>

#include "ir/base/Phases.h"
#include "ir/base/Status.h"
#include "runtime/cuda/CudaGemm.h"
#include "runtime/cuda/CudaObjects.h"

namespace dejavu::cuda {
namespace {

// Of every buffer: no two share what the device reads at once.
constexpr int64_t kAlignment = 256;
// What the driver takes beside our allocations: graphs, code, and the rounding of allocations.
constexpr int64_t kReserve = int64_t{64} << 20;
// And for the code of the products that cuBLASLt loads.
constexpr int64_t kBlasReserve = int64_t{64} << 20;

static_assert(offsetof(Control, token) == kControlBytes - sizeof(int32_t));

int64_t RoundUp(int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

/// Hands out places one after the other.
class Placer {
 public:
  int64_t Place(int64_t bytes) {
    const int64_t offset = bytes_;
    bytes_ += RoundUp(bytes);
    return offset;
  }
  [[nodiscard]] int64_t bytes() const { return bytes_; }

 private:
  int64_t bytes_ = 0;
};

void AddScratch(const std::map<std::string, LaunchGrid>& grids, int64_t stream, std::map<int64_t, int64_t>& scratch) {
  for (const auto& [isa, grid] : grids) {
    if (grid.scratch > 0) {
      scratch[stream] = std::max({scratch[stream], grid.scratch, kScratchCounterBytes});
    }
  }
}

/// The most that launches and joints of each stream need with any instruction set's code.
void AddScratch(const PlanFunction& function, std::map<int64_t, int64_t>& scratch) {
  for (const Launch& launch : function.launches) {
    AddScratch(launch.grids, launch.stream, scratch);
  }
  for (const Joint& joint : function.joints) {
    AddScratch(joint.grids, StreamOf(joint, function), scratch);
  }
}

/// Places what the products of `prefill` need.
void PlaceProducts(const PlanFunction& prefill, int64_t max_tokens, Placer& placer, SessionLayout& layout) {
  int64_t rounded = 0;
  for (const Launch& launch : prefill.launches) {
    if (launch.gemm.has_value()) {
      rounded = std::max(rounded, RoundedBytes(*launch.gemm, max_tokens));
      layout.workspace_bytes = std::max(layout.workspace_bytes, WorkspaceBytes(*launch.gemm, max_tokens));
    }
  }
  layout.rounded = placer.Place(rounded);
  layout.workspace = placer.Place(layout.workspace_bytes);
}

int64_t Reserve(const SessionLayout& session) { return kReserve + (session.workspace_bytes > 0 ? kBlasReserve : 0); }

/// The weights of layers, which the compiler calls layers.NUMBER.NAME, and all that launches of some layer use: few
/// launches of a dense model say theirs.
std::vector<bool> LayerWeights(const Plan& plan) {
  std::vector<bool> used(plan.weights.size(), false);
  for (size_t i = 0; i < plan.weights.size(); ++i) {
    used[i] = plan.weights[i].starts_with("layers.");
  }
  for (const Launch& launch : plan.FindFunction("decode")->launches) {
    for (const BufferRef& ref : launch.args) {
      if (launch.layer >= 0 && ref.kind == BufferRef::Kind::kWeight) {
        used[static_cast<size_t>(ref.value)] = true;
      }
    }
  }
  return used;
}

}  // namespace

int64_t StreamOf(const Joint& joint, const PlanFunction& function) {
  int64_t stream = function.launches[static_cast<size_t>(joint.launches.front())].stream;
  for (const int64_t launch : joint.launches) {
    stream = std::min(stream, function.launches[static_cast<size_t>(launch)].stream);
  }
  return stream;
}

WeightLayout LayOutWeights(const std::vector<int64_t>& tensor_bytes) {
  WeightLayout layout;
  Placer placer;
  for (const int64_t bytes : tensor_bytes) {
    layout.offsets.push_back(placer.Place(bytes));
  }
  layout.bytes = placer.bytes();
  return layout;
}

SessionLayout LayOutSession(const Plan& plan, bool prefill, int64_t sequences) {
  SessionLayout layout;
  Placer placer;
  for (const CacheInfo& cache : plan.caches) {
    layout.caches.push_back(placer.Place(cache.bytes * sequences));
  }
  layout.cache_bytes = placer.bytes();
  std::map<int64_t, int64_t> scratch;
  AddScratch(*plan.FindFunction("decode"), scratch);
  AddScratch(*plan.FindFunction(DecodeName(sequences)), scratch);
  if (prefill) {
    AddScratch(*plan.FindFunction("prefill"), scratch);
  }
  for (const auto& [stream, bytes] : scratch) {
    layout.scratch[stream] = placer.Place(bytes);
  }
  layout.scratch_bytes = placer.bytes() - layout.cache_bytes;
  if (prefill) {
    PlaceProducts(*plan.FindFunction("prefill"), plan.max_tokens, placer, layout);
  }
  // The place in front of the arena ends with the control block's numbers.
  (void)placer.Place(kAlignment);
  layout.arena = placer.Place(plan.arena_bytes);
  layout.bytes = placer.bytes();
  return layout;
}

MemoryNeed NeedOf(const Plan& plan, const std::vector<int64_t>& tensor_bytes, int64_t layers,
                  const WeightLayout& weights, const SessionLayout& session) {
  MemoryNeed need = {&weights, &session, layers, 0};
  const std::vector<bool> in_layers = LayerWeights(plan);
  int64_t sum = session.cache_bytes;
  for (size_t i = 0; i < tensor_bytes.size(); ++i) {
    sum += in_layers[i] ? RoundUp(tensor_bytes[i]) : 0;
  }
  need.layer_bytes = layers > 0 ? sum / layers : 0;
  return need;
}

absl::Status CheckFits(const MemoryNeed& need, int64_t free, int64_t total, const std::string& device) {
  const int64_t bytes = need.weights->bytes + need.session->bytes;
  const int64_t reserve = Reserve(*need.session);
  if (bytes + reserve <= free) {
    return absl::OkStatus();
  }
  std::string message = absl::StrCat(
      "not enough memory on ", device, ": ", BytesText(bytes + reserve), " are needed (",
      BytesText(need.weights->bytes), " for weights, ", BytesText(need.session->cache_bytes), " for KV caches, ",
      BytesText(need.session->bytes - need.session->cache_bytes), " for activations and scratch, ", BytesText(reserve),
      " for the driver), but ", BytesText(free), " of ", BytesText(total), " are free; ");
  const int64_t others = bytes + reserve - need.layers * need.layer_bytes;
  const int64_t fitting = need.layer_bytes > 0 && free > others ? (free - others) / need.layer_bytes : 0;
  if (fitting > 0) {
    absl::StrAppend(&message, "of the model's ", need.layers, " layers, ", fitting,
                    " would fit (a synthetic model may have fewer: --synthetic=NAME:layers=", fitting,
                    "); use a smaller model or a GPU with more memory");
  } else {
    absl::StrAppend(&message, "not even one of the model's ", need.layers,
                    " layers would fit; use a smaller model or a GPU with more memory");
  }
  return absl::ResourceExhaustedError(message);
}

}  // namespace dejavu::cuda
