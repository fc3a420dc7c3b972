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

absl::StatusOr<LayerWatch> LayerWatch::Create(Session& session) {
  const ModelInfo& model = session.model().info();
  const Plan& plan = session.model().plan();
  LayerWatch watch;
  watch.session_ = &session;
  std::vector<WatchedOperand> operands;
  // `numbers` are as many as the values and, in a list, at most `most`.
  const auto add = [&](bool known, size_t launch, size_t values, size_t list, int64_t numbers, int64_t most) {
    Place place = {.known = known, .listed = known && list != 0, .values = operands.size(), .list = 0};
    if (place.known) {
      operands.push_back({launch, values, static_cast<size_t>(numbers) * sizeof(float)});
    }
    if (place.listed) {
      place.list = operands.size();
      operands.push_back(
          {launch, list, static_cast<size_t>(kIndexEntriesOffset) + static_cast<size_t>(most) * sizeof(int32_t)});
    }
    return place;
  };
  for (const NeuronValues& values : FindNeuronValues(plan, model)) {
    watch.neurons_.push_back(add(values.known, values.launch, values.h, values.list, model.ffn, model.ffn));
  }
  for (const HeadValues& values : FindHeadValues(plan, model)) {
    watch.heads_.push_back(add(values.known, values.launch, values.x, values.list, model.hidden, model.heads));
  }
  RETURN_IF_ERROR(session.Watch(std::move(operands)));
  return watch;
}

std::span<const float> LayerWatch::Values(const Place& place) const {
  return As<float>(session_->Watched(place.values));
}

std::span<const int32_t> LayerWatch::List(const Place& place, size_t most) const {
  const std::span<const std::byte> list = session_->Watched(place.list);
  int32_t count = 0;
  std::memcpy(&count, list.data(), sizeof(count));
  const auto size = static_cast<size_t>(std::clamp<int64_t>(count, 0, static_cast<int64_t>(most)));
  return As<int32_t>(list.subspan(static_cast<size_t>(kIndexEntriesOffset))).first(size);
}

LayerNeurons LayerWatch::Neurons(size_t layer) const {
  const Place& place = neurons_[layer];
  if (!place.known) {
    return {};
  }
  LayerNeurons neurons = {.listed = place.listed, .list = {}, .values = Values(place)};
  if (place.listed) {
    neurons.list = List(place, neurons.values.size());
    neurons.values = neurons.values.first(neurons.list.size());
  }
  return neurons;
}

LayerHeads LayerWatch::Heads(size_t layer) const {
  const Place& place = heads_[layer];
  if (!place.known) {
    return {};
  }
  LayerHeads heads = {.listed = place.listed, .list = {}, .values = Values(place)};
  if (place.listed) {
    heads.list = List(place, static_cast<size_t>(session_->model().info().heads));
  }
  return heads;
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
