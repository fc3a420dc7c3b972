#include "tests/unit/cuda/ToyCudaModel.h"

#include "ir/base/FileUtil.h"
#include "ir/base/Status.h"
#include "runtime/artifact/Json.h"
#include "tests/unit/runtime/ToyModel.h"

namespace dejavu::toy {

Plan MakeCudaPrefillPlan() {
  Plan plan = MakePlan();
  plan.target = "cuda";
  for (auto& [name, function] : plan.functions) {
    for (Launch& launch : function.launches) {
      if (launch.gemm.has_value()) {
        continue;
      }
      launch.symbol = "cuda_" + launch.symbol;
      launch.grid = LaunchGrid{.blocks = 8, .per_sm = 2, .threads = 64, .early = launch.kernel != "mix"};
      if (launch.kernel == "compact") {
        launch.grid->scratch = kScratchCounterBytes + 64;
      }
      if (launch.kernel == "head") {
        launch.grid->per_sm = 0;
        launch.grid->shared = 64 * 1024;
      }
    }
  }
  return plan;
}

Plan MakeCudaPlan() {
  Plan plan = MakeCudaPrefillPlan();
  plan.functions.erase("prefill");
  return plan;
}

absl::Status WriteCudaArtifact(const std::string& path, const Plan& plan, const std::vector<std::string>& isas) {
  Manifest manifest = MakeManifest();
  manifest.targets = {{"cuda", "plan-cuda.json", {}}};
  ASSIGN_OR_RETURN(const std::string code, ReadTextFile(DEJAVU_TOY_CUDA_KERNELS));
  std::map<std::string, std::string> files = TokenizerFiles();
  files["plan-cuda.json"] = PrintJson(PlanToJson(plan));
  for (const std::string& isa : isas) {
    files[isa + ".cubin"] = code;
    manifest.targets[0].code.push_back({isa, isa + ".cubin"});
  }
  return WriteArtifact(path, 1, manifest, files);
}

}  // namespace dejavu::toy
