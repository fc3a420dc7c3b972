#include "runtime/cuda/WeightFill.h"

#include <algorithm>
#include <array>

#include "ir/base/Status.h"
#include "runtime/cuda/CudaObjects.h"

namespace dejavu::cuda {
namespace {

constexpr uint32_t kThreads = 256;
constexpr uint32_t kBlocksPerSm = 8;

/// The kernel's only argument, as codegen/cuda/kernels/SyntheticFill.cuh declares it.
struct FillArgs {
  DevicePointer out = 0;
  int64_t rows = 0;
  int64_t columns = 0;
  std::array<uint64_t, kMaxSyntheticList> seeds = {};
  std::array<float, kMaxSyntheticList> pattern = {};
  float step = 0;
  int32_t period = 0;
  int32_t parts = 0;
  int32_t transposed = 0;
  int32_t dtype = 0;
  int32_t choice = 0;
  int32_t copy_bits = 0;
  int32_t copy_columns = 0;
};
static_assert(sizeof(FillArgs) == 104);

int32_t DTypeCode(DType dtype) {
  return dtype == DType::kF32 ? 0 : dtype == DType::kF16 ? 1 : dtype == DType::kBF16 ? 2 : 3;
}

FillArgs ArgsOf(const SyntheticTensor& tensor, DevicePointer out) {
  FillArgs args;
  args.out = out;
  args.rows = tensor.rows;
  args.columns = tensor.columns;
  std::copy(tensor.fill.seeds.begin(), tensor.fill.seeds.end(), args.seeds.begin());
  if (tensor.fill.multiplier > 0) {
    args.choice = 1;
    args.seeds = {static_cast<uint64_t>(tensor.fill.multiplier), static_cast<uint64_t>(tensor.fill.offset),
                  static_cast<uint64_t>(tensor.fill.chosen)};
  }
  // The kernel stores halves by cutting and rounding numbers that are exact already.
  std::transform(tensor.fill.pattern.begin(), tensor.fill.pattern.end(), args.pattern.begin(),
                 [&](float value) { return RoundTo(tensor.dtype, value); });
  args.step = tensor.fill.step;
  args.period = static_cast<int32_t>(tensor.fill.pattern.size());
  args.parts = static_cast<int32_t>(tensor.fill.seeds.size());
  args.transposed = tensor.fill.transposed ? 1 : 0;
  args.dtype = DTypeCode(tensor.dtype);
  args.copy_bits = static_cast<int32_t>(tensor.fill.copy_bits);
  args.copy_columns = static_cast<int32_t>(tensor.fill.copy_columns);
  return args;
}

}  // namespace

absl::Status FillWeights(const CudaDevice& device, FunctionHandle kernel,
                         const std::vector<const SyntheticTensor*>& tensors, const WeightLayout& layout,
                         DevicePointer base) {
  ASSIGN_OR_RETURN(const Stream stream, NewStream(device));
  const auto blocks = static_cast<uint32_t>(device.multiprocessors()) * kBlocksPerSm;
  for (size_t i = 0; i < tensors.size(); ++i) {
    FillArgs args = ArgsOf(*tensors[i], base + static_cast<DevicePointer>(layout.offsets[i]));
    std::array<void*, 1> params = {&args};
    RETURN_IF_ERROR(
        device.driver().LaunchKernel(kernel, blocks, 1, 1, kThreads, 1, 1, 0, stream.get(), params.data(), nullptr));
  }
  return device.driver().StreamSynchronize(stream.get());
}

}  // namespace dejavu::cuda
