#include "tools/driver/HeadRecall.h"

#include <algorithm>
#include <numeric>

#include "ir/base/Safetensors.h"
#include "ir/base/Status.h"
#include "tools/driver/Interrupt.h"
#include "tools/driver/Layers.h"

namespace dejavu {
namespace {

/// W_h^T W_h of each head, where `w` is (hidden, heads * width).
std::vector<float> Grams(const TensorView& w, int64_t heads, int64_t width, int threads) {
  const auto size = static_cast<size_t>(width);
  const auto columns = static_cast<size_t>(heads * width);
  std::vector<float> grams(columns * size, 0.0F);
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t head = 0; head < heads; ++head) {
    const size_t first = static_cast<size_t>(head) * size;
    std::vector<float> row(size);
    for (size_t n = 0; n < static_cast<size_t>(w.dims[0]); ++n) {
      for (size_t i = 0; i < size; ++i) {
        row[i] = static_cast<float>(LoadAsDouble(w.dtype, w.data, n * columns + first + i));
      }
      for (size_t i = 0; i < size; ++i) {
        float* to = grams.data() + (first + i) * size;
        for (size_t j = 0; j < size; ++j) {
          to[j] += row[i] * row[j];
        }
      }
    }
  }
  return grams;
}

/// y (G) y, where the symmetric `gram` is (y.size(), y.size()). By rows, so that it runs at the speed of vectors: this
/// happens for each token.
double Quadratic(std::span<const float> y, const float* gram) {
  std::vector<float> product(y.size());
  for (size_t i = 0; i < y.size(); ++i) {
    const float factor = y[i];
    std::transform(product.begin(), product.end(), gram + i * y.size(), product.begin(),
                   [factor](float sum, float element) { return sum + factor * element; });
  }
  // Rounding may leave a tiny negative number.
  return std::max(std::inner_product(y.begin(), y.end(), product.begin(), 0.0), 0.0);
}

}  // namespace

absl::StatusOr<std::shared_ptr<const HeadEnergies>> HeadEnergies::Create(const Model& model, const Model* other,
                                                                         int threads) {
  const ModelInfo& info = model.info();
  const int64_t heads = std::max<int64_t>(info.heads, 1);
  const int64_t width = info.hidden / heads;
  std::shared_ptr<HeadEnergies> energies(new HeadEnergies(heads, width));
  energies->grams_.resize(static_cast<size_t>(info.layers));
  if (model.artifact().is_synthetic()) {
    return energies;
  }
  ASSIGN_OR_RETURN(const Safetensors weights, Safetensors::Open(model.artifact().FilePath(kWeightsFile)));
  const std::vector<HeadValues> values = FindHeadValues(model.plan(), info);
  const std::vector<HeadValues> lists =
      other != nullptr ? FindHeadValues(other->plan(), other->info()) : std::vector<HeadValues>();
  for (size_t layer = 0; layer < values.size(); ++layer) {
    RETURN_IF_ERROR(InterruptStatus());
    const bool asked = layer >= lists.size() || lists[layer].list != 0;
    const TensorView* w = asked && values[layer].known ? weights.Find(values[layer].weight) : nullptr;
    if (w != nullptr && IsFloat(w->dtype) && w->dims == std::vector<int64_t>{info.hidden, heads * width}) {
      energies->grams_[layer] = Grams(*w, heads, width, threads);
    }
  }
  return energies;
}

std::vector<double> HeadEnergies::Of(size_t layer, const LayerHeads& heads) const {
  std::vector<double> energies(static_cast<size_t>(heads_), 0.0);
  const auto width = static_cast<size_t>(width_);
  const auto add = [&](size_t head) {
    const std::span<const float> y = heads.values.subspan(head * width, width);
    energies[head] = grams_[layer].empty() ? std::inner_product(y.begin(), y.end(), y.begin(), 0.0)
                                           : Quadratic(y, grams_[layer].data() + head * width * width);
  };
  if (!heads.listed) {
    for (size_t head = 0; head < energies.size(); ++head) {
      add(head);
    }
  }
  for (const int32_t head : heads.list) {
    if (head >= 0 && static_cast<size_t>(head) < energies.size()) {
      add(static_cast<size_t>(head));
    }
  }
  return energies;
}

void HeadCounts::Add(const LayerHeads& model, std::span<const double> reference) {
  const double all = std::accumulate(reference.begin(), reference.end(), 0.0);
  energy += all;
  if (!model.listed) {
    found += all;
  }
  for (const int32_t head : model.list) {
    if (head >= 0 && static_cast<size_t>(head) < reference.size()) {
      found += reference[static_cast<size_t>(head)];
    }
  }
}

void HeadCounts::Add(const HeadCounts& other) {
  energy += other.energy;
  found += other.found;
}

}  // namespace dejavu
