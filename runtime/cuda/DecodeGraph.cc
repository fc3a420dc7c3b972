#include "runtime/cuda/DecodeGraph.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "ir/base/Status.h"

namespace dejavu::cuda {
namespace {

constexpr size_t kCountBytes = sizeof(int32_t);

int64_t ReadCount(const std::byte* count) {
  int32_t value = 0;
  std::memcpy(&value, count, sizeof(value));
  return value;
}

size_t ValueBytes(const Launch& launch, int64_t sequences) {
  return static_cast<size_t>(launch.neurons * sequences) * sizeof(float);
}

}  // namespace

absl::StatusOr<GraphExec> MakeDecodeGraph(const CudaDevice& device, const Input* input,
                                          const std::vector<BoundLaunch>& launches,
                                          const std::vector<LaunchEdge>& edges, StreamHandle stream) {
  ASSIGN_OR_RETURN(GraphBuilder builder, GraphBuilder::Create(device));
  NodeHandle start = nullptr;
  if (input != nullptr) {
    ASSIGN_OR_RETURN(start, builder.AddCopyToDevice(input->from, input->to, input->bytes));
  }
  std::vector<NodeHandle> nodes;
  for (const BoundLaunch& launch : launches) {
    ASSIGN_OR_RETURN(const NodeHandle node, builder.AddKernel(launch));
    nodes.push_back(node);
  }
  for (const LaunchEdge& edge : edges) {
    const NodeHandle from = edge.from == LaunchEdge::kStart ? start : nodes[static_cast<size_t>(edge.from)];
    if (from == nullptr) {
      continue;
    }
    RETURN_IF_ERROR(builder.AddEdge(from, nodes[static_cast<size_t>(edge.to)], edge.early));
  }
  return builder.Finish(stream);
}

/// Nodes one after the other.
class ObservedGraph::Chain {
 public:
  Chain(GraphBuilder& builder, const CudaDevice& device, std::vector<Event>& events)
      : builder_(builder), device_(device), events_(events) {}

  absl::Status Append(absl::StatusOr<NodeHandle> node) {
    RETURN_IF_ERROR(node.status());
    if (last_ != nullptr) {
      RETURN_IF_ERROR(builder_.AddEdge(last_, *node, /*early=*/false));
    }
    last_ = *node;
    is_event_ = false;
    return absl::OkStatus();
  }

  /// The number of an event that is recorded here.
  absl::StatusOr<size_t> Mark() {
    if (!is_event_) {
      ASSIGN_OR_RETURN(Event event, NewEvent(device_, /*timing=*/true));
      RETURN_IF_ERROR(Append(builder_.AddEvent(event.get())));
      events_.push_back(std::move(event));
      is_event_ = true;
    }
    return events_.size() - 1;
  }

  /// Copies `bytes` from the device to where `to` points, which then moves on; returns where they went.
  absl::StatusOr<const std::byte*> Fetch(DevicePointer from, size_t bytes, std::byte*& to) {
    std::byte* place = to;
    to += bytes;
    RETURN_IF_ERROR(Append(builder_.AddCopyToHost(from, place, bytes)));
    return place;
  }

 private:
  GraphBuilder& builder_;
  const CudaDevice& device_;
  std::vector<Event>& events_;
  NodeHandle last_ = nullptr;
  bool is_event_ = false;  // whether last_ is an event
};

absl::StatusOr<std::unique_ptr<ObservedGraph>> ObservedGraph::Create(const CudaDevice& device, const Input& input,
                                                                     const std::vector<BoundLaunch>& launches,
                                                                     const Observed& observed, StreamHandle stream) {
  std::unique_ptr<ObservedGraph> graph(new ObservedGraph(device, observed));
  RETURN_IF_ERROR(graph->Build(input, launches, observed.watched, stream));
  return graph;
}

absl::Status ObservedGraph::Build(const Input& input, const std::vector<BoundLaunch>& launches,
                                  const std::vector<WatchedOperand>& watched, StreamHandle stream) {
  size_t bytes = 0;
  for (const WatchedOperand& operand : watched) {
    bytes += operand.bytes;
  }
  for (const BoundLaunch& bound : launches) {
    bytes += bound.launch->per_active.has_value() ? kCountBytes : 0;
    bytes += bound.launch->per_positive.has_value() ? kCountBytes + ValueBytes(*bound.launch, sequences_) : 0;
  }
  ASSIGN_OR_RETURN(counts_, AllocatePinned(device_, static_cast<int64_t>(bytes)));
  auto* to = static_cast<std::byte*>(counts_.get());
  ASSIGN_OR_RETURN(GraphBuilder builder, GraphBuilder::Create(device_));
  Chain chain(builder, device_, events_);
  watched_.resize(watched.size());
  RETURN_IF_ERROR(chain.Append(builder.AddCopyToDevice(input.from, input.to, input.bytes)));
  for (const BoundLaunch& bound : launches) {
    const Launch& launch = *bound.launch;
    const auto param = [&](int64_t arg) { return bound.params[static_cast<size_t>(arg)]; };
    Place place;
    place.neurons = launch.neurons;
    if (times_) {
      ASSIGN_OR_RETURN(place.before, chain.Mark());
    }
    RETURN_IF_ERROR(chain.Append(builder.AddKernel(bound)));
    if (times_) {
      ASSIGN_OR_RETURN(place.after, chain.Mark());
    }
    if (launch.per_active.has_value()) {
      ASSIGN_OR_RETURN(place.active, chain.Fetch(param(launch.per_active->arg), kCountBytes, to));
    }
    if (launch.per_positive.has_value()) {
      ASSIGN_OR_RETURN(place.h_active, chain.Fetch(param(launch.per_positive->active), kCountBytes, to));
      ASSIGN_OR_RETURN(place.h, chain.Fetch(param(launch.per_positive->h), ValueBytes(launch, sequences_), to));
    }
    places_.push_back(place);
    for (size_t i = 0; i < watched.size(); ++i) {
      if (&bound == &launches[watched[i].launch]) {
        ASSIGN_OR_RETURN(const std::byte* copy,
                         chain.Fetch(param(static_cast<int64_t>(watched[i].arg)), watched[i].bytes, to));
        watched_[i] = {copy, watched[i].bytes};
      }
    }
  }
  ASSIGN_OR_RETURN(exec_, builder.Finish(stream));
  return absl::OkStatus();
}

absl::Status ObservedGraph::Read(std::vector<LaunchRecord>& records) const {
  records.assign(places_.size(), LaunchRecord());
  for (size_t i = 0; i < places_.size(); ++i) {
    const Place& place = places_[i];
    if (times_) {
      float milliseconds = 0;
      RETURN_IF_ERROR(
          device_.driver().EventElapsedTime(&milliseconds, events_[place.before].get(), events_[place.after].get()));
      records[i].nanoseconds = std::llround(static_cast<double>(milliseconds) * 1e6);
    }
    if (place.active != nullptr) {
      records[i].active = ReadCount(place.active);
    }
    if (place.h != nullptr) {
      const int64_t count = std::clamp<int64_t>(ReadCount(place.h_active), 0, place.neurons);
      const auto* h = reinterpret_cast<const float*>(place.h);
      records[i].positives = CountPositives(h, count, sequences_);
    }
  }
  return absl::OkStatus();
}

}  // namespace dejavu::cuda
