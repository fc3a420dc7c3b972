// The passes from [onnx] to [model], one file each.
#ifndef DEJAVU_PASSES_LIFT_LIFTPASSES_H_
#define DEJAVU_PASSES_LIFT_LIFTPASSES_H_

#include "passes/manager/Pass.h"

namespace dejavu {

extern const PassInfo kFoldShapesPass;
extern const PassInfo kLiftViewsPass;
extern const PassInfo kLiftLayerNormPass;
extern const PassInfo kLiftLinearPass;
extern const PassInfo kLiftEmbeddingsPass;
extern const PassInfo kLiftAttentionPass;
extern const PassInfo kLiftMlpPass;
extern const PassInfo kLiftResidualPass;
extern const PassInfo kFoldViewsPass;
extern const PassInfo kFinishLiftPass;
extern const PassInfo kNameWeightsPass;
extern const PassInfo kSplitPhasesPass;

}  // namespace dejavu

#endif  // DEJAVU_PASSES_LIFT_LIFTPASSES_H_
