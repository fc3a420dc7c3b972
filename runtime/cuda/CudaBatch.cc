#include "runtime/cuda/CudaBatch.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

#include "ir/base/Phases.h"
#include "ir/base/Status.h"
#include "runtime/cuda/LaunchOrder.h"

namespace dejavu::cuda {
namespace {

/// Dims, then tokens: those of a step or of a part of a prompt.
int64_t ControlBytes(const Plan& plan, int64_t sequences) {
  const int64_t tokens = std::max(plan.max_tokens, sequences);
  return ((1 + sequences) * static_cast<int64_t>(sizeof(int64_t)) + tokens * 4 + 63) / 64 * 64;
}

constexpr int64_t kChoicesBytes = 64;
static_assert(kMaxSequences * static_cast<int64_t>(sizeof(int32_t)) <= kChoicesBytes);

}  // namespace

absl::StatusOr<std::unique_ptr<DeviceBatch>> CudaBatch::Create(const CudaModel& model, const Plan& plan,
                                                               int64_t sequences) {
  const CudaDevice::Scope scope(model.device());
  RETURN_IF_ERROR(scope.status());
  std::unique_ptr<CudaBatch> batch(new CudaBatch(model, plan, sequences));
  RETURN_IF_ERROR(batch->Init());
  return batch;
}

CudaBatch::CudaBatch(const CudaModel& model, const Plan& plan, int64_t sequences)
    : model_(model),
      plan_(plan),
      function_(*plan.FindFunction(DecodeName(sequences))),
      sequences_(sequences),
      device_(model.device()),
      layout_(LayOutSession(plan, model.CanPrefill(), sequences)),
      stream_(device_) {}

CudaBatch::~CudaBatch() { stream_.Settle(); }

absl::Status CudaBatch::Init() {
  ASSIGN_OR_RETURN(memory_, AllocateDevice(device_, layout_.bytes,
                                           absl::StrCat("the KV caches and buffers of ", sequences_, " sequences")));
  const int64_t control_bytes = ControlBytes(plan_, sequences_);
  const int64_t logits_bytes = sequences_ * model_.vocab() * static_cast<int64_t>(sizeof(float));
  ASSIGN_OR_RETURN(pinned_, AllocatePinned(device_, control_bytes + kChoicesBytes + logits_bytes));
  control_ = static_cast<std::byte*>(pinned_.get());
  choices_ = reinterpret_cast<int32_t*>(control_ + control_bytes);
  logits_ = reinterpret_cast<float*>(control_ + control_bytes + kChoicesBytes);
  std::memset(control_, 0, static_cast<size_t>(control_bytes));
  RETURN_IF_ERROR(stream_.Open());
  // Scratch memory must be zero before its first use; the rest as on the CPU.
  RETURN_IF_ERROR(device_.driver().MemsetD8Async(memory_.get(), static_cast<unsigned char>(0),
                                                 static_cast<size_t>(layout_.bytes), stream_.Start()));
  launches_ = BindLaunches(function_, 0);
  for (int64_t i = 0; i < sequences_; ++i) {
    prompts_.push_back(BindLaunches(*plan_.FindFunction(model_.CanPrefill() ? "prefill" : "decode"), i));
  }
  if (model_.CanPrefill()) {
    gemm_ = std::make_unique<CudaGemm>(device_, *model_.blas(), model_.gemm_kernels(), Memory().Products());
  }
  last_logits_ = function_.logits;
  // Without joints, each node is a launch.
  PlanFunction singles = function_;
  singles.joints.clear();
  ASSIGN_OR_RETURN(const PlanGraph order, PlanGraph::Of(singles, model_.isa()));
  std::vector<BoundLaunch> nodes;
  for (const PlanGraph::Node& node : order.nodes()) {
    nodes.push_back(launches_[node.launches.front()]);
  }
  const std::vector<LaunchEdge> edges = LaunchEdges(order, singles.launches, model_.isa(), device_.has_early_launch());
  const Input input = ControlInput(1 + sequences_, sequences_);
  ASSIGN_OR_RETURN(graph_, MakeDecodeGraph(device_, &input, nodes, edges, stream_.get()));
  return stream_.Synchronize();
}

std::vector<BoundLaunch> CudaBatch::BindLaunches(const PlanFunction& function, int64_t sequence) const {
  std::vector<BoundLaunch> launches;
  for (const Launch& launch : function.launches) {
    BoundLaunch bound = model_.Bind(launch);
    for (const BufferRef& ref : launch.args) {
      bound.params.push_back(Memory().Address(ref, sequence));
    }
    if (!launch.gemm.has_value()) {
      // The number of tokens, and a past for each sequence of the function.
      bound.params.push_back(ControlInput(1 + function.sequences, 1).to);
      if (launch.grids.at(model_.isa()).scratch > 0) {
        bound.params.push_back(Memory().Scratch(launch.stream));
      }
    }
    launches.push_back(std::move(bound));
  }
  return launches;
}

Input CudaBatch::ControlInput(int64_t numbers, int64_t tokens) const {
  const size_t dims_bytes = static_cast<size_t>(numbers) * sizeof(int64_t);
  return {control_, Memory().Arena() - dims_bytes, dims_bytes + static_cast<size_t>(tokens) * sizeof(int32_t)};
}

absl::Status CudaBatch::Prefill(int64_t sequence, std::span<const int32_t> tokens, int64_t past) {
  const CudaDevice::Scope scope(device_);
  RETURN_IF_ERROR(scope.status());
  const size_t chunk = model_.CanPrefill() ? tokens.size() : 1;
  for (size_t i = 0; i < tokens.size(); i += chunk) {
    RETURN_IF_ERROR(RunPrompt(sequence, tokens.subspan(i, chunk), past + static_cast<int64_t>(i)));
  }
  return absl::OkStatus();
}

absl::Status CudaBatch::RunPrompt(int64_t sequence, std::span<const int32_t> tokens, int64_t past) {
  // What was started before reads the same control block.
  RETURN_IF_ERROR(stream_.Synchronize());
  const std::array<int64_t, 2> dims = {static_cast<int64_t>(tokens.size()), past};
  std::memcpy(control_, dims.data(), sizeof(dims));
  std::memcpy(control_ + sizeof(dims), tokens.data(), tokens.size_bytes());
  const Input input = ControlInput(2, static_cast<int64_t>(tokens.size()));
  last_logits_ = plan_.FindFunction(model_.CanPrefill() ? "prefill" : "decode")->logits;
  last_rows_ = 1;
  RETURN_IF_ERROR(
      device_.driver().MemcpyHtoDAsync(input.to, static_cast<const void*>(input.from), input.bytes, stream_.Start()));
  return LaunchPrompt(device_, prompts_[static_cast<size_t>(sequence)], gemm_.get(), dims[0], stream_.get());
}

absl::Status CudaBatch::Decode(std::span<const int32_t> tokens, std::span<const int64_t> past, bool observe) {
  const CudaDevice::Scope scope(device_);
  RETURN_IF_ERROR(scope.status());
  // The graph before this one reads the same control block.
  RETURN_IF_ERROR(stream_.Synchronize());
  std::memcpy(control_, &sequences_, sizeof(int64_t));
  std::memcpy(control_ + sizeof(int64_t), past.data(), past.size_bytes());
  std::memcpy(control_ + sizeof(int64_t) + past.size_bytes(), tokens.data(), tokens.size_bytes());
  last_logits_ = function_.logits;
  last_rows_ = tokens.size();
  if (observe && observed_ == nullptr) {
    ASSIGN_OR_RETURN(observed_, ObservedGraph::Create(device_, ControlInput(1 + sequences_, sequences_), launches_,
                                                      {.sequences = sequences_}, stream_.get()));
  }
  RETURN_IF_ERROR(device_.driver().GraphLaunch(observe ? observed_->get() : graph_.get(), stream_.Start()));
  if (observe) {
    RETURN_IF_ERROR(stream_.Synchronize());
    RETURN_IF_ERROR(observed_->Read(records_));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::span<const float>> CudaBatch::Logits() {
  const CudaDevice::Scope scope(device_);
  RETURN_IF_ERROR(scope.status());
  const size_t count = last_rows_ * static_cast<size_t>(model_.vocab());
  RETURN_IF_ERROR(stream_.Fetch(Memory().Address(last_logits_), logits_, count * sizeof(float)));
  return std::span<const float>(logits_, count);
}

absl::StatusOr<std::span<const int32_t>> CudaBatch::Choices() {
  const auto count = static_cast<size_t>(sequences_);
  if (function_.choice.kind == BufferRef::Kind::kAbsent) {
    ASSIGN_OR_RETURN(const std::span<const float> logits, Logits());
    const size_t vocab = logits.size() / count;
    for (size_t i = 0; i < count; ++i) {
      choices_[i] = LikeliestToken(logits.subspan(i * vocab, vocab));
    }
    return std::span<const int32_t>(choices_, count);
  }
  const CudaDevice::Scope scope(device_);
  RETURN_IF_ERROR(scope.status());
  RETURN_IF_ERROR(stream_.Fetch(Memory().Address(function_.choice), choices_, count * sizeof(int32_t)));
  return std::span<const int32_t>(choices_, count);
}

}  // namespace dejavu::cuda
