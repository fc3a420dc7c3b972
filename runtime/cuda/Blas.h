// cuBLASLt, loaded where the machine has it: the matrix products of prompts.
#ifndef DEJAVU_RUNTIME_CUDA_BLAS_H_
#define DEJAVU_RUNTIME_CUDA_BLAS_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/cuda/BlasTypes.h"
#include "runtime/cuda/CudaDevice.h"

namespace dejavu::cuda {

/// Every function of the library that is used: X(our name, the library's symbol, parameter types...).
#define DEJAVU_BLAS_FUNCTIONS(X)                                                                                       \
  X(Create, cublasLtCreate, BlasHandle*)                                                                               \
  X(Destroy, cublasLtDestroy, BlasHandle)                                                                              \
  X(ProductCreate, cublasLtMatmulDescCreate, BlasProductHandle*, int32_t, int32_t)                                     \
  X(ProductDestroy, cublasLtMatmulDescDestroy, BlasProductHandle)                                                      \
  X(ProductSet, cublasLtMatmulDescSetAttribute, BlasProductHandle, int32_t, const void*, size_t)                       \
  X(LayoutCreate, cublasLtMatrixLayoutCreate, BlasLayoutHandle*, int32_t, uint64_t, uint64_t, int64_t)                 \
  X(LayoutDestroy, cublasLtMatrixLayoutDestroy, BlasLayoutHandle)                                                      \
  X(PreferenceCreate, cublasLtMatmulPreferenceCreate, BlasPreferenceHandle*)                                           \
  X(PreferenceDestroy, cublasLtMatmulPreferenceDestroy, BlasPreferenceHandle)                                          \
  X(PreferenceSet, cublasLtMatmulPreferenceSetAttribute, BlasPreferenceHandle, int32_t, const void*, size_t)           \
  X(FindAlgorithms, cublasLtMatmulAlgoGetHeuristic, BlasHandle, BlasProductHandle, BlasLayoutHandle, BlasLayoutHandle, \
    BlasLayoutHandle, BlasLayoutHandle, BlasPreferenceHandle, int32_t, BlasHeuristic*, int32_t*)                       \
  X(Multiply, cublasLtMatmul, BlasHandle, BlasProductHandle, const void*, const void*, BlasLayoutHandle, const void*,  \
    BlasLayoutHandle, const void*, const void*, BlasLayoutHandle, void*, BlasLayoutHandle, const BlasAlgorithm*,       \
    void*, size_t, StreamHandle)

/// What `result` of a call of `function` means: OK, kResourceExhausted when memory is full, kUnimplemented where the
/// library can't do what it was asked for, a bug of ours for a wrong argument, and the user's error for everything
/// about the machine.
[[nodiscard]] absl::Status BlasStatus(BlasResult result, const char* function);

/// The library with a handle on one device, whose context must be current during all calls. Threads may share it.
class Blas {
 public:
  /// The first library of those that the machine may have which works on the device. An error says why there is none;
  /// then prompts are decoded token by token. The device must outlive it.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<const Blas>> Create(const CudaDevice& device);

  Blas(const Blas&) = delete;
  Blas& operator=(const Blas&) = delete;
  ~Blas();

  [[nodiscard]] BlasHandle handle() const { return handle_; }

#define DEJAVU_BLAS_METHOD(name, symbol, ...)                                 \
  template <typename... Args>                                                 \
  [[nodiscard]] absl::Status name(Args... args) const {                       \
    return BlasStatus(functions_.name(std::forward<Args>(args)...), #symbol); \
  }
  DEJAVU_BLAS_FUNCTIONS(DEJAVU_BLAS_METHOD)
#undef DEJAVU_BLAS_METHOD

 private:
  struct Functions {  // named as the methods that call them
#define DEJAVU_BLAS_POINTER(name, symbol, ...) BlasResult (*name)(__VA_ARGS__) = nullptr;
    DEJAVU_BLAS_FUNCTIONS(DEJAVU_BLAS_POINTER)  // NOLINT(readability-identifier-naming)
#undef DEJAVU_BLAS_POINTER
  };

  explicit Blas(const CudaDevice& device) : device_(device) {}
  absl::Status Init(const std::string& library);

  const CudaDevice& device_;
  Functions functions_;
  BlasHandle handle_ = nullptr;
};

}  // namespace dejavu::cuda

#endif  // DEJAVU_RUNTIME_CUDA_BLAS_H_
