#include "runtime/cpu/Gemm.h"

#include <algorithm>

#include "ir/base/DType.h"
#include "ir/base/Sgemm.h"
#include "runtime/cpu/Widen.h"

namespace dejavu {
namespace {

// A panel of widened weights: half a megabyte, so that it is still in the second-level cache when BLAS packs it.
constexpr int64_t kPanelFloats = int64_t{128} * 1024;
constexpr int64_t kMaxPanelRows = 128;
constexpr int64_t kMinPanelRows = 16;
// Of a transposed weight a panel holds pieces of rows; shorter ones than this would waste cache lines.
constexpr int64_t kPanelColumns = 256;

/// Outputs computed together, and the inputs that one panel covers.
struct PanelShape {
  int64_t n = 0;
  int64_t k = 0;
};

PanelShape PanelOf(const GemmSpec& spec) {
  if (spec.transposed) {
    return {kPanelColumns, kPanelFloats / kPanelColumns};
  }
  const int64_t rows = kPanelFloats / spec.k / 8 * 8;
  return {std::clamp(rows, kMinPanelRows, kMaxPanelRows), spec.k};
}

const void* Element(const GemmSpec& spec, const void* w, int64_t index) {
  return static_cast<const char*>(w) + static_cast<size_t>(index) * DTypeSize(spec.dtype);
}

/// tile (tokens, n) = x w^T for outputs first .. first + n.
void MultiplyRows(const GemmSpec& spec, const GemmCall& call, int64_t first, int64_t n, float* panel, float* tile) {
  const void* rows = Element(spec, call.w, first * spec.k);
  const auto* floats = static_cast<const float*>(rows);
  if (spec.dtype != DType::kF32) {
    Widen(spec.dtype, rows, panel, static_cast<size_t>(n * spec.k));
    floats = panel;
  }
  Sgemm({.m = call.tokens,
         .n = n,
         .k = spec.k,
         .a = call.x,
         .a_stride = spec.k,
         .b = floats,
         .b_stride = spec.k,
         .b_transposed = true,
         .c = tile});
}

/// The same for a weight stored as (k, n): sums over panels of k, always in the same order.
void MultiplyColumns(const GemmSpec& spec, const GemmCall& call, int64_t first, int64_t n, int64_t panel_k,
                     float* panel, float* tile) {
  for (int64_t k = 0; k < spec.k; k += panel_k) {
    const int64_t depth = std::min(panel_k, spec.k - k);
    const auto* floats = static_cast<const float*>(Element(spec, call.w, k * spec.n + first));
    int64_t stride = spec.n;
    if (spec.dtype != DType::kF32) {
      for (int64_t row = 0; row < depth; ++row) {
        Widen(spec.dtype, Element(spec, call.w, (k + row) * spec.n + first), panel + row * n, static_cast<size_t>(n));
      }
      floats = panel;
      stride = n;
    }
    Sgemm({.m = call.tokens,
           .n = n,
           .k = depth,
           .a = call.x + k,
           .a_stride = spec.k,
           .b = floats,
           .b_stride = stride,
           .c = tile,
           .add = k != 0});
  }
}

/// y = act(tile + bias) + residual for outputs first .. first + n.
void Finish(const GemmSpec& spec, const GemmCall& call, int64_t first, int64_t n, const float* tile) {
  for (int64_t token = 0; token < call.tokens; ++token) {
    const float* in = tile + token * n;
    const int64_t offset = token * spec.n + first;
    float* out = call.y + offset;
    for (int64_t i = 0; i < n; ++i) {
      float value = in[i] + (call.bias != nullptr ? call.bias[first + i] : 0.0F);
      if (spec.relu) {
        value = value < 0.0F ? 0.0F : value;  // keeps NaN, which std::max would drop
      }
      out[i] = call.residual != nullptr ? value + call.residual[offset + i] : value;
    }
  }
}

}  // namespace

size_t GemmScratchFloats(const GemmSpec& spec, int64_t max_tokens) {
  const PanelShape shape = PanelOf(spec);
  return static_cast<size_t>(shape.n * shape.k + shape.n * max_tokens);
}

void RunGemm(const GemmSpec& spec, const GemmCall& call, int thread, int threads, std::span<float> scratch) {
  const PanelShape shape = PanelOf(spec);
  float* panel = scratch.data();
  float* tile = panel + shape.n * shape.k;
  const int64_t panels = (spec.n + shape.n - 1) / shape.n;
  for (int64_t i = thread; i < panels; i += threads) {
    const int64_t first = i * shape.n;
    const int64_t n = std::min(shape.n, spec.n - first);
    if (spec.transposed) {
      MultiplyColumns(spec, call, first, n, shape.k, panel, tile);
    } else {
      MultiplyRows(spec, call, first, n, panel, tile);
    }
    Finish(spec, call, first, n, tile);
  }
}

}  // namespace dejavu
