// Products with weights of every type on the fake device.
#include <random>
#include <span>

#include "ir/base/DType.h"
#include "ir/base/FileUtil.h"
#include "runtime/cuda/CudaGemm.h"
#include "runtime/cuda/CudaObjects.h"
#include "tests/unit/cuda/CudaFixture.h"

namespace dejavu::cuda {
namespace {

struct GemmCase {
  GemmSpec spec;
  int64_t tokens = 1;
};

std::vector<float> Random(int64_t count, uint32_t seed) {
  std::minstd_rand random(seed);
  std::uniform_real_distribution<float> uniform(-1.0F, 1.0F);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) {
    value = uniform(random);
  }
  return values;
}

/// Values as they are stored, and rounded.
std::vector<std::byte> Store(DType dtype, std::vector<float>& values) {
  std::vector<std::byte> bytes(values.size() * DTypeSize(dtype));
  for (size_t i = 0; i < values.size(); ++i) {
    if (dtype == DType::kF32) {
      reinterpret_cast<float*>(bytes.data())[i] = values[i];
    } else {
      reinterpret_cast<uint16_t*>(bytes.data())[i] =
          dtype == DType::kF16 ? FloatToHalf(values[i]) : FloatToBFloat16(values[i]);
    }
    values[i] = static_cast<float>(LoadAsDouble(dtype, bytes.data(), i));
  }
  return bytes;
}

std::vector<double> Expected(const GemmCase& test, const std::vector<float>& x, const std::vector<float>& w,
                             const std::vector<float>& bias, const std::vector<float>& residual) {
  const GemmSpec& spec = test.spec;
  std::vector<double> y;
  for (int64_t t = 0; t < test.tokens; ++t) {
    for (int64_t i = 0; i < spec.n; ++i) {
      double sum = spec.bias ? static_cast<double>(bias[static_cast<size_t>(i)]) : 0;
      for (int64_t k = 0; k < spec.k; ++k) {
        sum += static_cast<double>(x[static_cast<size_t>(t * spec.k + k)]) *
               static_cast<double>(w[static_cast<size_t>(spec.transposed ? k * spec.n + i : i * spec.k + k)]);
      }
      sum = spec.relu ? std::max(sum, 0.0) : sum;
      y.push_back(sum + (spec.residual ? static_cast<double>(residual[static_cast<size_t>(t * spec.n + i)]) : 0));
    }
  }
  return y;
}

class CudaGemmTest : public CudaFixture, public ::testing::WithParamInterface<GemmCase> {
 protected:
  void SetUp() override {
    CudaFixture::SetUp();
    device_ = CudaDevice::Open(*Driver::Get().value(), 0).value();
  }
  void TearDown() override {
    device_.reset();
    CudaFixture::TearDown();
  }

  std::shared_ptr<const CudaDevice> device_;
};

TEST_P(CudaGemmTest, AgreesWithTheObviousLoops) {
  const auto& [spec, tokens] = GetParam();
  std::vector<float> x = Random(tokens * spec.k, 1);
  std::vector<float> w = Random(spec.n * spec.k, 2);
  const std::vector<float> bias = Random(spec.n, 3);
  const std::vector<float> residual = Random(tokens * spec.n, 4);
  const CudaDevice::Scope scope(*device_);
  const auto blas = Blas::Create(*device_);
  ASSERT_TRUE(blas.ok()) << blas.status();
  const std::string code = ReadTextFile(DEJAVU_TOY_CUDA_KERNELS).value();
  ModuleHandle handle = nullptr;
  ASSERT_TRUE(device_->driver().ModuleLoadData(&handle, static_cast<const void*>(code.data())).ok());
  const Module module(*device_, handle);
  GemmKernels kernels;
  ASSERT_TRUE(device_->driver().ModuleGetFunction(&kernels.round_to_f16, handle, kRoundToF16Symbol).ok());
  ASSERT_TRUE(device_->driver().ModuleGetFunction(&kernels.round_to_bf16, handle, kRoundToBF16Symbol).ok());
  ASSERT_TRUE(device_->driver().ModuleGetFunction(&kernels.finish_product, handle, kFinishProductSymbol).ok());

  const auto copy = [&](const auto& values) {
    const auto bytes = std::as_bytes(std::span(values));
    auto memory = AllocateDevice(*device_, static_cast<int64_t>(bytes.size()), "a test");
    EXPECT_TRUE(memory.ok()) << memory.status();
    std::copy(bytes.begin(), bytes.end(), reinterpret_cast<std::byte*>(memory->get()));
    return *std::move(memory);
  };
  const DeviceMemory x_there = copy(x);
  const DeviceMemory w_there = copy(Store(spec.dtype, w));
  const DeviceMemory bias_there = copy(bias);
  const DeviceMemory y_there = copy(residual);  // in place
  const DeviceMemory rounded = copy(std::vector<std::byte>(static_cast<size_t>(RoundedBytes(spec, tokens) + 1)));
  const int64_t workspace_bytes = WorkspaceBytes(spec, tokens);
  const DeviceMemory workspace = copy(std::vector<std::byte>(static_cast<size_t>(workspace_bytes)));
  Stream stream = NewStream(*device_).value();
  CudaGemm gemm(*device_, **blas, kernels, {rounded.get(), workspace.get(), workspace_bytes});
  const absl::Status status = gemm.Run(spec,
                                       {.x = x_there.get(),
                                        .w = w_there.get(),
                                        .bias = spec.bias ? bias_there.get() : 0,
                                        .residual = spec.residual ? y_there.get() : 0,
                                        .y = y_there.get(),
                                        .tokens = tokens},
                                       stream.get());
  ASSERT_TRUE(status.ok()) << status;
  ASSERT_TRUE(device_->driver().StreamSynchronize(stream.get()).ok());

  (void)Store(spec.dtype, x);  // rounds
  const std::vector<double> expected = Expected(GetParam(), x, w, bias, residual);
  const auto* y = reinterpret_cast<const float*>(y_there.get());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(static_cast<double>(y[i]), expected[i], 1e-5) << i;
  }
}

std::vector<GemmCase> GemmCases() {
  std::vector<GemmCase> cases;
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    cases.push_back({{.n = 5, .k = 8, .dtype = dtype}, 3});
    cases.push_back({{.n = 16, .k = 24, .dtype = dtype, .relu = true, .bias = true}, 7});
    cases.push_back({{.n = 9, .k = 16, .dtype = dtype, .transposed = true, .bias = true, .residual = true}, 2});
    cases.push_back({{.n = 3, .k = 40, .dtype = dtype, .relu = true, .transposed = true}, 1});
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Shapes, CudaGemmTest, ::testing::ValuesIn(GemmCases()));

TEST_F(CudaGemmTest, AShapeThatTheLibraryHasNotIsNamed) {
  const CudaDevice::Scope scope(*device_);
  const auto blas = Blas::Create(*device_);
  ASSERT_TRUE(blas.ok()) << blas.status();
  CudaGemm gemm(*device_, **blas, {}, {});
  FakeBlas().fail_function = "cublasLtMatmulAlgoGetHeuristic";
  FakeBlas().fail_at = 1;
  FakeBlas().fail_result = kBlasNotSupported;
  EXPECT_EQ(gemm.Run({.n = 4, .k = 8}, {.tokens = 3}, nullptr).message(),
            "a product of 3 rows of 8 numbers with 4 rows: cuBLASLt failed: it can't compute this product "
            "(CUBLAS_STATUS_NOT_SUPPORTED from cublasLtMatmulAlgoGetHeuristic)");
}

}  // namespace
}  // namespace dejavu::cuda
