// Weights of synthetic models: shapes, bytes, and how a runtime can make them without a file.
#ifndef DEJAVU_IR_IMPORT_SYNTHETICWEIGHTS_H_
#define DEJAVU_IR_IMPORT_SYNTHETICWEIGHTS_H_

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "ir/base/Status.h"
#include "ir/base/SyntheticFill.h"
#include "ir/core/Module.h"
#include "ir/import/OptConfig.h"
#include "ir/import/WeightStore.h"

namespace dejavu {

/// What weights of synthetic models name as their file: this and the shape, as in "synthetic:opt-66b:layers=24".
inline constexpr std::string_view kSyntheticPrefix = "synthetic:";

/// The shape called `shape`: opt-125m, 350m, 1.3b, 2.7b, 6.7b, 13b, 30b, 66b or 175b (Zhang et al., "OPT", table 1 and
/// the checkpoints' config.json), possibly with fewer layers, as in "opt-66b:layers=24". Another one is a usage error
/// that lists them.
[[nodiscard]] absl::StatusOr<OptConfig> SyntheticConfig(std::string_view shape);

/// The shape of a tensor, by its name without prefix; empty for a name that such a model has not.
[[nodiscard]] Shape SyntheticTensorShape(const OptConfig& config, std::string_view name);

/// What the made-up predictors of a synthetic model choose in each layer: whatever the token, or, if `by_score`, each
/// token by itself and as many on average.
struct SyntheticPredictors {
  int64_t rank = 0;
  int64_t neurons = 0;  ///< 0: there is no predictor of neurons.
  int64_t heads = 0;
  bool by_score = false;
  int64_t bits = 8;  ///< Of an element of the matrices: 8 or 4, as PredictorRows.h packs them, or 16: of f16.
};

/// The file of the predictors' weights of the synthetic model whose weights are in `file`, as in
/// "synthetic:opt-66b:layers=24:rank=1000:neurons=3686:heads=30", with ":bits=4" or ":bits=16", and ":by_score=1",
/// behind it if that is so.
[[nodiscard]] std::string SyntheticPredictorFile(std::string_view file, const SyntheticPredictors& predictors);

/// The type of the tensor layers.N.mlp.predictor.NAME or layers.N.heads.predictor.NAME, where NAME is down,
/// down_scales, up, up_scales or bias; nothing for another name. Those of 16 bits use no scales.
[[nodiscard]] std::optional<Type> SyntheticPredictorType(const OptConfig& config, const SyntheticPredictors& predictors,
                                                         std::string_view name);

/// The tensors of the synthetic model `file`, which starts with kSyntheticPrefix.
[[nodiscard]] absl::StatusOr<std::shared_ptr<TensorSource>> OpenSyntheticSource(std::string_view file);

/// Whether the module's weights are synthetic. All are, or none.
[[nodiscard]] bool IsSynthetic(const Module& module);

/// How the runtime can make the weight, which may be derived from synthetic ones: the bytes that WeightStore::Read
/// gives, except for quantized_rows, whose norms are bounds that hold for every row, and for copies of few bits, whose
/// scales are those of the grid. A bug if no fill is known.
[[nodiscard]] absl::StatusOr<SyntheticFill> FillOf(const Weight& weight);

}  // namespace dejavu

#endif  // DEJAVU_IR_IMPORT_SYNTHETICWEIGHTS_H_
