#include "runtime/cuda/CudaSession.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <new>

#include "ir/base/Status.h"

namespace dejavu::cuda {
namespace {

/// Pinned memory: the control block and the tokens of a prompt, on cache lines of their own a choice, then the logits
/// and the choices of the greedy loop.
int64_t ChoiceOffset(const Plan& plan) {
  const auto tokens_end = static_cast<int64_t>(offsetof(Control, token) + sizeof(int32_t) * plan.max_tokens);
  return (std::max(tokens_end, static_cast<int64_t>(sizeof(Control))) + 63) / 64 * 64;
}
int64_t LogitsOffset(const Plan& plan) { return ChoiceOffset(plan) + 64; }

}  // namespace

absl::StatusOr<std::unique_ptr<DeviceSession>> CudaSession::Create(const CudaModel& model, const Plan& plan) {
  const CudaDevice::Scope scope(model.device());
  RETURN_IF_ERROR(scope.status());
  std::unique_ptr<CudaSession> session(new CudaSession(model, plan));
  RETURN_IF_ERROR(session->Init());
  return session;
}

CudaSession::~CudaSession() { stream_.Settle(); }

absl::Status CudaSession::Init() {
  const Driver& driver = device_.driver();
  ASSIGN_OR_RETURN(memory_, AllocateDevice(device_, layout_.bytes, "the KV caches and buffers of a session"));
  const int64_t choices_offset = LogitsOffset(plan_) + model_.vocab() * static_cast<int64_t>(sizeof(float));
  ASSIGN_OR_RETURN(pinned_,
                   AllocatePinned(device_, choices_offset + plan_.positions * static_cast<int64_t>(sizeof(int32_t))));
  auto* pinned = static_cast<std::byte*>(pinned_.get());
  control_ = new (pinned) Control;
  choice_ = reinterpret_cast<int32_t*>(pinned + ChoiceOffset(plan_));
  logits_ = reinterpret_cast<float*>(pinned + LogitsOffset(plan_));
  choices_ = reinterpret_cast<int32_t*>(pinned + choices_offset);
  RETURN_IF_ERROR(stream_.Open());
  // Scratch memory must be zero before its first use; the rest as on the CPU.
  RETURN_IF_ERROR(driver.MemsetD8Async(memory_.get(), static_cast<unsigned char>(0), static_cast<size_t>(layout_.bytes),
                                       stream_.Start()));
  launches_ = BindLaunches("decode");
  if (model_.CanPrefill()) {
    prefill_ = BindLaunches("prefill");
    gemm_ = std::make_unique<CudaGemm>(device_, *model_.blas(), model_.gemm_kernels(), Memory().Products());
  }
  last_logits_ = plan_.FindFunction("decode")->logits;
  ASSIGN_OR_RETURN(nodes_, PlanGraph::Of(*plan_.FindFunction("decode"), model_.isa()));
  const Input input = ControlInput();
  ASSIGN_OR_RETURN(graph_,
                   MakeDecodeGraph(device_, &input, BindNodes(), Edges(device_.has_early_launch()), stream_.get()));
  return stream_.Synchronize();
}

std::vector<LaunchEdge> CudaSession::Edges(bool allow_early) const {
  return LaunchEdges(*nodes_, plan_.FindFunction("decode")->launches, model_.isa(), allow_early);
}

std::vector<BoundLaunch> CudaSession::BindLaunches(const std::string& function) const {
  std::vector<BoundLaunch> launches;
  for (const Launch& launch : plan_.FindFunction(function)->launches) {
    BoundLaunch bound = model_.Bind(launch);
    for (const BufferRef& ref : launch.args) {
      bound.params.push_back(Memory().Address(ref));
    }
    if (launch.gemm.has_value()) {
      launches.push_back(std::move(bound));
      continue;
    }
    BindCall(launch.stream, launch.grids.at(model_.isa()), bound);
    launches.push_back(std::move(bound));
  }
  return launches;
}

std::vector<BoundLaunch> CudaSession::BindNodes() const {
  const PlanFunction& decode = *plan_.FindFunction("decode");
  std::vector<BoundLaunch> nodes;
  for (const PlanGraph::Node& node : nodes_->nodes()) {
    if (node.joint == nullptr) {
      nodes.push_back(launches_[node.launches.front()]);
      continue;
    }
    BoundLaunch bound = model_.Bind(*node.joint);
    for (const int64_t launch : node.joint->launches) {
      for (const BufferRef& ref : decode.launches[static_cast<size_t>(launch)].args) {
        bound.params.push_back(Memory().Address(ref));
      }
    }
    BindCall(StreamOf(*node.joint, decode), node.joint->grids.at(model_.isa()), bound);
    nodes.push_back(std::move(bound));
  }
  return nodes;
}

/// Adds what every kernel gets behind its operands and results.
void CudaSession::BindCall(int64_t stream, const LaunchGrid& grid, BoundLaunch& bound) const {
  bound.params.push_back(ControlInput().to);
  if (grid.scratch > 0) {
    bound.params.push_back(Memory().Scratch(stream));
  }
}

Input CudaSession::ControlInput() const { return {control_, Memory().Arena() - sizeof(Control::dims), kControlBytes}; }

absl::Status CudaSession::Prefill(std::span<const int32_t> tokens, int64_t past) {
  const CudaDevice::Scope scope(device_);
  RETURN_IF_ERROR(scope.status());
  // What was started before reads the same control block.
  RETURN_IF_ERROR(stream_.Synchronize());
  *control_ = {.dims = {static_cast<int64_t>(tokens.size()), past}};
  std::memcpy(static_cast<std::byte*>(pinned_.get()) + offsetof(Control, token), tokens.data(), tokens.size_bytes());
  const Input input = ControlInput();
  last_logits_ = plan_.FindFunction("prefill")->logits;
  RETURN_IF_ERROR(device_.driver().MemcpyHtoDAsync(input.to, static_cast<const void*>(input.from),
                                                   offsetof(Control, token) + tokens.size_bytes(), stream_.Start()));
  return LaunchPrompt(device_, prefill_, gemm_.get(), static_cast<int64_t>(tokens.size()), stream_.get());
}

absl::Status CudaSession::Decode(int32_t token, int64_t past, bool observe) {
  const CudaDevice::Scope scope(device_);
  RETURN_IF_ERROR(scope.status());
  // The graph before this one reads the same control block.
  RETURN_IF_ERROR(stream_.Synchronize());
  *control_ = {.dims = {1, past}, .token = token};
  last_logits_ = plan_.FindFunction("decode")->logits;
  if (observe && observed_ == nullptr) {
    ASSIGN_OR_RETURN(observed_, ObservedGraph::Create(device_, ControlInput(), launches_,
                                                      {.watched = watched_, .times = times_}, stream_.get()));
  }
  RETURN_IF_ERROR(device_.driver().GraphLaunch(observe ? observed_->get() : graph_.get(), stream_.Start()));
  if (observe) {
    RETURN_IF_ERROR(stream_.Synchronize());
    RETURN_IF_ERROR(observed_->Read(records_));
  }
  return absl::OkStatus();
}

void CudaSession::Watch(std::vector<WatchedOperand> operands) {
  // An observed call has ended when it returns, so nothing runs the graph.
  const CudaDevice::Scope scope(device_);
  observed_.reset();
  watched_ = std::move(operands);
}

void CudaSession::KeepTimes(bool keep) {
  const CudaDevice::Scope scope(device_);
  observed_.reset();
  times_ = keep;
}

absl::StatusOr<std::span<const float>> CudaSession::Logits() {
  const CudaDevice::Scope scope(device_);
  RETURN_IF_ERROR(scope.status());
  const auto vocab = static_cast<size_t>(model_.vocab());
  RETURN_IF_ERROR(stream_.Fetch(Memory().Address(last_logits_), logits_, vocab * sizeof(float)));
  return std::span<const float>(logits_, vocab);
}

absl::Status CudaSession::Read(const BufferRef& from, std::span<std::byte> to) {
  const CudaDevice::Scope scope(device_);
  RETURN_IF_ERROR(scope.status());
  return stream_.Fetch(Memory().Address(from), to.data(), to.size());
}

absl::StatusOr<std::vector<LaunchSpan>> CudaSession::Trace(int32_t token, int64_t past) {
  const CudaDevice::Scope scope(device_);
  RETURN_IF_ERROR(scope.status());
  RETURN_IF_ERROR(stream_.Synchronize());
  if (traced_ == nullptr) {
    ASSIGN_OR_RETURN(traced_, TracedGraph::Create(device_, ControlInput(), BindNodes(), Edges(/*allow_early=*/false),
                                                  stream_.get()));
  }
  *control_ = {.dims = {1, past}, .token = token};
  last_logits_ = plan_.FindFunction("decode")->logits;
  RETURN_IF_ERROR(device_.driver().GraphLaunch(traced_->get(), stream_.Start()));
  RETURN_IF_ERROR(stream_.Synchronize());
  ASSIGN_OR_RETURN(const std::vector<LaunchSpan> nodes, traced_->Read());
  std::vector<LaunchSpan> spans;
  for (size_t i = 0; i < launches_.size(); ++i) {
    spans.push_back(nodes[nodes_->NodeOf(i)]);
  }
  return spans;
}

absl::StatusOr<int32_t> CudaSession::Choice() {
  const BufferRef& choice = plan_.FindFunction("decode")->choice;
  if (choice.kind == BufferRef::Kind::kAbsent) {
    return DeviceSession::Choice();
  }
  const CudaDevice::Scope scope(device_);
  RETURN_IF_ERROR(scope.status());
  RETURN_IF_ERROR(stream_.Fetch(Memory().Address(choice), choice_, sizeof(*choice_)));
  return *choice_;
}

absl::Status CudaSession::DecodeGreedily(int32_t token, int64_t past, int64_t count, const OnChoice& on_choice) {
  if (model_.advance() == nullptr) {
    return DeviceSession::DecodeGreedily(token, past, count, on_choice);
  }
  const CudaDevice::Scope scope(device_);
  RETURN_IF_ERROR(scope.status());
  RETURN_IF_ERROR(stream_.Synchronize());
  RETURN_IF_ERROR(MakeGreedyLoop());
  *control_ = {.dims = {1, past}, .token = token};
  last_logits_ = plan_.FindFunction("decode")->logits;
  const Input input = ControlInput();
  RETURN_IF_ERROR(device_.driver().MemcpyHtoDAsync(input.to, input.from, input.bytes, stream_.Start()));
  ASSIGN_OR_RETURN(const bool running, greedy_->Run(past, count, on_choice));
  stream_.SetRunning(running);
  return absl::OkStatus();
}

absl::Status CudaSession::MakeGreedyLoop() {
  if (greedy_ != nullptr) {
    return absl::OkStatus();
  }
  const PlanFunction& decode = *plan_.FindFunction("decode");
  std::vector<LaunchEdge> edges = Edges(device_.has_early_launch());
  const std::vector<LaunchEdge> last = EdgesToEnd(*nodes_);
  edges.insert(edges.end(), last.begin(), last.end());
  BoundLaunch advance;
  advance.symbol = kAdvanceSymbol;
  advance.function = model_.advance();
  advance.threads = 32;
  // The device writes to pinned memory by the host's address of it.
  advance.params = {Memory().Address(decode.choice), ControlInput().to, reinterpret_cast<DevicePointer>(choices_)};
  std::vector<BoundLaunch> nodes = BindNodes();
  nodes.push_back(std::move(advance));
  ASSIGN_OR_RETURN(greedy_, GreedyLoop::Create(device_, nodes, edges, stream_.get(), choices_));
  return absl::OkStatus();
}

}  // namespace dejavu::cuda
