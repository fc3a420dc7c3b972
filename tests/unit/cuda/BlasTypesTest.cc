// Our declarations of cuBLASLt's interface against the toolkit's own, and its list of functions against the library.
#include <cublasLt.h>
#include <dlfcn.h>
#include <gtest/gtest.h>

#include "runtime/cuda/Blas.h"
#include "tests/unit/cuda/SameFunction.h"

namespace dejavu::cuda {
namespace {

#define CHECK_FUNCTION(name, symbol, ...) \
  static_assert(SameFunction<BlasResult (*)(__VA_ARGS__), decltype(&::symbol)>::value, #symbol);
DEJAVU_BLAS_FUNCTIONS(CHECK_FUNCTION)
#undef CHECK_FUNCTION

static_assert(sizeof(BlasAlgorithm) == sizeof(cublasLtMatmulAlgo_t));
static_assert(sizeof(BlasHeuristic) == sizeof(cublasLtMatmulHeuristicResult_t));
static_assert(offsetof(BlasHeuristic, workspace_bytes) == offsetof(cublasLtMatmulHeuristicResult_t, workspaceSize));
static_assert(offsetof(BlasHeuristic, state) == offsetof(cublasLtMatmulHeuristicResult_t, state));

static_assert(kBlasSuccess == CUBLAS_STATUS_SUCCESS && kBlasAllocFailed == CUBLAS_STATUS_ALLOC_FAILED);
static_assert(kBlasInvalidValue == CUBLAS_STATUS_INVALID_VALUE && kBlasNotSupported == CUBLAS_STATUS_NOT_SUPPORTED);
static_assert(kBlasF32 == CUDA_R_32F && kBlasF16 == CUDA_R_16F && kBlasBF16 == CUDA_R_16BF);
static_assert(kBlasComputeF32 == CUBLAS_COMPUTE_32F && kBlasTransposed == CUBLAS_OP_T);
static_assert(kBlasTransposeA == CUBLASLT_MATMUL_DESC_TRANSA && kBlasEpilogue == CUBLASLT_MATMUL_DESC_EPILOGUE);
static_assert(kBlasBiasPointer == CUBLASLT_MATMUL_DESC_BIAS_POINTER);
static_assert(kBlasEpilogueNone == CUBLASLT_EPILOGUE_DEFAULT && kBlasEpilogueRelu == CUBLASLT_EPILOGUE_RELU);
static_assert(kBlasEpilogueBias == CUBLASLT_EPILOGUE_BIAS);
static_assert((kBlasEpilogueRelu | kBlasEpilogueBias) == CUBLASLT_EPILOGUE_RELU_BIAS);
static_assert(kBlasMaxWorkspaceBytes == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES);
static_assert(kBlasMinAlignmentA == CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES);
static_assert(kBlasMinAlignmentA + 3 == CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES);

TEST(BlasTypesTest, TheLibraryHasEveryFunction) {
  void* library = dlopen(DEJAVU_CUBLASLT, RTLD_LAZY | RTLD_LOCAL);
  if (library == nullptr) {
    GTEST_SKIP() << "the toolkit has no cuBLASLt";
  }
#define FIND_FUNCTION(name, symbol, ...) EXPECT_NE(dlsym(library, #symbol), nullptr) << #symbol;
  DEJAVU_BLAS_FUNCTIONS(FIND_FUNCTION)
#undef FIND_FUNCTION
}

}  // namespace
}  // namespace dejavu::cuda
