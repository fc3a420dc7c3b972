// Synthetic models: their weights are the same on every device, and as their description says.
#include <algorithm>

#include "ir/base/FileUtil.h"
#include "runtime/artifact/Json.h"
#include "runtime/cuda/CudaObjects.h"
#include "runtime/cuda/WeightFill.h"
#include "tests/unit/cuda/CudaFixture.h"
#include "tests/unit/runtime/ToyModel.h"

namespace dejavu::cuda {
namespace {

using ::testing::FloatNear;
using ::testing::HasSubstr;
using ::testing::Pointwise;

class SyntheticModelTest : public CudaFixture {};

std::vector<float> Logits(Session& session, int32_t token) {
  const auto logits = session.Decode(token);
  EXPECT_TRUE(logits.ok()) << logits.status();
  return logits.ok() ? std::vector<float>(logits->begin(), logits->end()) : std::vector<float>();
}

TEST_F(SyntheticModelTest, DecodesTheSameOnBothDevices) {
  const absl::Status written = toy::WriteSyntheticArtifact(path());
  ASSERT_TRUE(written.ok()) << written;
  const auto cpu = Load("cpu");
  ASSERT_TRUE(cpu.ok()) << cpu.status();
  const auto gpu = Load("cuda");
  ASSERT_TRUE(gpu.ok()) << gpu.status();
  toy::ToyWeights weights;
  for (const auto& [name, tensor] : toy::SyntheticTensors()) {
    std::vector<float>& values = weights[name];
    values.resize(static_cast<size_t>(tensor.rows * tensor.columns));
    FillSynthetic(tensor.fill, tensor.dtype, tensor.rows, tensor.columns, 0, tensor.rows,
                  std::as_writable_bytes(std::span(values)).data());
  }
  const auto on_cpu = NewSession(*cpu);
  const auto on_gpu = NewSession(*gpu);
  std::vector<int32_t> tokens;
  for (const int32_t token : {2, 7, 1, 8, 23, 0}) {
    tokens.push_back(token);
    const std::vector<float> logits = Logits(*on_cpu, token);
    EXPECT_THAT(logits, Pointwise(FloatNear(1e-4F), toy::Reference(weights, tokens)));
    EXPECT_EQ(Logits(*on_gpu, token), logits);
  }
}

TEST_F(SyntheticModelTest, CodeWithoutTheFillingKernelIsNamed) {
  Manifest manifest = toy::MakeManifest();
  manifest.synthetic = toy::SyntheticTensors();
  manifest.targets = {{"cuda", "plan-cuda.json", {{"sm_90", "sm_90.cubin"}}}};
  Plan plan = toy::MakeCudaPlan();
  plan.functions["decode"].launches.clear();
  const std::string code = ReadTextFile(DEJAVU_TOY_KERNELS).value();  // for the CPU
  const absl::Status written =
      toy::WriteArtifact(path(), 1, manifest, {{"plan-cuda.json", PrintJson(PlanToJson(plan))}, {"sm_90.cubin", code}});
  ASSERT_TRUE(written.ok()) << written;
  EXPECT_THAT(LoadMessage(), HasSubstr("the kernel 'synthetic_fill' for sm_90"));
}

TEST_F(SyntheticModelTest, FillsTensorsOfEveryType) {
  const std::vector<SyntheticTensor> tensors = {
      {DType::kF32, 6, 5, {.step = 0.25F, .seeds = {1, 2, 3}}},
      {DType::kF16, 5, 8, {.step = 0x1p-8F, .seeds = {4, 5}, .transposed = true}},
      {DType::kBF16, 7, 3, {.step = 2.0F, .seeds = {6}}},
      {DType::kI8, 4, 300, {.step = 1.0F, .seeds = {7, 8, 9, 10}}},
      {DType::kI8, 3, 160, {.step = 1.0F, .seeds = {11}, .copy_bits = 4, .copy_columns = 300}},
      {DType::kI8, 5, 32, {.step = 1.0F, .seeds = {12}, .copy_bits = 3, .copy_columns = 40}},
      {DType::kF16, 3, 4, {.pattern = {0.1F, -2.0F, 3.0F, 0}}},
      {DType::kBF16, 11, 1, {.pattern = {0.1F, 0.2F, -0.3F}}},
  };
  std::vector<const SyntheticTensor*> pointers;
  std::vector<int64_t> sizes;
  for (const SyntheticTensor& tensor : tensors) {
    pointers.push_back(&tensor);
    sizes.push_back(tensor.bytes());
  }
  ASSERT_TRUE(toy::WriteSyntheticArtifact(path()).ok());
  const std::string code = ReadTextFile(path() + "/sm_90.cubin").value();
  const auto device = CudaDevice::Open(*Driver::Get().value(), 0);
  ASSERT_TRUE(device.ok()) << device.status();
  const CudaDevice::Scope scope(**device);
  ModuleHandle handle = nullptr;
  ASSERT_TRUE((*device)->driver().ModuleLoadData(&handle, code.data()).ok());
  const Module module(**device, handle);
  FunctionHandle kernel = nullptr;
  ASSERT_TRUE((*device)->driver().ModuleGetFunction(&kernel, handle, kFillSymbol).ok());
  const WeightLayout layout = LayOutWeights(sizes);
  const auto memory = AllocateDevice(**device, layout.bytes, "a test");
  ASSERT_TRUE(memory.ok()) << memory.status();
  const absl::Status filled = FillWeights(**device, kernel, pointers, layout, memory->get());
  ASSERT_TRUE(filled.ok()) << filled;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const SyntheticTensor& tensor = tensors[i];
    std::vector<std::byte> expected(static_cast<size_t>(tensor.bytes()));
    FillSynthetic(tensor.fill, tensor.dtype, tensor.rows, tensor.columns, 0, tensor.rows, expected.data());
    const auto* start = reinterpret_cast<const std::byte*>(memory->get()) + layout.offsets[i];
    EXPECT_TRUE(std::ranges::equal(expected, std::span(start, expected.size()))) << i;
  }
}

}  // namespace
}  // namespace dejavu::cuda
