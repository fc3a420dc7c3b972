#include "runtime/cuda/CudaGemm.h"

#include <algorithm>
#include <array>

#include "ir/base/Status.h"
#include "runtime/cuda/KernelLaunch.h"

namespace dejavu::cuda {
namespace {

constexpr int64_t kThreads = 256;
constexpr int64_t kBlocksPerSm = 8;
// Elements that a thread of the rounding kernels takes at a time.
constexpr int64_t kPerThread = 8;
// What NVIDIA recommends on Hopper; small products need less: a few partial results of each element.
constexpr int64_t kMaxWorkspaceBytes = int64_t{32} << 20;
constexpr int64_t kMinWorkspaceBytes = int64_t{64} << 10;
constexpr int64_t kPartialResults = 8;

int32_t BlasType(DType dtype) { return dtype == DType::kF32 ? kBlasF32 : dtype == DType::kF16 ? kBlasF16 : kBlasBF16; }

const void* Pointer(DevicePointer address) { return reinterpret_cast<const void*>(address); }

/// An object of the library, destroyed with its owner.
template <typename Handle, typename Destroy>
class BlasOwned {
 public:
  explicit BlasOwned(const Blas& blas) : blas_(blas) {}
  BlasOwned(const BlasOwned&) = delete;
  BlasOwned& operator=(const BlasOwned&) = delete;
  ~BlasOwned() {
    if (handle != nullptr) {
      Destroy()(blas_, handle);
    }
  }

  Handle handle = nullptr;

 private:
  const Blas& blas_;
};

struct DestroyProduct {
  void operator()(const Blas& blas, BlasProductHandle handle) const { blas.ProductDestroy(handle).IgnoreError(); }
};
struct DestroyLayout {
  void operator()(const Blas& blas, BlasLayoutHandle handle) const { blas.LayoutDestroy(handle).IgnoreError(); }
};
struct DestroyPreference {
  void operator()(const Blas& blas, BlasPreferenceHandle handle) const { blas.PreferenceDestroy(handle).IgnoreError(); }
};

}  // namespace

int64_t RoundedBytes(const GemmSpec& spec, int64_t tokens) {
  return spec.dtype == DType::kF32 ? 0 : tokens * spec.k * static_cast<int64_t>(DTypeSize(spec.dtype));
}

int64_t WorkspaceBytes(const GemmSpec& spec, int64_t tokens) {
  return std::clamp(tokens * spec.n * 4 * kPartialResults, kMinWorkspaceBytes, kMaxWorkspaceBytes);
}

absl::Status CheckCudaGemm(const GemmSpec& spec) {
  if (spec.relu && spec.residual) {
    return UserError("a product with ReLU and residual can't be run on a GPU");
  }
  if (spec.k % kPerThread != 0) {
    return UserError("a product's width must be a multiple of ", kPerThread, " on a GPU, not ", spec.k);
  }
  return absl::OkStatus();
}

/// A shape as the library sees it, column by column: y^T (n, tokens) = w (n, k) x^T (k, tokens).
class CudaGemm::Product {
 public:
  Product(const Blas& blas, const GemmSpec& spec)
      : blas_(blas), spec_(spec), product_(blas), w_(blas), x_(blas), y_(blas) {}

  absl::Status Init(const CudaGemmCall& call, int64_t workspace_bytes) {
    const auto n = static_cast<uint64_t>(spec_.n);
    const auto k = static_cast<uint64_t>(spec_.k);
    const auto tokens = static_cast<uint64_t>(call.tokens);
    const int32_t type = BlasType(spec_.dtype);
    RETURN_IF_ERROR(blas_.ProductCreate(&product_.handle, kBlasComputeF32, kBlasF32));
    if (spec_.transposed) {
      RETURN_IF_ERROR(blas_.LayoutCreate(&w_.handle, type, n, k, spec_.n));
    } else {
      RETURN_IF_ERROR(blas_.LayoutCreate(&w_.handle, type, k, n, spec_.k));
      RETURN_IF_ERROR(Set(kBlasTransposeA, kBlasTransposed));
    }
    RETURN_IF_ERROR(blas_.LayoutCreate(&x_.handle, type, k, tokens, spec_.k));
    RETURN_IF_ERROR(blas_.LayoutCreate(&y_.handle, kBlasF32, n, tokens, spec_.n));
    fused_ = spec_.bias || spec_.relu;
    if (fused_) {
      RETURN_IF_ERROR(Set(kBlasEpilogue, (spec_.relu ? kBlasEpilogueRelu : 0) | (spec_.bias ? kBlasEpilogueBias : 0)));
      RETURN_IF_ERROR(SetBias(call));
    }
    absl::Status status = Choose(workspace_bytes);
    if (fused_ && !status.ok()) {
      fused_ = false;
      RETURN_IF_ERROR(Set(kBlasEpilogue, kBlasEpilogueNone));
      status = Choose(workspace_bytes);
    }
    return WithContext(
        status, absl::StrCat("a product of ", call.tokens, " rows of ", spec_.k, " numbers with ", spec_.n, " rows"));
  }

  /// Whether the library does bias and ReLU too.
  [[nodiscard]] bool fused() const { return fused_; }

  /// `x` is in the weights' type.
  [[nodiscard]] absl::Status Run(const CudaGemmCall& call, DevicePointer x, const GemmMemory& memory,
                                 StreamHandle stream) const {
    if (fused_) {
      RETURN_IF_ERROR(SetBias(call));
    }
    const float one = 1;
    const float beta = spec_.residual ? 1 : 0;
    const DevicePointer added = spec_.residual ? call.residual : call.y;
    return blas_.Multiply(blas_.handle(), product_.handle, &one, Pointer(call.w), w_.handle, Pointer(x), x_.handle,
                          &beta, Pointer(added), y_.handle, reinterpret_cast<void*>(call.y), y_.handle, &algorithm_,
                          reinterpret_cast<void*>(memory.workspace), static_cast<size_t>(memory.workspace_bytes),
                          stream);
  }

 private:
  template <typename T>
  absl::Status Set(int32_t attribute, T value) const {
    return blas_.ProductSet(product_.handle, attribute, &value, sizeof(value));
  }

  absl::Status SetBias(const CudaGemmCall& call) const {
    return spec_.bias ? Set(kBlasBiasPointer, Pointer(call.bias)) : absl::OkStatus();
  }

  /// The algorithm that the library expects to be the fastest; kUnimplemented where it has none.
  absl::Status Choose(int64_t workspace_bytes) {
    BlasOwned<BlasPreferenceHandle, DestroyPreference> preference(blas_);
    RETURN_IF_ERROR(blas_.PreferenceCreate(&preference.handle));
    const auto bytes = static_cast<uint64_t>(workspace_bytes);
    RETURN_IF_ERROR(blas_.PreferenceSet(preference.handle, kBlasMaxWorkspaceBytes, &bytes, sizeof(bytes)));
    for (int32_t matrix = 0; matrix < 4; ++matrix) {
      const auto alignment = static_cast<uint32_t>(kBufferAlignment);
      RETURN_IF_ERROR(
          blas_.PreferenceSet(preference.handle, kBlasMinAlignmentA + matrix, &alignment, sizeof(alignment)));
    }
    BlasHeuristic best;
    int32_t found = 0;
    RETURN_IF_ERROR(blas_.FindAlgorithms(blas_.handle(), product_.handle, w_.handle, x_.handle, y_.handle, y_.handle,
                                         preference.handle, 1, &best, &found));
    RETURN_IF_ERROR(BlasStatus(found == 0 ? kBlasNotSupported : best.state, "cublasLtMatmulAlgoGetHeuristic"));
    algorithm_ = best.algorithm;
    return absl::OkStatus();
  }

  const Blas& blas_;
  const GemmSpec spec_;
  BlasOwned<BlasProductHandle, DestroyProduct> product_;
  BlasOwned<BlasLayoutHandle, DestroyLayout> w_;
  BlasOwned<BlasLayoutHandle, DestroyLayout> x_;
  BlasOwned<BlasLayoutHandle, DestroyLayout> y_;
  BlasAlgorithm algorithm_;
  bool fused_ = false;
};

CudaGemm::CudaGemm(const CudaDevice& device, const Blas& blas, const GemmKernels& kernels, const GemmMemory& memory)
    : device_(device), blas_(blas), kernels_(kernels), memory_(memory) {}

CudaGemm::~CudaGemm() = default;

absl::Status CudaGemm::Run(const GemmSpec& spec, const CudaGemmCall& call, StreamHandle stream) {
  ASSIGN_OR_RETURN(const Product* product, Find(spec, call));
  DevicePointer x = call.x;
  if (spec.dtype != DType::kF32) {
    x = memory_.rounded;
    const auto count = static_cast<uint64_t>(call.tokens * spec.k);
    const std::array<uint64_t, 3> params = {call.x, x, count};
    RETURN_IF_ERROR(Launch(spec.dtype == DType::kF16 ? kernels_.round_to_f16 : kernels_.round_to_bf16,
                           call.tokens * spec.k / kPerThread, params, stream));
  }
  RETURN_IF_ERROR(product->Run(call, x, memory_, stream));
  if (!product->fused() && (spec.bias || spec.relu)) {
    const std::array<uint64_t, 5> params = {spec.bias ? call.bias : 0, call.y, static_cast<uint64_t>(spec.n),
                                            static_cast<uint64_t>(call.tokens * spec.n),
                                            static_cast<uint64_t>(spec.relu ? 1 : 0)};
    RETURN_IF_ERROR(Launch(kernels_.finish_product, call.tokens * spec.n, params, stream));
  }
  return absl::OkStatus();
}

absl::StatusOr<const CudaGemm::Product*> CudaGemm::Find(const GemmSpec& spec, const CudaGemmCall& call) {
  std::unique_ptr<Product>& product =
      products_[{spec.n, spec.k, spec.dtype, spec.relu, spec.transposed, spec.bias, spec.residual, call.tokens}];
  if (product == nullptr) {
    auto made = std::make_unique<Product>(blas_, spec);
    RETURN_IF_ERROR(made->Init(call, memory_.workspace_bytes));
    product = std::move(made);
  }
  return product.get();
}

absl::Status CudaGemm::Launch(FunctionHandle function, int64_t threads, std::span<const uint64_t> params,
                              StreamHandle stream) {
  LaunchSize size;
  size.blocks = static_cast<uint32_t>(
      std::clamp<int64_t>((threads + kThreads - 1) / kThreads, 1, device_.multiprocessors() * kBlocksPerSm));
  size.threads = kThreads;
  return LaunchOnStream(device_, function, size, params, stream);
}

}  // namespace dejavu::cuda
