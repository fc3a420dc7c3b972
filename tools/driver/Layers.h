// Which layer and part of the model each launch of a plan works for.
#ifndef DEJAVU_TOOLS_DRIVER_LAYERS_H_
#define DEJAVU_TOOLS_DRIVER_LAYERS_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "runtime/artifact/Manifest.h"
#include "runtime/artifact/Plan.h"
#include "runtime/engine/Statistics.h"

namespace dejavu {

/// What decoding a token costs: bytes read and written, and microseconds of the launches one after the other.
struct Cost {
  double bytes = 0;
  double microseconds = 0;
};

struct LayerCosts {
  Cost attention;
  Cost mlp;
  Cost predictors;
  Cost head_predictors = {};  ///< A part of `predictors`: those of heads.
};

struct TokenCosts {
  std::vector<LayerCosts> layers;
  Cost rest;  ///< Embeddings, the last norm and the output layer.
};

/// Adds up the launches of `statistics`, per token, by what their names of weights and caches say. `microseconds` has a
/// launch's time for each.
[[nodiscard]] TokenCosts CostsByLayer(const Plan& plan, const ModelInfo& model, const Statistics& statistics,
                                      std::span<const double> microseconds);

/// The sum over all launches.
[[nodiscard]] Cost TotalCost(const TokenCosts& costs);

/// Where a plan's "decode" has the values of a layer's neurons after ReLU, f32.
struct NeuronValues {
  size_t launch = 0;  ///< That reads them.
  size_t h = 0;       ///< Its argument with the values: those listed in `list`, or those of all neurons.
  size_t list = 0;    ///< Its argument with the list; 0 for a dense layer, as argument 0 is never a list here.
  bool known = false;
};

/// By layer.
[[nodiscard]] std::vector<NeuronValues> FindNeuronValues(const Plan& plan, const ModelInfo& model);

/// Where a plan's "decode" has what a layer's heads put out, f32<hidden>: what the output layer reads.
struct HeadValues {
  size_t launch = 0;   ///< The output layer.
  size_t x = 0;        ///< Its argument with the values; those of heads that are not in `list` are anything.
  size_t list = 0;     ///< Its argument with the list; 0 for a dense layer, as argument 0 is never a list here.
  std::string weight;  ///< The name of its matrix, (hidden, heads * width).
  bool known = false;
};

/// By layer.
[[nodiscard]] std::vector<HeadValues> FindHeadValues(const Plan& plan, const ModelInfo& model);

}  // namespace dejavu

#endif  // DEJAVU_TOOLS_DRIVER_LAYERS_H_
