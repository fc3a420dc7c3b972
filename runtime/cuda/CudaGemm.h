// The builtin matrix product of prefill on a GPU, by cuBLASLt. Activations are f32; for weights of f16 and bf16 they
// are rounded to the weights' type first, as tensor cores multiply equal types. Sums are f32, and so are results.
#ifndef DEJAVU_RUNTIME_CUDA_CUDAGEMM_H_
#define DEJAVU_RUNTIME_CUDA_CUDAGEMM_H_

#include <cstdint>
#include <map>
#include <memory>
#include <tuple>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/artifact/Plan.h"
#include "runtime/cuda/Blas.h"
#include "runtime/cuda/CudaDevice.h"

namespace dejavu::cuda {

/// The code file's kernels around the products; those that no product needs may be null.
struct GemmKernels {
  FunctionHandle round_to_f16 = nullptr;
  FunctionHandle round_to_bf16 = nullptr;
  FunctionHandle finish_product = nullptr;
};
inline constexpr char kRoundToF16Symbol[] = "round_to_f16";
inline constexpr char kRoundToBF16Symbol[] = "round_to_bf16";
inline constexpr char kFinishProductSymbol[] = "finish_product";

/// Memory that the products of a session share.
struct GemmMemory {
  DevicePointer rounded = 0;    ///< Activations in the weights' type.
  DevicePointer workspace = 0;  ///< The library's own.
  int64_t workspace_bytes = 0;
};
/// What a product needs of it.
[[nodiscard]] int64_t RoundedBytes(const GemmSpec& spec, int64_t tokens);
[[nodiscard]] int64_t WorkspaceBytes(const GemmSpec& spec, int64_t tokens);

/// The buffers of one product, as those of GemmCall; each at a multiple of kBufferAlignment.
struct CudaGemmCall {
  DevicePointer x = 0;
  DevicePointer w = 0;
  DevicePointer bias = 0;
  DevicePointer residual = 0;  ///< May be y itself.
  DevicePointer y = 0;
  int64_t tokens = 0;
};

/// OK, or what of `spec` no GPU runs: a residual that a ReLU would reach, and rows that are no whole loads.
[[nodiscard]] absl::Status CheckCudaGemm(const GemmSpec& spec);

/// Runs products, and keeps what the library chose for each shape. For one thread at a time; the device's context must
/// be current.
class CudaGemm {
 public:
  /// What it is given must outlive it.
  CudaGemm(const CudaDevice& device, const Blas& blas, const GemmKernels& kernels, const GemmMemory& memory);
  CudaGemm(const CudaGemm&) = delete;
  CudaGemm& operator=(const CudaGemm&) = delete;
  ~CudaGemm();

  /// Starts y = act(x w^T + bias) + residual on the stream. CheckCudaGemm() accepts the spec.
  [[nodiscard]] absl::Status Run(const GemmSpec& spec, const CudaGemmCall& call, StreamHandle stream);

 private:
  class Product;
  using Key = std::tuple<int64_t, int64_t, DType, bool, bool, bool, bool, int64_t>;

  absl::StatusOr<const Product*> Find(const GemmSpec& spec, const CudaGemmCall& call);
  absl::Status Launch(FunctionHandle function, int64_t threads, std::span<const uint64_t> params, StreamHandle stream);

  const CudaDevice& device_;
  const Blas& blas_;
  const GemmKernels kernels_;
  const GemmMemory memory_;
  std::map<Key, std::unique_ptr<Product>> products_;
};

}  // namespace dejavu::cuda

#endif  // DEJAVU_RUNTIME_CUDA_CUDAGEMM_H_
