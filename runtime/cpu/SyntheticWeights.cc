#include "runtime/cpu/SyntheticWeights.h"

#include <algorithm>

#include "ir/base/Status.h"
#include "runtime/artifact/Plan.h"
#include "runtime/cpu/HostBuffer.h"

namespace dejavu {
namespace {

constexpr int64_t kRowsPerTask = 64;

int64_t Aligned(int64_t bytes) { return (bytes + kBufferAlignment - 1) / kBufferAlignment * kBufferAlignment; }

void FillTensor(const SyntheticTensor& tensor, std::byte* out) {
  const int64_t tasks = (tensor.rows + kRowsPerTask - 1) / kRowsPerTask;
  const int64_t row_bytes = tensor.bytes() / tensor.rows;
#pragma omp parallel for schedule(dynamic)
  for (int64_t task = 0; task < tasks; ++task) {
    const int64_t first = task * kRowsPerTask;
    const int64_t count = std::min(kRowsPerTask, tensor.rows - first);
    FillSynthetic(tensor.fill, tensor.dtype, tensor.rows, tensor.columns, first, count, out + first * row_bytes);
  }
}

}  // namespace

absl::StatusOr<Weights> MakeSyntheticWeights(const std::vector<const SyntheticTensor*>& tensors,
                                             const HashProgress& progress) {
  int64_t total = 0;
  for (const SyntheticTensor* tensor : tensors) {
    total += Aligned(tensor->bytes());
  }
  ASSIGN_OR_RETURN(HostBuffer allocated, HostBuffer::Allocate(static_cast<size_t>(total), "the synthetic weights"));
  const auto memory = std::make_shared<HostBuffer>(std::move(allocated));
  std::vector<std::span<const std::byte>> spans;
  int64_t offset = 0;
  for (const SyntheticTensor* tensor : tensors) {
    std::byte* out = memory->data() + offset;
    FillTensor(*tensor, out);
    spans.emplace_back(out, static_cast<size_t>(tensor->bytes()));
    offset += Aligned(tensor->bytes());
    if (progress) {
      progress(offset, total);
    }
  }
  return Weights(std::move(spans), memory);
}

}  // namespace dejavu
