#include "tests/unit/cuda/FakeBlas.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "ir/base/DType.h"

namespace dejavu::cuda {

struct BlasTag {};

struct BlasProductTag {
  bool transpose_a = false;
  uint32_t epilogue = kBlasEpilogueNone;
  const float* bias = nullptr;
};

struct BlasLayoutTag {
  int32_t type = 0;
  int64_t rows = 0;
  int64_t columns = 0;
  int64_t stride = 0;

  [[nodiscard]] DType dtype() const {
    return type == kBlasF32 ? DType::kF32 : type == kBlasF16 ? DType::kF16 : DType::kBF16;
  }
  [[nodiscard]] size_t bytes() const { return static_cast<size_t>(stride * columns) * DTypeSize(dtype()); }
  friend bool operator==(const BlasLayoutTag&, const BlasLayoutTag&) = default;
};

struct BlasPreferenceTag {
  uint64_t workspace_bytes = 0;
  uint32_t alignment[4] = {256, 256, 256, 256};
};

namespace fake {
namespace {

BlasState& state() {
  static auto* instance = new BlasState;
  return *instance;
}

void Violate(const std::string& what) { state().violations.push_back(what); }

BlasResult Enter(const char* function) {
  const int64_t count = ++state().calls_of[function];
  return state().fail_function == function && state().fail_at == count ? state().fail_result : kBlasSuccess;
}

template <typename F>
F DriverFunction(const char* name) {
  static void* driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  auto function = driver == nullptr ? nullptr : reinterpret_cast<F>(dlsym(driver, name));
  if (function == nullptr) {
    abort();
  }
  return function;
}

void CheckDevice(const void* address, size_t bytes) {
  DriverFunction<void (*)(const void*, size_t, const char*)>("FakeCudaCheck")(address, bytes, "cublasLtMatmul");
}

/// One product, with all that its call said.
struct Work {
  BlasProductTag product;
  BlasLayoutTag a_layout;
  BlasLayoutTag b_layout;
  BlasLayoutTag d_layout;
  const void* a = nullptr;
  const void* b = nullptr;
  const float* c = nullptr;
  float* d = nullptr;
  float alpha = 0;
  float beta = 0;
};

double At(const BlasLayoutTag& layout, const void* values, int64_t row, int64_t column) {
  return LoadAsDouble(layout.dtype(), static_cast<const std::byte*>(values),
                      static_cast<size_t>(row + column * layout.stride));
}

void Run(const Work& work) {
  const bool transposed = work.product.transpose_a;
  for (int64_t column = 0; column < work.d_layout.columns; ++column) {
    for (int64_t row = 0; row < work.d_layout.rows; ++row) {
      double sum = 0;
      for (int64_t k = 0; k < work.b_layout.rows; ++k) {
        sum += At(work.a_layout, work.a, transposed ? k : row, transposed ? row : k) *
               At(work.b_layout, work.b, k, column);
      }
      const int64_t at = row + column * work.d_layout.stride;
      auto value = static_cast<float>(work.alpha * sum);
      value += work.beta == 0 ? 0 : work.beta * work.c[at];
      value += (work.product.epilogue & kBlasEpilogueBias) != 0 ? work.product.bias[row] : 0;
      work.d[at] = (work.product.epilogue & kBlasEpilogueRelu) != 0 ? std::max(value, 0.0F) : value;
    }
  }
}

/// Whether the shapes fit: D (m, n) = op(A) (m, k) B (k, n).
bool Fits(const BlasProductTag& product, const BlasLayoutTag& a, const BlasLayoutTag& b, const BlasLayoutTag& c,
          const BlasLayoutTag& d) {
  const int64_t m = product.transpose_a ? a.columns : a.rows;
  const int64_t k = product.transpose_a ? a.rows : a.columns;
  const bool strides = a.stride >= a.rows && b.stride >= b.rows && d.stride >= d.rows;
  return m == d.rows && k == b.rows && b.columns == d.columns && a.type == b.type && c == d && d.type == kBlasF32 &&
         strides;
}

template <typename T>
bool Read(T* to, const void* from, size_t bytes) {
  if (bytes != sizeof(T)) {
    return false;
  }
  std::memcpy(to, from, bytes);
  return true;
}

/// What an algorithm was chosen for.
uint64_t Fingerprint(const BlasProductTag& product, const BlasLayoutTag& a, const BlasLayoutTag& d) {
  return static_cast<uint64_t>(a.rows * 1000003 + a.columns * 1009 + d.columns * 31 + product.epilogue * 7 + a.type);
}

template <typename T>
BlasResult Make(T** object) {
  *object = new T;
  ++state().live;
  return kBlasSuccess;
}

template <typename T>
BlasResult Destroy(T* object) {
  delete object;
  --state().live;
  return kBlasSuccess;
}

}  // namespace
}  // namespace fake
}  // namespace dejavu::cuda

using namespace dejavu::cuda;        // NOLINT(google-build-using-namespace): the whole file is the fake
using namespace dejavu::cuda::fake;  // NOLINT(google-build-using-namespace)

#define FAKE_BLAS_CALL(function)              \
  const BlasResult entered = Enter(function); \
  if (entered != kBlasSuccess) return entered

extern "C" {

BlasState* FakeBlasState() { return &state(); }

void FakeBlasReset() {
  const int64_t live = state().live;
  state() = BlasState();
  state().live = live;
}

BlasResult cublasLtCreate(BlasHandle* handle) {
  FAKE_BLAS_CALL("cublasLtCreate");
  return Make(handle);
}

BlasResult cublasLtDestroy(BlasHandle handle) { return Destroy(handle); }

BlasResult cublasLtMatmulDescCreate(BlasProductHandle* product, int32_t compute, int32_t scale) {
  FAKE_BLAS_CALL("cublasLtMatmulDescCreate");
  if (compute != kBlasComputeF32 || scale != kBlasF32) {
    return kBlasInvalidValue;
  }
  return Make(product);
}

BlasResult cublasLtMatmulDescDestroy(BlasProductHandle product) { return Destroy(product); }

BlasResult cublasLtMatmulDescSetAttribute(BlasProductHandle product, int32_t attribute, const void* value,
                                          size_t bytes) {
  FAKE_BLAS_CALL("cublasLtMatmulDescSetAttribute");
  if (attribute == kBlasTransposeA) {
    int32_t operation = 0;
    const bool ok = Read(&operation, value, bytes);
    product->transpose_a = operation == kBlasTransposed;
    return ok ? kBlasSuccess : kBlasInvalidValue;
  }
  const bool ok = attribute == kBlasEpilogue      ? Read(&product->epilogue, value, bytes)
                  : attribute == kBlasBiasPointer ? Read(&product->bias, value, bytes)
                                                  : false;
  return ok ? kBlasSuccess : kBlasInvalidValue;
}

BlasResult cublasLtMatrixLayoutCreate(BlasLayoutHandle* layout, int32_t type, uint64_t rows, uint64_t columns,
                                      int64_t stride) {
  FAKE_BLAS_CALL("cublasLtMatrixLayoutCreate");
  const BlasResult result = Make(layout);
  **layout = {type, static_cast<int64_t>(rows), static_cast<int64_t>(columns), stride};
  return result;
}

BlasResult cublasLtMatrixLayoutDestroy(BlasLayoutHandle layout) { return Destroy(layout); }

BlasResult cublasLtMatmulPreferenceCreate(BlasPreferenceHandle* preference) {
  FAKE_BLAS_CALL("cublasLtMatmulPreferenceCreate");
  return Make(preference);
}

BlasResult cublasLtMatmulPreferenceDestroy(BlasPreferenceHandle preference) { return Destroy(preference); }

BlasResult cublasLtMatmulPreferenceSetAttribute(BlasPreferenceHandle preference, int32_t attribute, const void* value,
                                                size_t bytes) {
  FAKE_BLAS_CALL("cublasLtMatmulPreferenceSetAttribute");
  const int32_t matrix = attribute - kBlasMinAlignmentA;
  const bool ok = attribute == kBlasMaxWorkspaceBytes ? Read(&preference->workspace_bytes, value, bytes)
                  : matrix >= 0 && matrix < 4         ? Read(&preference->alignment[matrix], value, bytes)
                                                      : false;
  return ok ? kBlasSuccess : kBlasInvalidValue;
}

BlasResult cublasLtMatmulAlgoGetHeuristic(BlasHandle, BlasProductHandle product, BlasLayoutHandle a, BlasLayoutHandle b,
                                          BlasLayoutHandle c, BlasLayoutHandle d, BlasPreferenceHandle preference,
                                          int32_t, BlasHeuristic* results, int32_t* count) {
  FAKE_BLAS_CALL("cublasLtMatmulAlgoGetHeuristic");
  if (!Fits(*product, *a, *b, *c, *d)) {
    return kBlasInvalidValue;
  }
  *count = product->epilogue == kBlasEpilogueNone || state().has_epilogues ? 1 : 0;
  results[0] = BlasHeuristic();
  results[0].algorithm.data[0] = Fingerprint(*product, *a, *d);
  results[0].algorithm.data[1] = preference->workspace_bytes;
  results[0].algorithm.data[2] = *std::min_element(preference->alignment, preference->alignment + 4);
  results[0].workspace_bytes = preference->workspace_bytes;
  return kBlasSuccess;
}

BlasResult cublasLtMatmul(BlasHandle, BlasProductHandle product, const void* alpha, const void* a,
                          BlasLayoutHandle a_layout, const void* b, BlasLayoutHandle b_layout, const void* beta,
                          const void* c, BlasLayoutHandle c_layout, void* d, BlasLayoutHandle d_layout,
                          const BlasAlgorithm* algorithm, void* workspace, size_t workspace_bytes,
                          StreamHandle stream) {
  FAKE_BLAS_CALL("cublasLtMatmul");
  if (!Fits(*product, *a_layout, *b_layout, *c_layout, *d_layout)) {
    return kBlasInvalidValue;
  }
  if (algorithm->data[0] != Fingerprint(*product, *a_layout, *d_layout)) {
    Violate("an algorithm that was chosen for another product");
  }
  if (workspace_bytes < algorithm->data[1]) {
    Violate("less workspace than was promised");
  }
  for (const void* address : {a, b, c, static_cast<const void*>(d)}) {
    if (reinterpret_cast<uintptr_t>(address) % algorithm->data[2] != 0) {
      Violate("a buffer is aligned worse than was promised");
    }
  }
  auto work = std::make_unique<Work>(Work{*product, *a_layout, *b_layout, *d_layout, a, b, static_cast<const float*>(c),
                                          static_cast<float*>(d), *static_cast<const float*>(alpha),
                                          *static_cast<const float*>(beta)});
  CheckDevice(a, a_layout->bytes());
  CheckDevice(b, b_layout->bytes());
  CheckDevice(c, c_layout->bytes());
  CheckDevice(d, d_layout->bytes());
  CheckDevice(workspace, workspace_bytes);
  if ((product->epilogue & kBlasEpilogueBias) != 0) {
    CheckDevice(product->bias, static_cast<size_t>(d_layout->rows) * sizeof(float));
  }
  // Owned by the stream until it is run; what a fault drops is leaked.
  const auto run = [](void* argument) {
    const std::unique_ptr<Work> mine(static_cast<Work*>(argument));
    Run(*mine);
  };
  DriverFunction<void (*)(StreamHandle, void (*)(void*), void*)>("FakeCudaEnqueue")(stream, run, work.release());
  return kBlasSuccess;
}

}  // extern "C"
