#include "tools/driver/Recall.h"

#include <algorithm>
#include <cstring>

#include "ir/base/Status.h"

namespace dejavu {
namespace {

template <typename T>
std::span<const T> As(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const T*>(bytes.data()), bytes.size() / sizeof(T)};
}

}  // namespace

absl::StatusOr<NeuronWatch> NeuronWatch::Create(Session& session) {
  const ModelInfo& model = session.model().info();
  const auto neurons = static_cast<size_t>(model.ffn);
  NeuronWatch watch;
  watch.session_ = &session;
  std::vector<WatchedOperand> operands;
  for (const NeuronValues& values : FindNeuronValues(session.model().plan(), model)) {
    Place place = {.known = values.known, .listed = values.list != 0, .values = operands.size(), .list = 0};
    if (place.known) {
      operands.push_back({values.launch, values.h, neurons * sizeof(float)});
    }
    if (place.listed) {
      place.list = operands.size();
      operands.push_back(
          {values.launch, values.list, static_cast<size_t>(kIndexEntriesOffset) + neurons * sizeof(int32_t)});
    }
    watch.places_.push_back(place);
  }
  RETURN_IF_ERROR(session.Watch(std::move(operands)));
  return watch;
}

LayerNeurons NeuronWatch::Layer(size_t layer) const {
  const Place& place = places_[layer];
  if (!place.known) {
    return {};
  }
  LayerNeurons neurons = {.listed = place.listed, .list = {}, .values = As<float>(session_->Watched(place.values))};
  if (place.listed) {
    const std::span<const std::byte> list = session_->Watched(place.list);
    int32_t count = 0;
    std::memcpy(&count, list.data(), sizeof(count));
    const auto size = static_cast<size_t>(std::clamp<int64_t>(count, 0, static_cast<int64_t>(neurons.values.size())));
    neurons.list = As<int32_t>(list.subspan(static_cast<size_t>(kIndexEntriesOffset))).first(size);
    neurons.values = neurons.values.first(size);
  }
  return neurons;
}

void RecallCounts::Add(const LayerNeurons& model, int64_t neurons) {
  ++tokens;
  listed += model.listed ? static_cast<int64_t>(model.list.size()) : neurons;
  own_active += std::count_if(model.values.begin(), model.values.end(), [](float value) { return value > 0; });
}

void RecallCounts::Add(const RecallCounts& other) {
  tokens += other.tokens;
  active += other.active;
  listed += other.listed;
  found += other.found;
  mass += other.mass;
  found_mass += other.found_mass;
  squares += other.squares;
  found_squares += other.found_squares;
  own_active += other.own_active;
}

void RecallCounts::AddReference(const LayerNeurons& model, const LayerNeurons& reference, int64_t neurons) {
  // The reference's neurons as of all, so that the model's list can look them up.
  std::vector<float> values(static_cast<size_t>(neurons), 0.0F);
  for (size_t i = 0; i < reference.values.size(); ++i) {
    const size_t neuron = reference.listed ? static_cast<size_t>(reference.list[i]) : i;
    if (neuron < values.size()) {
      values[neuron] = reference.values[i];
    }
  }
  const auto add = [&](size_t neuron, int64_t& count, double& sum, double& square_sum) {
    if (neuron < values.size() && values[neuron] > 0) {
      const double value = values[neuron];
      ++count;
      sum += value;
      square_sum += value * value;
    }
  };
  for (size_t neuron = 0; neuron < values.size(); ++neuron) {
    add(neuron, active, mass, squares);
    if (!model.listed) {
      add(neuron, found, found_mass, found_squares);
    }
  }
  for (const int32_t neuron : model.list) {
    add(static_cast<size_t>(neuron), found, found_mass, found_squares);
  }
}

}  // namespace dejavu
