// Tests against the fake driver.
#ifndef DEJAVU_TESTS_UNIT_CUDA_CUDAFIXTURE_H_
#define DEJAVU_TESTS_UNIT_CUDA_CUDAFIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/engine/Model.h"
#include "runtime/engine/Session.h"
#include "tests/unit/cuda/FakeBlas.h"
#include "tests/unit/cuda/FakeDriver.h"
#include "tests/unit/cuda/ToyCudaModel.h"
#include "tests/unit/runtime/TempFolder.h"

namespace dejavu::cuda {

/// The fake that this process has loaded as the driver; loads it.
[[nodiscard]] fake::State& Fake();
/// The same for cuBLASLt.
[[nodiscard]] fake::BlasState& FakeBlas();

/// A prompt for the toy model.
inline const std::vector<int32_t> kTokens = {2, 7, 1, 8, 23, 0, 8, 4, 5, 9, 0, 4, 5};

/// Starts with a healthy machine; ends with nothing alive and no rule broken.
class CudaFixture : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  [[nodiscard]] std::string path() const { return folder_.path() + "/toy.dejavu"; }
  /// The artifact `path()`, loaded.
  [[nodiscard]] absl::StatusOr<std::shared_ptr<const Model>> Load(const std::string& device = "cuda") const;
  /// Writes it first.
  [[nodiscard]] std::shared_ptr<const Model> WriteAndLoad(const Plan& plan = toy::MakeCudaPlan()) const;
  [[nodiscard]] static std::unique_ptr<Session> NewSession(const std::shared_ptr<const Model>& model,
                                                           bool statistics = false);
  [[nodiscard]] std::string LoadMessage() const { return std::string(Load().status().message()); }

  /// The logits, outliving their session's next call; none after a failure, which fails the test.
  [[nodiscard]] static std::vector<float> Copy(const absl::StatusOr<std::span<const float>>& logits);

  TempFolder folder_;
};

}  // namespace dejavu::cuda

#endif  // DEJAVU_TESTS_UNIT_CUDA_CUDAFIXTURE_H_
