// The guards of the conformance suite's CUDA half, on the fake driver.
#include "ir/base/FileUtil.h"
#include "runtime/cuda/CudaObjects.h"
#include "tests/conformance/CudaCall.h"
#include "tests/unit/cuda/CudaFixture.h"

namespace dejavu::cuda {
namespace {

using ::testing::HasSubstr;

class CudaCallTest : public CudaFixture {
 protected:
  /// Calls the kernel with x = 1, 2, 3, 4.
  static absl::StatusOr<std::vector<testing::Argument>> Call(const std::string& kernel, int64_t shift) {
    const auto device = CudaDevice::Open(*Driver::Get().value(), 0).value();
    const CudaDevice::Scope scope(*device);
    const std::string code = ReadTextFile(DEJAVU_TOY_CUDA_KERNELS).value();
    ModuleHandle handle = nullptr;
    EXPECT_TRUE(device->driver().ModuleLoadData(&handle, code.data()).ok());
    const Module module(*device, handle);
    testing::CudaCall call;
    EXPECT_TRUE(device->driver().ModuleGetFunction(&call.function, handle, kernel.c_str()).ok());
    call.grid.scratch = kScratchCounterBytes + 64;
    call.shift = shift;
    call.launches = 2;
    testing::Problem problem;
    problem.args = {testing::ValuesArgument(DType::kF32, {1, 2, 3, 4}), testing::PoisonedArgument(DType::kF32, 4)};
    return testing::CallOnDevice(*device, call, problem);
  }
};

TEST_F(CudaCallTest, GivesTheArgumentsBack) {
  for (const int64_t shift : {0, 64}) {
    const auto after = Call("cuda_copy", shift);
    ASSERT_TRUE(after.ok()) << after.status();
    EXPECT_EQ(after->at(1).bytes, after->at(0).bytes);
    EXPECT_EQ(after->at(1).At(3), 4);
  }
}

TEST_F(CudaCallTest, WritesOutsideTheBuffersAreFound) {
  EXPECT_THAT(std::string(Call("cuda_copy_behind", 0).status().message()),
              HasSubstr("in front of the dims and 0 behind"));
  EXPECT_THAT(std::string(Call("cuda_copy_before", 64).status().message()),
              HasSubstr("written 3 bytes in front of argument 1"));
}

TEST_F(CudaCallTest, CountersThatAreLeftAreFound) {
  EXPECT_THAT(std::string(Call("cuda_copy_counting", 0).status().message()), HasSubstr("counters"));
}

}  // namespace
}  // namespace dejavu::cuda
