// What goes wrong with a GPU: every call of the driver fails once, and each mistake of a user has its message.
#include <filesystem>

#include "ir/base/FileUtil.h"
#include "ir/base/Hash.h"
#include "ir/base/Status.h"
#include "runtime/artifact/Json.h"
#include "runtime/cuda/Driver.h"
#include "runtime/cuda/MemoryLayout.h"
#include "tests/unit/cuda/CudaFixture.h"
#include "tests/unit/runtime/ToyModel.h"

namespace dejavu::cuda {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr char kFake[] = "libcuda.so.1";

class CudaErrorsTest : public CudaFixture {
 protected:
  void Write(const Plan& plan = toy::MakeCudaPlan(), const std::vector<std::string>& isas = {"sm_80", "sm_90"}) const {
    const absl::Status written = toy::WriteCudaArtifact(path(), plan, isas);
    ASSERT_TRUE(written.ok()) << written;
  }

  static std::string DriverMessage(const std::string& library) {
    return std::string(Driver::Load(library).status().message());
  }

  static void Fail(const std::string& function, int64_t at, Result result, bool lost = false) {
    Fake().calls = 0;
    Fake().calls_of.clear();
    Fake().fail_function = function;
    Fake().fail_at = at;
    Fake().fail_result = result;
    Fake().lost = lost;
  }
};

TEST_F(CudaErrorsTest, NoDriverSaysSo) {
  EXPECT_THAT(DriverMessage("/no/such/libcuda.so.1"),
              AllOf(StartsWith("there is no NVIDIA driver (/no/such/libcuda.so.1"), HasSubstr("--device=cpu")));
  EXPECT_THAT(DriverMessage("libm.so.6"), HasSubstr("is not the NVIDIA driver"));
}

TEST_F(CudaErrorsTest, AnOldDriverSaysWhatItIsAndWhatIsNeeded) {
  Fake().version = 11080;
  EXPECT_THAT(DriverMessage(kFake), AllOf(HasSubstr("too old: it is made for CUDA 11.8, but CUDA 12.3 or newer"),
                                          HasSubstr("update the driver")));
  Fake().version = Driver::kMinVersion;
  EXPECT_TRUE(Driver::Load(kFake).ok());
}

TEST_F(CudaErrorsTest, ADriverWithoutADeviceSaysSo) {
  Fake().devices = 0;
  const absl::Status status = Driver::Load(kFake).status();
  EXPECT_EQ(ExitCode(status), 1);
  EXPECT_THAT(std::string(status.message()), HasSubstr("finds no GPU"));
}

TEST_F(CudaErrorsTest, ADeviceNumberTooHighSaysWhichThereAre) {
  Write();
  EXPECT_EQ(Load("cuda:1").status().message(), "there is no device cuda:1; the driver finds one GPU, cuda:0");
  Fake().devices = 4;
  EXPECT_EQ(Load("cuda:7").status().message(), "there is no device cuda:7; the driver finds 4 GPUs, cuda:0 to cuda:3");
  EXPECT_TRUE(Load("cuda:3").ok());
}

TEST_F(CudaErrorsTest, CodeForOtherArchitecturesNamesTheFlag) {
  Write(toy::MakeCudaPlan(), {"sm_80", "sm_100"});
  EXPECT_EQ(LoadMessage(), path() +
                               ": holds code for sm_80, sm_100, but Fake GPU runs sm_90; build the artifact again "
                               "with --target=cuda:sm_90");
}

TEST_F(CudaErrorsTest, ArtifactsForTheOtherDeviceSayWhatTheyAreFor) {
  Write();
  EXPECT_THAT(std::string(Load("cpu").status().message()),
              StartsWith(path() + ": has no code for the device 'cpu', only for: cuda"));
}

TEST_F(CudaErrorsTest, KernelsThatTheCodeLacksAreNamed) {
  Plan plan = toy::MakeCudaPlan();
  plan.functions["decode"].launches[6].symbol = "cuda_toy_tail";
  Write(plan);
  EXPECT_EQ(LoadMessage(), path() + "/sm_90.cubin: has no kernel 'cuda_toy_tail', which the plan launches");
}

TEST_F(CudaErrorsTest, PlansThatNoGpuRunsAreNamed) {
  Plan plan = toy::MakeCudaPlan();
  plan.functions["decode"].launches[2].grids.erase("sm_90");
  Write(plan);
  EXPECT_THAT(LoadMessage(), AllOf(StartsWith(path() + "/plan-cuda.json: field 'functions.decode.launches[2]'"),
                                   HasSubstr("has no grid for sm_90")));
}

TEST_F(CudaErrorsTest, ArgumentsThatAKernelDoesNotTakeAreAnError) {
  Plan plan = toy::MakeCudaPlan();
  plan.functions["decode"].launches[0].args.pop_back();
  Write(plan);
  const auto model = Load();
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_THAT(std::string(Session::Create(*model, {}).status().message()),
              StartsWith("cuda_toy_embed: the GPU failed"));
}

TEST_F(CudaErrorsTest, DamagedWeightsAreFoundOnTheWay) {
  Write();
  const std::string file = path() + "/weights.safetensors";
  std::string bytes = ReadTextFile(file).value();
  bytes[bytes.size() - 40] ^= 1;
  ASSERT_TRUE(WriteFileAtomically(file, bytes).ok());
  EXPECT_THAT(LoadMessage(), AllOf(StartsWith(file + ": is damaged: the manifest says tensor 'fc2.bias'")));
  EXPECT_TRUE(Model::Load(path(), {.device = "cuda", .weights = {.verify_hashes = false}}).ok());
}

TEST_F(CudaErrorsTest, CodeThatIsNoneIsNamed) {
  Write();
  ASSERT_TRUE(WriteFileAtomically(path() + "/sm_90.cubin", "no code").ok());
  auto manifest = nlohmann::json::parse(ReadTextFile(path() + "/manifest.json").value());
  manifest["files"]["sm_90.cubin"] = {{"bytes", 7}, {"xxh3", HashText(Hash64(std::string_view("no code")))}};
  SealManifest(manifest);
  ASSERT_TRUE(WriteFileAtomically(path() + "/manifest.json", manifest.dump()).ok());
  EXPECT_THAT(LoadMessage(), AllOf(StartsWith(path() + "/sm_90.cubin: "), HasSubstr("CUDA_ERROR_INVALID_IMAGE")));
}

TEST_F(CudaErrorsTest, TooLittleMemorySaysWhatIsNeededAndWhatFits) {
  Write();
  Fake().total_bytes = 1 << 20;
  EXPECT_THAT(LoadMessage(), AllOf(StartsWith(path() + ": not enough memory on Fake GPU: 67.1 MB are needed ("),
                                   HasSubstr("kB for weights"), HasSubstr("1.0 MB of 1.0 MB are free")));
}

TEST_F(CudaErrorsTest, LayersThatWouldFitAreCounted) {
  const Plan plan = toy::MakeCudaPlan();
  WeightLayout weights{{}, int64_t{100} << 30};
  SessionLayout session;
  session.cache_bytes = int64_t{10} << 30;
  session.bytes = int64_t{11} << 30;
  const MemoryNeed need = {&weights, &session, 64, int64_t{3} << 29};
  EXPECT_TRUE(CheckFits(need, int64_t{112} << 30, int64_t{140} << 30, "GPU").ok());
  const absl::Status status = CheckFits(need, int64_t{80} << 30, int64_t{80} << 30, "GPU");
  EXPECT_EQ(ExitCode(status), 1);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("107.37 GB for weights, 10.74 GB for KV caches"),
                    HasSubstr("of the model's 64 layers, 43 would fit"), HasSubstr("layers=43")));
  EXPECT_THAT(std::string(CheckFits(need, 1 << 20, 1 << 20, "GPU").message()), HasSubstr("not even one"));
}

TEST_F(CudaErrorsTest, WeightsOfLayersAreKnownByTheirNames) {
  Plan plan = toy::MakeCudaPlan();
  for (Launch& launch : plan.functions["decode"].launches) {
    launch.layer = -1;
  }
  for (std::string& name : plan.weights) {
    name = "other";
  }
  plan.weights[0] = "layers.1.mlp.fc1";
  const std::vector<int64_t> bytes(plan.weights.size(), 1 << 20);
  const WeightLayout weights = LayOutWeights(bytes);
  EXPECT_EQ(NeedOf(plan, bytes, 2, weights, {}).layer_bytes, 1 << 19);
}

TEST_F(CudaErrorsTest, ASessionThatDoesNotFitIsAnErrorAndTheModelLives) {
  Write();
  const auto model = Load();
  ASSERT_TRUE(model.ok()) << model.status();
  const auto first = Session::Create(*model, {.threads = 1});
  ASSERT_TRUE(first.ok()) << first.status();
  Fail("cuMemAlloc_v2", 1, kErrorOutOfMemory);
  const absl::Status status = Session::Create(*model, {.threads = 1}).status();
  EXPECT_EQ(ExitCode(status), 1);
  EXPECT_THAT(std::string(status.message()),
              AllOf(StartsWith("not enough memory on Fake GPU for the KV caches and buffers of a session"),
                    HasSubstr("are free")));
  EXPECT_TRUE((*first)->Decode(3).ok());
  EXPECT_TRUE(Session::Create(*model, {.threads = 1}).ok());
}

TEST_F(CudaErrorsTest, AFaultingKernelEndsTheSessionWithOneStatus) {
  const auto model = WriteAndLoad();
  const auto session = NewSession(model);
  ASSERT_TRUE(session->Decode(1).ok());
  Fake().fault_at = Fake().kernels + 3;
  const absl::Status status = session->Decode(2).status();
  EXPECT_EQ(ExitCode(status), 70);
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("a kernel left its buffers (CUDA_ERROR_ILLEGAL_ADDRESS")));
  Fake().fault_at = 0;
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(session->Decode(3).status(), status);
    EXPECT_EQ(session->Advance(3), status);
    EXPECT_EQ(session->Prefill(std::vector<int32_t>{1, 2}).status(), status);
  }
  session->Reset();
  EXPECT_EQ(session->Decode(3).status(), status) << "a reset mends nothing";
}

TEST_F(CudaErrorsTest, AFaultOfAnUnwatchedTokenComesWithTheNext) {
  const auto session = NewSession(WriteAndLoad());
  Fake().fault_at = Fake().kernels + 1;
  ASSERT_TRUE(session->Advance(1).ok());
  const absl::Status status = session->Advance(2);
  EXPECT_THAT(std::string(status.message()), HasSubstr("CUDA_ERROR_ILLEGAL_ADDRESS"));
  EXPECT_EQ(session->Decode(3).status(), status);
}

TEST_F(CudaErrorsTest, AFaultWhileTheDeviceIsAheadEndsTheSession) {
  const auto session = NewSession(WriteAndLoad());
  Fake().fault_at = Fake().kernels + 20;
  int64_t seen = 0;
  const absl::Status status = session->DecodeGreedily(1, 20, [&](int32_t) { return ++seen < 20; });
  EXPECT_THAT(std::string(status.message()), HasSubstr("CUDA_ERROR_ILLEGAL_ADDRESS"));
  EXPECT_LT(seen, 20);
  EXPECT_EQ(session->Decode(3).status(), status);
}

TEST_F(CudaErrorsTest, LogitsWithoutAChoiceAreTheUsersErrorAndTheSessionLives) {
  Write();
  for (const bool statistics : {false, true}) {
    // Weights that are not numbers, with their hashes unchecked.
    const auto weights = path() + "/weights.safetensors";
    std::string bytes = ReadTextFile(weights).value();
    std::fill(bytes.end() - 40, bytes.end() - 36, '\xFF');  // of fc2's bias
    ASSERT_TRUE(WriteFileAtomically(weights, bytes).ok());
    const auto model = Model::Load(path(), {.device = "cuda", .weights = {.verify_hashes = false}});
    ASSERT_TRUE(model.ok()) << model.status();
    const auto session = NewSession(*model, statistics);
    const absl::Status status = session->DecodeGreedily(1, 5, [](int32_t) { return true; });
    EXPECT_EQ(ExitCode(status), 1);
    EXPECT_THAT(std::string(status.message()), StartsWith("the logits after token 1 give no choice"));
    EXPECT_EQ(session->position(), 1);
    EXPECT_TRUE(session->Decode(1).ok());
  }
}

TEST_F(CudaErrorsTest, WrongArgumentsDoNotEndASession) {
  const auto session = NewSession(WriteAndLoad());
  EXPECT_FALSE(session->Decode(24).ok());
  EXPECT_FALSE(session->Prefill({}).ok());
  EXPECT_TRUE(session->Decode(23).ok());
}

/// Loads, decodes with and without statistics, and measures.
absl::Status DoEverything(const std::string& path) {
  ASSIGN_OR_RETURN(const auto model, Model::Load(path, {.device = "cuda"}));
  ASSIGN_OR_RETURN(const auto session, Session::Create(model, {.threads = 1}));
  RETURN_IF_ERROR(session->Prefill(std::vector<int32_t>{1, 2}).status());
  session->CollectStatistics(true);
  RETURN_IF_ERROR(session->Decode(3).status());
  RETURN_IF_ERROR(session->DecodeGreedily(4, 2, [](int32_t) { return true; }));
  session->CollectStatistics(false);
  RETURN_IF_ERROR(session->DecodeGreedily(4, 7, [](int32_t) { return true; }));
  RETURN_IF_ERROR(session->Trace(5).status());
  ASSIGN_OR_RETURN(const auto meter, model->device().NewMemoryMeter(1, 1));
  return meter->Copy().status();
}

// What gives something back has nobody to tell of a failure.
bool GivesBack(const std::string& function) {
  return function == "cuMemFree_v2" || function == "cuMemFreeHost" || function == "cuModuleUnload" ||
         function == "cuCtxPopCurrent_v2" || function.starts_with("cuDevicePrimaryCtxRelease") ||
         function.find("Destroy") != std::string::npos;
}

// Each call of the driver fails in turn, alone or for good: always a Status, and everything is given back.
TEST_F(CudaErrorsTest, EveryFailureOfEveryCallIsAStatus) {
  Write();
  ASSERT_TRUE(Driver::Get().ok());  // loaded once for the process
  Fail("", 0, 0);
  ASSERT_TRUE(DoEverything(path()).ok());
  const int64_t calls = Fake().calls;
  ASSERT_GT(calls, 100);
  struct Mode {
    Result result;
    bool lost;
  };
  for (const auto& [result, lost] : {Mode{kErrorOutOfMemory, false}, Mode{719, true}, Mode{999, false}}) {
    for (int64_t at = 1; at <= calls; ++at) {
      SetUp();
      Fail("", at, result, lost);
      const absl::Status status = DoEverything(path());
      EXPECT_NE(Fake().failed, "");
      // Making the context current, too, comes before giving back.
      const bool may_pass = GivesBack(Fake().failed) || Fake().failed == "cuCtxPushCurrent_v2";
      EXPECT_TRUE(may_pass || !status.ok()) << Fake().failed;
      TearDown();
      ASSERT_FALSE(HasFailure()) << "call " << at << " of " << calls << ", result " << result;
    }
  }
  SetUp();
}

}  // namespace
}  // namespace dejavu::cuda
