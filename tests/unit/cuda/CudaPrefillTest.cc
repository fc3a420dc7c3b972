// Prompts through the plan's "prefill", with a cuBLASLt that works and one that fails.
#include <algorithm>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

#include "tests/unit/cuda/CudaFixture.h"
#include "tests/unit/runtime/ToyModel.h"

namespace dejavu::cuda {
namespace {

using ::testing::AllOf;
using ::testing::FloatNear;
using ::testing::HasSubstr;
using ::testing::Pointwise;
using ::testing::StartsWith;

class CudaPrefillTest : public CudaFixture {
 protected:
  void SetUp() override {
    CudaFixture::SetUp();
    Fake().total_bytes = size_t{140} << 20;
  }

  std::shared_ptr<const Model> WriteAndLoad() const { return CudaFixture::WriteAndLoad(toy::MakeCudaPrefillPlan()); }
  std::vector<float> Reference(size_t count) const { return toy::Reference(weights_, std::span(kTokens).first(count)); }

  const toy::ToyWeights weights_ = toy::MakeWeights(1);
};

TEST_F(CudaPrefillTest, AgreesWithTheReferenceForEveryLength) {
  const auto model = WriteAndLoad();
  EXPECT_EQ(model->device().DeviceName(1), "Fake GPU");
  const auto session = NewSession(model);
  for (size_t count = 1; count <= kTokens.size(); ++count) {
    session->Reset();
    EXPECT_THAT(Copy(session->Prefill(std::span(kTokens).first(count))), Pointwise(FloatNear(1e-4F), Reference(count)));
    EXPECT_EQ(session->position(), static_cast<int64_t>(count));
  }
  EXPECT_EQ(Fake().graphs.at(0).launches, 0);
}

TEST_F(CudaPrefillTest, TakesWholeChunks) {
  const auto session = NewSession(WriteAndLoad());
  ASSERT_TRUE(session->Prefill(kTokens).ok());
  // Of 5, 5 and 3 tokens: three products each, and a choice for each shape.
  EXPECT_EQ(FakeBlas().calls_of["cublasLtMatmul"], 9);
  EXPECT_EQ(FakeBlas().calls_of["cublasLtMatmulAlgoGetHeuristic"], 2 + 2 + 1);
  EXPECT_EQ(Fake().calls_of["cuLaunchKernel"], 9) << "embed, mix and last_row";
  EXPECT_EQ(Fake().calls_of["cuMemcpyDtoHAsync_v2"], 1) << "only the last chunk's logits come back";
}

TEST_F(CudaPrefillTest, DecodingGoesOnWhereItEnds) {
  const auto session = NewSession(WriteAndLoad());
  ASSERT_TRUE(session->Decode(kTokens[0]).ok());
  ASSERT_TRUE(session->Prefill(std::span(kTokens).subspan(1, 7)).ok());
  EXPECT_THAT(Copy(session->Decode(kTokens[8])), Pointwise(FloatNear(1e-4F), Reference(9)));
  EXPECT_THAT(Copy(session->Prefill(std::span(kTokens).subspan(9))), Pointwise(FloatNear(1e-4F), Reference(13)));
}

TEST_F(CudaPrefillTest, BiasAndReluByAKernelWhereTheLibraryHasNone) {
  const auto model = WriteAndLoad();
  FakeBlas().has_epilogues = false;
  const auto session = NewSession(model);
  EXPECT_THAT(Copy(session->Prefill(kTokens)), Pointwise(FloatNear(1e-4F), Reference(kTokens.size())));
  EXPECT_EQ(Fake().calls_of["cuLaunchKernel"], 9 + 6);
}

TEST_F(CudaPrefillTest, WithoutALibraryThatWorksPromptsAreDecoded) {
#ifdef __SANITIZE_ADDRESS__
  // After the fake library a toolkit's is tried, where there is one; it keeps some bytes when it finds no GPU.
  const __lsan::ScopedDisabler ignored;
#endif
  FakeBlas().fail_function = "cublasLtCreate";
  FakeBlas().fail_at = 1;
  FakeBlas().fail_result = 1;
  const auto model = WriteAndLoad();
  EXPECT_THAT(model->device().DeviceName(1),
              AllOf(StartsWith("Fake GPU (prompts token by token: "), HasSubstr("cuBLASLt")));
  const auto session = NewSession(model);
  EXPECT_THAT(Copy(session->Prefill(kTokens)), Pointwise(FloatNear(1e-4F), Reference(kTokens.size())));
  EXPECT_EQ(Fake().graphs.at(0).launches, 13);
}

TEST_F(CudaPrefillTest, EveryFailureOfTheLibraryEndsTheSession) {
  const auto model = WriteAndLoad();
  for (const char* function :
       {"cublasLtMatmulDescCreate", "cublasLtMatmulDescSetAttribute", "cublasLtMatrixLayoutCreate",
        "cublasLtMatmulPreferenceCreate", "cublasLtMatmulPreferenceSetAttribute", "cublasLtMatmulAlgoGetHeuristic",
        "cublasLtMatmul"}) {
    SCOPED_TRACE(function);
    for (int64_t call = 1;; ++call) {
      FakeBlas().calls_of.clear();
      FakeBlas().fail_function = function;
      FakeBlas().fail_at = call;
      FakeBlas().fail_result = 14;
      const auto session = NewSession(model);
      const absl::Status status = session->Prefill(kTokens).status();
      if (FakeBlas().calls_of[function] < call) {
        EXPECT_TRUE(status.ok()) << status;
        break;
      }
      // A product that can't be asked for with its epilogue is asked for without.
      if (!status.ok()) {
        EXPECT_THAT(std::string(status.message()), HasSubstr("CUBLAS_STATUS_INTERNAL_ERROR")) << call;
        EXPECT_EQ(session->Decode(1).status(), status);
      }
    }
  }
}

TEST_F(CudaPrefillTest, EveryFailureOfTheDriverEndsTheSession) {
  const auto model = WriteAndLoad();
  for (const char* function : {"cuMemcpyHtoDAsync_v2", "cuLaunchKernel", "cuStreamSynchronize"}) {
    SCOPED_TRACE(function);
    const auto session = NewSession(model);
    Fake().calls_of.clear();
    Fake().fail_function = function;
    Fake().fail_at = 2;
    Fake().fail_result = 719;
    const absl::Status status = session->Prefill(kTokens).status();
    EXPECT_THAT(std::string(status.message()), HasSubstr("CUDA_ERROR_LAUNCH_FAILED"));
    EXPECT_EQ(session->Decode(1).status(), status);
    Fake().fail_at = 0;
  }
}

TEST_F(CudaPrefillTest, MemoryForTheLibraryIsCounted) {
  Fake().total_bytes = size_t{100} << 20;
  ASSERT_TRUE(toy::WriteCudaArtifact(path(), toy::MakeCudaPrefillPlan()).ok());
  EXPECT_THAT(LoadMessage(), AllOf(StartsWith(path() + ": not enough memory on Fake GPU: 134."),
                                   HasSubstr("134.2 MB for the driver")));
}

TEST_F(CudaPrefillTest, PlansThatNoGpuRunsAreNamed) {
  Plan plan = toy::MakeCudaPrefillPlan();
  plan.functions["prefill"].launches[0].grids.clear();
  ASSERT_TRUE(toy::WriteCudaArtifact(path(), plan).ok());
  EXPECT_THAT(LoadMessage(), HasSubstr("'functions.prefill.launches[0]': kernel 'embed' has no grid for sm_90"));
  plan = toy::MakeCudaPrefillPlan();
  plan.functions["prefill"].launches[3].gemm->relu = true;
  ASSERT_TRUE(toy::WriteCudaArtifact(path(), plan).ok());
  EXPECT_THAT(LoadMessage(), HasSubstr("'functions.prefill.launches[3]': a product with ReLU and residual"));
}

}  // namespace
}  // namespace dejavu::cuda
