// The passes from [sparse] to [sched]; they keep every bit.
#ifndef DEJAVU_PASSES_SCHEDULE_SCHEDULEPASSES_H_
#define DEJAVU_PASSES_SCHEDULE_SCHEDULEPASSES_H_

#include "passes/manager/Pass.h"

namespace dejavu {

extern const PassInfo kBatchDecodePass;
extern const PassInfo kPackWeightsPass;
extern const PassInfo kLowerToSchedPass;
extern const PassInfo kFuseResidualPass;
extern const PassInfo kFuseLayerNormPass;
extern const PassInfo kOverlapPredictorsPass;
extern const PassInfo kExposeTapsPass;
extern const PassInfo kPlanBuffersPass;

}  // namespace dejavu

#endif  // DEJAVU_PASSES_SCHEDULE_SCHEDULEPASSES_H_
