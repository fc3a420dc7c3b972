// Descriptions of kernels: which template a spec instantiates, and how its launch is cut. Those of products of rows
// with a vector are declared here; the others are in CudaKernels.cc, beside the table.
#ifndef DEJAVU_CODEGEN_CUDA_DESCRIBE_H_
#define DEJAVU_CODEGEN_CUDA_DESCRIBE_H_

#include <algorithm>
#include <optional>
#include <string_view>

#include "codegen/cuda/CudaSource.h"
#include "codegen/cuda/GemvTiling.h"
#include "codegen/target/KernelShapes.h"
#include "codegen/target/KernelSpec.h"
#include "ir/base/Phases.h"

namespace dejavu::describe {

/// Threads of a multiprocessor that kernels aim at; 64 registers each.
inline constexpr int64_t kThreadsPerSm = 1024;

/// Blocks that keep a large device busy.
inline constexpr int64_t kManyBlocks = 264;
/// Blocks of kernels whose work depends on the call alone.
inline constexpr int64_t kMaxBlocksOfRows = 1024;

/// The threads of a block that has one for each of `count` things, if it can.
[[nodiscard]] inline int64_t WholeWarps(int64_t count) {
  return std::clamp<int64_t>(CeilDiv(count, 32) * 32, 32, 1024);
}
/// Elements of a load of 16 bytes.
[[nodiscard]] inline int64_t PerLoad(DType dtype) { return 16 / static_cast<int64_t>(DTypeSize(dtype)); }
/// A static number of tokens, or 0: as the call says.
[[nodiscard]] inline int64_t TokensOf(const Dim& tokens) { return tokens.is_static() ? tokens.size() : 0; }

/// Each takes a spec of its kernel that the table supports.
[[nodiscard]] CudaKernel Linear(const KernelSpec& spec, std::string_view isa);
[[nodiscard]] CudaKernel SparseFc1(const KernelSpec& spec, std::string_view isa);
/// Cuts a sparse_fc2 into `tiles` of columns and as many splits of the list as leave at most `most_blocks` blocks; sets
/// the grid's blocks and scratch memory, and returns the splits.
[[nodiscard]] int64_t SplitFc2(const SparseFc2Shape& shape, int64_t tiles, int64_t most_blocks, LaunchGrid& grid);
[[nodiscard]] CudaKernel SparseFc2(const KernelSpec& spec, std::string_view isa);
[[nodiscard]] CudaKernel CertifiedTest(const KernelSpec& spec, std::string_view isa);
[[nodiscard]] CudaKernel SparseQkv(const KernelSpec& spec, std::string_view isa);
[[nodiscard]] CudaKernel LazyQkv(const KernelSpec& spec, std::string_view isa);
[[nodiscard]] CudaKernel KeepInputs(const KernelSpec& spec, std::string_view isa);
[[nodiscard]] CudaKernel SparseOut(const KernelSpec& spec, std::string_view isa);
[[nodiscard]] CudaKernel QuantizedLinear(const KernelSpec& spec, std::string_view isa);
[[nodiscard]] CudaKernel QuantizedTest(const KernelSpec& spec, std::string_view isa);
/// Those of attention, and of choices.
[[nodiscard]] CudaKernel Attention(const KernelSpec& spec, std::string_view isa);
[[nodiscard]] CudaKernel Select(const KernelSpec& spec, std::string_view isa);

/// By blocks of a given number of threads.
[[nodiscard]] CudaKernel QuantizedLinearBy(const KernelSpec& spec, int64_t threads);
[[nodiscard]] CudaKernel SelectBy(const KernelSpec& spec, int64_t threads);

/// Whether rows of a linear, sparse_qkv or lazy_qkv go through a ring on `isa` whole, and `rows` rows of a predictor,
/// which have as many bytes together, can take the place of one.
[[nodiscard]] bool RingTakesSeveral(const KernelSpec& spec, int64_t rows, std::string_view isa);

/// Of a joint kernel: OK, or why its parts can't be joined; its grid, nothing where `isa` can't; its text.
[[nodiscard]] absl::Status JointLimits(const KernelSpec& spec);
[[nodiscard]] std::optional<LaunchGrid> JointGrid(const KernelSpec& spec, std::string_view isa);
void EmitJoint(EmitContext& context, const KernelSpec& spec);

/// Whether a kernel with so many tokens reads each weight once for all of them.
[[nodiscard]] inline bool IsBatch(int64_t tokens) { return tokens > 1 && tokens <= kMaxSequences; }
/// The same kernels, and sparse_fc2, for specs of which that is so.
[[nodiscard]] CudaKernel BatchLinear(const KernelSpec& spec);
[[nodiscard]] CudaKernel BatchFc1(const KernelSpec& spec);
[[nodiscard]] CudaKernel BatchFc2(const KernelSpec& spec);
[[nodiscard]] CudaKernel BatchTest(const KernelSpec& spec);
[[nodiscard]] CudaKernel BatchQkv(const KernelSpec& spec);
[[nodiscard]] CudaKernel BatchOut(const KernelSpec& spec);
[[nodiscard]] CudaKernel BatchQuantized(const KernelSpec& spec);

}  // namespace dejavu::describe

#endif  // DEJAVU_CODEGEN_CUDA_DESCRIBE_H_
