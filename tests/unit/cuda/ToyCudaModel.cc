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
      LaunchGrid grid{.blocks = 8, .per_sm = 2, .threads = 64, .early = launch.kernel != "mix"};
      if (launch.kernel == "compact") {
        grid.scratch = kScratchCounterBytes + 64;
      }
      if (launch.kernel == "head") {
        grid.per_sm = 0;
        grid.shared = 64 * 1024;
      }
      launch.grids["sm_90"] = grid;
      // Other devices need not have the same.
      grid.blocks = 4;
      grid.threads = 32;
      launch.grids["sm_80"] = grid;
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

absl::Status WriteSyntheticArtifact(const std::string& path) {
  Manifest manifest = MakeManifest();
  manifest.synthetic = SyntheticTensors();
  manifest.targets.push_back({"cuda", "plan-cuda.json", {{"sm_90", "sm_90.cubin"}}});
  std::map<std::string, std::string> files = TokenizerFiles();
  files["plan-cpu.json"] = PrintJson(PlanToJson(MakePlan()));
  files["plan-cuda.json"] = PrintJson(PlanToJson(MakeCudaPlan()));
  ASSIGN_OR_RETURN(files["sm_90.cubin"], ReadTextFile(DEJAVU_TOY_CUDA_KERNELS));
  ASSIGN_OR_RETURN(files[manifest.targets[0].code[0].file], ReadTextFile(DEJAVU_TOY_KERNELS));
  return WriteArtifact(path, 1, manifest, files);
}

}  // namespace dejavu::toy
