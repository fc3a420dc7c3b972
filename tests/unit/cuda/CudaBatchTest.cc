// Several sequences at once on the fake driver.
#include <algorithm>

#include "runtime/engine/BatchSession.h"
#include "tests/unit/cuda/CudaFixture.h"
#include "tests/unit/runtime/ToyModel.h"

namespace dejavu::cuda {
namespace {

using ::testing::AllOf;
using ::testing::FloatNear;
using ::testing::HasSubstr;
using ::testing::Pointwise;

using Tokens = std::vector<int32_t>;

class CudaBatchTest : public CudaFixture {
 protected:
  void SetUp() override {
    CudaFixture::SetUp();
    Fake().total_bytes = size_t{140} << 20;
  }

  static std::unique_ptr<BatchSession> NewBatch(const std::shared_ptr<const Model>& model, int64_t sequences = 2,
                                                bool statistics = false) {
    auto session = BatchSession::Create(model, sequences, {.threads = 1, .statistics = statistics});
    EXPECT_TRUE(session.ok()) << session.status();
    return *std::move(session);
  }

  /// What each sequence expects by itself, one after the other.
  static std::vector<float> Expected(const std::vector<Tokens>& sequences) {
    std::vector<float> all;
    for (const Tokens& tokens : sequences) {
      const std::vector<float> logits = toy::Reference(toy::MakeWeights(1), tokens);
      all.insert(all.end(), logits.begin(), logits.end());
    }
    return all;
  }
};

TEST_F(CudaBatchTest, EachSequenceDecodesAsAlone) {
  for (const bool prefill : {false, true}) {
    SCOPED_TRACE(prefill);
    const auto model = WriteAndLoad(toy::WithBatch(prefill ? toy::MakeCudaPrefillPlan() : toy::MakeCudaPlan(), 3));
    const auto session = NewBatch(model, 3);
    std::vector<Tokens> texts = {{5, 7, 2, 11, 4, 9, 1}, {3}, {20, 21}};
    for (size_t i = 0; i < texts.size(); ++i) {
      EXPECT_THAT(Copy(session->Prefill(static_cast<int64_t>(i), texts[i])),
                  Pointwise(FloatNear(1e-4F), Expected({texts[i]})));
    }
    for (int32_t step = 0; step < 4; ++step) {
      const Tokens next = {step, 23 - step, 5 * step};
      for (size_t i = 0; i < texts.size(); ++i) {
        texts[i].push_back(next[i]);
      }
      EXPECT_THAT(Copy(session->Decode(next)), Pointwise(FloatNear(1e-4F), Expected(texts)));
    }
  }
}

TEST_F(CudaBatchTest, ASequenceMakesPlaceForAnother) {
  const auto session = NewBatch(WriteAndLoad(toy::WithBatch(toy::MakeCudaPrefillPlan(), 2)));
  ASSERT_TRUE(session->Prefill(0, Tokens{1, 2, 3}).ok());
  ASSERT_TRUE(session->Prefill(1, Tokens{4, 5}).ok());
  session->Reset(1);
  ASSERT_TRUE(session->Prefill(1, Tokens{9}).ok());
  EXPECT_THAT(Copy(session->Decode(Tokens{6, 7})), Pointwise(FloatNear(1e-4F), Expected({{1, 2, 3, 6}, {9, 7}})));
}

TEST_F(CudaBatchTest, ChoosesTheLikeliestTokens) {
  const auto session = NewBatch(WriteAndLoad(toy::WithBatch(toy::MakeCudaPlan(), 2)));
  std::vector<Tokens> texts = {{1}, {2}};
  for (int step = 0; step < 5; ++step) {
    const auto choices = session->DecodeGreedily(Tokens{texts[0].back(), texts[1].back()});
    ASSERT_TRUE(choices.ok()) << choices.status();
    for (size_t i = 0; i < 2; ++i) {
      const std::vector<float> logits = Expected({texts[i]});
      const auto best = std::max_element(logits.begin(), logits.end()) - logits.begin();
      EXPECT_EQ((*choices)[i], best);
      texts[i].push_back(static_cast<int32_t>(best));
    }
  }
}

TEST_F(CudaBatchTest, CountsTheUnionOfNeurons) {
  const auto session = NewBatch(WriteAndLoad(toy::WithBatch(toy::MakeCudaPlan(), 2)), 2, true);
  ASSERT_TRUE(session->Decode(Tokens{3, 14}).ok());
  std::vector<int64_t> first;
  std::vector<int64_t> second;
  (void)toy::Reference(toy::MakeWeights(1), Tokens{3}, &first);
  (void)toy::Reference(toy::MakeWeights(1), Tokens{14}, &second);
  const double density = session->statistics().MlpDensity().at(0);
  EXPECT_GE(density, static_cast<double>(std::max(first[0], second[0])) / toy::kNeurons);
  EXPECT_LE(density, static_cast<double>(first[0] + second[0]) / toy::kNeurons);
}

TEST_F(CudaBatchTest, RefusesWhatItCannotDoAndLives) {
  const auto model = WriteAndLoad(toy::WithBatch(toy::MakeCudaPlan(), 2));
  EXPECT_THAT(std::string(BatchSession::Create(model, 4, {.threads = 1}).status().message()),
              AllOf(HasSubstr("has no code for 4 sequences at once, only for 1 and 2"), HasSubstr("--batch=N")));
  const auto session = NewBatch(model);
  EXPECT_THAT(std::string(session->Decode(Tokens{1}).status().message()), HasSubstr("each of the 2 sequences"));
  EXPECT_THAT(std::string(session->Decode(Tokens{1, 99}).status().message()), HasSubstr("sequence 1"));
  EXPECT_THAT(std::string(session->Prefill(2, Tokens{1}).status().message()), HasSubstr("there is no sequence 2"));
  EXPECT_TRUE(session->Decode(Tokens{1, 2}).ok());
}

TEST_F(CudaBatchTest, AFaultingKernelEndsItWithOneStatus) {
  const auto session = NewBatch(WriteAndLoad(toy::WithBatch(toy::MakeCudaPlan(), 2)));
  ASSERT_TRUE(session->Decode(Tokens{1, 2}).ok());
  Fake().fault_at = Fake().kernels + 3;
  const absl::Status status = session->Decode(Tokens{3, 4}).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("CUDA_ERROR_ILLEGAL_ADDRESS"));
  Fake().fault_at = 0;
  EXPECT_EQ(session->Decode(Tokens{3, 4}).status(), status);
  EXPECT_EQ(session->Prefill(0, Tokens{3}).status(), status);
}

TEST_F(CudaBatchTest, ABatchThatDoesNotFitIsAnErrorAndTheModelLives) {
  const auto model = WriteAndLoad(toy::WithBatch(toy::MakeCudaPlan(), 2));
  Fake().calls_of.clear();
  Fake().fail_function = "cuMemAlloc_v2";
  Fake().fail_at = 1;
  Fake().fail_result = 2;  // CUDA_ERROR_OUT_OF_MEMORY
  const absl::Status status = BatchSession::Create(model, 2, {.threads = 1}).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("the KV caches and buffers of 2 sequences"));
  EXPECT_TRUE(NewBatch(model)->Decode(Tokens{1, 2}).ok());
}

}  // namespace
}  // namespace dejavu::cuda
