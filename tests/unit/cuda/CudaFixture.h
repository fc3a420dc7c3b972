// Tests against the fake driver.
#ifndef DEJAVU_TESTS_UNIT_CUDA_CUDAFIXTURE_H_
#define DEJAVU_TESTS_UNIT_CUDA_CUDAFIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
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

  TempFolder folder_;
};

}  // namespace dejavu::cuda

#endif  // DEJAVU_TESTS_UNIT_CUDA_CUDAFIXTURE_H_
