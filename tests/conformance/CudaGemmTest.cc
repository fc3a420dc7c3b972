// The products of prefill on a GPU, by its cuBLASLt, against sums in double precision: random inputs, a poisoned
// result, guards around it, twice with equal bits.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "absl/strings/str_cat.h"
#include "codegen/cuda/CudaBackend.h"
#include "runtime/cuda/CudaGemm.h"
#include "runtime/cuda/CudaObjects.h"
#include "tests/conformance/Cases.h"
#include "tests/conformance/Problem.h"

namespace dejavu::testing {
namespace {

using cuda::CudaDevice;
using cuda::DeviceMemory;
using cuda::DevicePointer;

constexpr size_t kGuardBytes = 4096;

struct GemmCase {
  dejavu::GemmSpec spec;
  int64_t tokens = 1;
};

/// How far results may be from products of exactly these numbers, and of numbers that are not rounded to the weights'
/// type first: 2^-11 and 2^-8 for each activation, of which errors of both signs leave less.
double Tolerance(DType dtype) { return dtype == DType::kF32 ? 1e-5 : 3e-5; }
double RoundingTolerance(DType dtype) { return dtype == DType::kF32 ? 1e-5 : dtype == DType::kF16 ? 5e-4 : 4e-3; }

/// A GPU with its library, kernels and a stream. What `why_not` names is missing.
class Gpu {
 public:
  Gpu() { why_not = std::string(Open().message()); }

  absl::Status Open() {
    ASSIGN_OR_RETURN(const cuda::Driver* driver, cuda::Driver::Get());
    ASSIGN_OR_RETURN(device, CudaDevice::Open(*driver, 0));
    const CudaDevice::Scope scope(*device);
    RETURN_IF_ERROR(scope.status());
    ASSIGN_OR_RETURN(blas, cuda::Blas::Create(*device));
    RETURN_IF_ERROR(LoadKernels());
    ASSIGN_OR_RETURN(stream, cuda::NewStream(*device));
    return absl::OkStatus();
  }

  DeviceMemory Copy(std::span<const std::byte> bytes) const {
    auto memory = cuda::AllocateDevice(*device, static_cast<int64_t>(bytes.size()), "a test");
    auto pinned = cuda::AllocatePinned(*device, static_cast<int64_t>(bytes.size()));
    EXPECT_TRUE(memory.ok() && pinned.ok());
    std::memcpy(pinned->get(), bytes.data(), bytes.size());
    EXPECT_TRUE(device->driver()
                    .MemcpyHtoDAsync(memory->get(), static_cast<const void*>(pinned->get()), bytes.size(), stream.get())
                    .ok());
    EXPECT_TRUE(device->driver().StreamSynchronize(stream.get()).ok());
    return *std::move(memory);
  }

  std::vector<std::byte> Fetch(DevicePointer from, size_t bytes) const {
    auto pinned = cuda::AllocatePinned(*device, static_cast<int64_t>(bytes));
    EXPECT_TRUE(pinned.ok());
    EXPECT_TRUE(device->driver().MemcpyDtoHAsync(pinned->get(), from, bytes, stream.get()).ok());
    const absl::Status status = device->driver().StreamSynchronize(stream.get());
    EXPECT_TRUE(status.ok()) << status;
    const auto* start = static_cast<const std::byte*>(pinned->get());
    return {start, start + bytes};
  }

  std::string why_not;
  std::shared_ptr<const CudaDevice> device;
  std::unique_ptr<const cuda::Blas> blas;
  cuda::GemmKernels kernels;
  cuda::Module module;
  cuda::Stream stream;

 private:
  /// From the file beside the program, or from NVRTC.
  absl::Status LoadKernels() {
    std::vector<std::byte> image;
    for (const std::string& isa : device->Isas()) {
      const auto known = CudaBackend().isas();
      if (!image.empty() || std::find(known.begin(), known.end(), isa) == known.end()) {
        continue;
      }
      const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe");
      std::ifstream file(program.parent_path() / absl::StrCat("conformance-", isa, ".cubin"), std::ios::binary);
      const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
      std::transform(bytes.begin(), bytes.end(), std::back_inserter(image), [](char c) { return std::byte(c); });
      if (image.empty()) {
        ASSIGN_OR_RETURN(CompiledCode code, CudaBackend().Compile({GemmSpec(8, 8, DType::kF16)}, isa));
        image = std::move(code.bytes);
      }
    }
    cuda::ModuleHandle handle = nullptr;
    RETURN_IF_ERROR(device->driver().ModuleLoadData(&handle, static_cast<const void*>(image.data())));
    module = cuda::Module(*device, handle);
    RETURN_IF_ERROR(device->driver().ModuleGetFunction(&kernels.round_to_f16, handle, cuda::kRoundToF16Symbol));
    RETURN_IF_ERROR(device->driver().ModuleGetFunction(&kernels.round_to_bf16, handle, cuda::kRoundToBF16Symbol));
    return device->driver().ModuleGetFunction(&kernels.finish_product, handle, cuda::kFinishProductSymbol);
  }
};

/// Opened once; never given back, as the driver may be gone when the program ends.
const Gpu& TheGpu() {
  static const auto* gpu = new Gpu;
  return *gpu;
}

std::vector<double> Expected(const GemmCase& test, const Argument& x, const Argument& w, const Argument& bias,
                             const Argument& residual) {
  const dejavu::GemmSpec& spec = test.spec;
  std::vector<double> y;
  for (int64_t t = 0; t < test.tokens; ++t) {
    for (int64_t i = 0; i < spec.n; ++i) {
      double sum = spec.bias ? bias.At(static_cast<size_t>(i)) : 0;
      for (int64_t k = 0; k < spec.k; ++k) {
        sum += x.At(static_cast<size_t>(t * spec.k + k)) *
               w.At(static_cast<size_t>(spec.transposed ? k * spec.n + i : i * spec.k + k));
      }
      sum = spec.relu ? std::max(sum, 0.0) : sum;
      y.push_back(sum + (spec.residual ? residual.At(static_cast<size_t>(t * spec.n + i)) : 0));
    }
  }
  return y;
}

class CudaGemm : public ::testing::TestWithParam<GemmCase> {};

TEST_P(CudaGemm, MatchesReference) {
  const Gpu& gpu = TheGpu();
  if (!gpu.why_not.empty()) {
    GTEST_SKIP() << gpu.why_not;
  }
  const CudaDevice::Scope scope(*gpu.device);
  const auto& [spec, tokens] = GetParam();
  const auto seed = std::random_device()();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  Random random(seed);
  const auto count = [](int64_t a, int64_t b) { return static_cast<size_t>(a * b); };
  const Argument x = RandomArgument(DType::kF32, count(tokens, spec.k), 1, random);
  const Argument w = RandomArgument(spec.dtype, count(spec.n, spec.k), 0.05, random);
  const Argument bias = RandomArgument(DType::kF32, count(spec.n, 1), 1, random);
  const Argument residual = RandomArgument(DType::kF32, count(tokens, spec.n), 1, random);
  std::vector<double> rounded_x;
  for (size_t i = 0; i < count(tokens, spec.k); ++i) {
    rounded_x.push_back(x.At(i));
  }
  const std::vector<double> expected = Expected(GetParam(), ValuesArgument(spec.dtype, rounded_x), w, bias, residual);

  const DeviceMemory x_there = gpu.Copy(x.bytes);
  const DeviceMemory w_there = gpu.Copy(w.bytes);
  const DeviceMemory bias_there = gpu.Copy(bias.bytes);
  const DeviceMemory residual_there = gpu.Copy(residual.bytes);
  const int64_t workspace_bytes = cuda::WorkspaceBytes(spec, tokens);
  const DeviceMemory scratch = gpu.Copy(
      std::vector<std::byte>(static_cast<size_t>(cuda::RoundedBytes(spec, tokens)) + kGuardBytes, std::byte{0xFF}));
  const DeviceMemory workspace =
      gpu.Copy(std::vector<std::byte>(static_cast<size_t>(workspace_bytes), std::byte{0xFF}));
  cuda::CudaGemm gemm(*gpu.device, *gpu.blas, gpu.kernels, {scratch.get(), workspace.get(), workspace_bytes});
  std::vector<std::byte> first;
  // Apart from the residual, and twice in its place, where the library may take another way, but always the same.
  for (const bool in_place : {false, true, true}) {
    SCOPED_TRACE(in_place ? "in place" : "apart");
    std::vector<std::byte> image(residual.bytes.size() + 2 * kGuardBytes, std::byte{0xFF});
    if (in_place) {
      std::copy(residual.bytes.begin(), residual.bytes.end(), image.begin() + kGuardBytes);
    }
    const DeviceMemory y_there = gpu.Copy(image);
    const DevicePointer y = y_there.get() + kGuardBytes;
    const absl::Status status = gemm.Run(spec,
                                         {.x = x_there.get(),
                                          .w = w_there.get(),
                                          .bias = spec.bias ? bias_there.get() : 0,
                                          .residual = !spec.residual ? 0
                                                      : in_place     ? y
                                                                     : residual_there.get(),
                                          .y = y,
                                          .tokens = tokens},
                                         gpu.stream.get());
    ASSERT_TRUE(status.ok()) << status;
    const std::vector<std::byte> after = gpu.Fetch(y_there.get(), image.size());
    const auto is_guard = [](std::byte byte) { return byte == std::byte{0xFF}; };
    EXPECT_TRUE(std::all_of(after.begin(), after.begin() + kGuardBytes, is_guard)) << "written in front";
    EXPECT_TRUE(std::all_of(after.end() - kGuardBytes, after.end(), is_guard)) << "written behind";
    Argument result = residual;
    std::copy(after.begin() + kGuardBytes, after.end() - kGuardBytes, result.bytes.begin());
    EXPECT_EQ(CompareFloats(result, expected, Tolerance(spec.dtype)), "");
    // Of few results, all may be small by chance.
    if (expected.size() >= 100) {
      EXPECT_EQ(CompareFloats(result, Expected(GetParam(), x, w, bias, residual), RoundingTolerance(spec.dtype)), "")
          << "against activations that are not rounded";
    }
    EXPECT_TRUE(first.empty() || first == result.bytes) << "not equal bits";
    first = in_place ? result.bytes : std::vector<std::byte>();
  }
}

std::vector<GemmCase> GemmCases() {
  std::vector<GemmCase> cases;
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    cases.push_back({{.n = 3, .k = 8, .dtype = dtype, .relu = true, .bias = true}, 1});
    cases.push_back({{.n = 130, .k = 24, .dtype = dtype, .residual = true}, 7});
    cases.push_back({{.n = 128, .k = 64, .dtype = dtype, .bias = true, .residual = true}, 128});
    cases.push_back({{.n = 768, .k = 3072, .dtype = dtype, .transposed = true, .bias = true, .residual = true}, 33});
    cases.push_back({{.n = 1536, .k = 768, .dtype = dtype, .relu = true, .bias = true}, 127});
    cases.push_back({{.n = 520, .k = 256, .dtype = dtype, .transposed = true}, 5});
    cases.push_back({{.n = 1000, .k = 768, .dtype = dtype, .relu = true}, 1});
  }
  return cases;
}

std::string CaseName(const ::testing::TestParamInfo<GemmCase>& test) {
  const auto& [spec, tokens] = test.param;
  const std::string_view dtype = DTypeName(spec.dtype);
  return absl::StrCat(absl::string_view(dtype.data(), dtype.size()), "_n", spec.n, "_k", spec.k, "_b",
                      static_cast<int>(spec.bias), "_r", static_cast<int>(spec.residual), "_relu",
                      static_cast<int>(spec.relu), spec.transposed ? "_transposed" : "", "_x", tokens);
}

INSTANTIATE_TEST_SUITE_P(Products, CudaGemm, ::testing::ValuesIn(GemmCases()), CaseName);

}  // namespace
}  // namespace dejavu::testing
