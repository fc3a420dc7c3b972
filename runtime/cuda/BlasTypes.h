// The part of cuBLASLt's C interface that the runtime uses, declared here so that building needs no toolkit. A test
// compares it with cublasLt.h where there is one.
#ifndef DEJAVU_RUNTIME_CUDA_BLASTYPES_H_
#define DEJAVU_RUNTIME_CUDA_BLASTYPES_H_

#include <cstddef>
#include <cstdint>

#include "runtime/cuda/DriverTypes.h"

namespace dejavu::cuda {

using BlasResult = int32_t;  // cublasStatus_t; 0 is success

// Handles are pointers to structs of the library's own.
using BlasHandle = struct BlasTag*;                      // cublasLtHandle_t
using BlasProductHandle = struct BlasProductTag*;        // cublasLtMatmulDesc_t
using BlasLayoutHandle = struct BlasLayoutTag*;          // cublasLtMatrixLayout_t
using BlasPreferenceHandle = struct BlasPreferenceTag*;  // cublasLtMatmulPreference_t

inline constexpr BlasResult kBlasSuccess = 0;
inline constexpr BlasResult kBlasAllocFailed = 3;
inline constexpr BlasResult kBlasInvalidValue = 7;
inline constexpr BlasResult kBlasNotSupported = 15;

// cudaDataType_t
inline constexpr int32_t kBlasF32 = 0;
inline constexpr int32_t kBlasF16 = 2;
inline constexpr int32_t kBlasBF16 = 14;
// cublasComputeType_t: products and sums in f32, no narrower type for f32 operands.
inline constexpr int32_t kBlasComputeF32 = 68;
// cublasOperation_t
inline constexpr int32_t kBlasTransposed = 1;
// cublasLtMatmulDescAttributes_t
inline constexpr int32_t kBlasTransposeA = 3;
inline constexpr int32_t kBlasEpilogue = 7;
inline constexpr int32_t kBlasBiasPointer = 8;
// cublasLtEpilogue_t
inline constexpr uint32_t kBlasEpilogueNone = 1;
inline constexpr uint32_t kBlasEpilogueRelu = 2;
inline constexpr uint32_t kBlasEpilogueBias = 4;
// cublasLtMatmulPreferenceAttributes_t
inline constexpr int32_t kBlasMaxWorkspaceBytes = 1;
inline constexpr int32_t kBlasMinAlignmentA = 5;  // B, C and D follow

struct BlasAlgorithm {  // cublasLtMatmulAlgo_t
  uint64_t data[8] = {};
};

struct BlasHeuristic {  // cublasLtMatmulHeuristicResult_t
  BlasAlgorithm algorithm;
  size_t workspace_bytes = 0;
  BlasResult state = 0;
  float waves = 0;
  int32_t reserved[4] = {};
};

}  // namespace dejavu::cuda

#endif  // DEJAVU_RUNTIME_CUDA_BLASTYPES_H_
