// Builders of the specs that Cases.h declares.
#include <cmath>
#include <set>

#include "absl/strings/str_cat.h"
#include "codegen/target/KernelShapes.h"
#include "codegen/target/KernelTable.h"
#include "ir/base/PredictorRows.h"
#include "ir/base/QuantizedCopy.h"
#include "tests/conformance/Cases.h"

namespace dejavu::testing {
namespace {

Type F32(Shape shape) { return {DType::kF32, std::move(shape)}; }

}  // namespace

KernelSpec EmbedTokensSpec(const Dim& tokens, int64_t vocab, int64_t width, DType dtype) {
  return {"embed_tokens", {Type{DType::kI32, {tokens}}, Type{dtype, {vocab, width}}}, {F32({tokens, width})}, {}};
}

KernelSpec EmbedPositionsSpec(const Dim& tokens, int64_t positions, int64_t width, DType dtype, int64_t offset) {
  return {"embed_positions",
          {F32({tokens, width}), Type{dtype, {positions, width}}},
          {F32({tokens, width})},
          {{"offset", offset}}};
}

KernelSpec LayerNormSpec(const Dim& tokens, int64_t width, double epsilon) {
  return {
      "layer_norm", {F32({tokens, width}), F32({width}), F32({width})}, {F32({tokens, width})}, {{"epsilon", epsilon}}};
}

KernelSpec AddSpec(const Dim& tokens, int64_t width) {
  return {"add", {F32({tokens, width}), F32({tokens, width})}, {F32({tokens, width})}, {}};
}

KernelSpec LastRowSpec(const Dim& tokens, int64_t width) {
  return {"last_row", {F32({tokens, width})}, {F32({1, width})}, {}};
}

KernelSpec AttentionSpec(const Dim& tokens, int64_t heads, int64_t head_dim, int64_t positions) {
  const Type cache = F32({2, heads, positions, head_dim});
  return {"attention",
          {F32({tokens, 3 * heads * head_dim}), cache, std::nullopt},
          {F32({tokens, heads * head_dim}), cache},
          {{"heads", heads}, {"scale", 1 / std::sqrt(static_cast<double>(head_dim))}}};
}

KernelSpec Listed(KernelSpec attention) {
  attention.operands[2] = Type{DType::kIndex, {"heads"}};
  return attention;
}

KernelSpec SparseQkvSpec(int64_t width, int64_t heads, DType dtype, bool bias) {
  const std::optional<Type> absent;
  const Type list{DType::kIndex, {"heads"}};
  return {"sparse_qkv",
          {F32({1, width}), Type{dtype, {3 * width, width}}, bias ? F32({3 * width}) : absent, list, absent, absent},
          {F32({1, 3 * width})},
          {{"heads", heads}}};
}

KernelSpec LazyQkvSpec(int64_t width, int64_t heads, int64_t positions, DType dtype, bool bias) {
  const std::optional<Type> absent;
  const Type cache = F32({2, heads, positions, width / heads});
  const Type inputs = F32({1, 1, positions, width});
  return {"lazy_qkv",
          {F32({1, width}), Type{dtype, {3 * width, width}}, bias ? F32({3 * width}) : absent,
           Type{DType::kIndex, {"heads"}}, cache, inputs, Type{DType::kI32, {1, heads, 1, 1}}, absent, absent},
          {F32({1, 3 * width}), cache, inputs},
          {{"heads", heads}}};
}

KernelSpec LazyAttentionSpec(int64_t heads, int64_t head_dim, int64_t positions) {
  KernelSpec spec = Listed(AttentionSpec(1, heads, head_dim, positions));
  const Type filled{DType::kI32, {1, heads, 1, 1}};
  spec.kernel = "lazy_attention";
  spec.operands.push_back(filled);
  spec.results.push_back(filled);
  return spec;
}

KernelSpec KeepInputsSpec(const Dim& tokens, int64_t width, int64_t heads, int64_t positions) {
  const Type inputs = F32({1, 1, positions, width});
  const Type filled{DType::kI32, {1, heads, 1, 1}};
  return {"keep_inputs", {F32({tokens, width}), inputs, filled}, {inputs, filled}, {}};
}

KernelSpec SparseOutSpec(int64_t n, int64_t k, int64_t heads, DType dtype, bool bias, bool residual) {
  const std::optional<Type> absent;
  const Type list{DType::kIndex, {"heads"}};
  return {"sparse_out",
          {F32({1, k}), Type{dtype, {n, k}}, bias ? F32({n}) : absent, residual ? F32({1, n}) : absent, list},
          {F32({1, n})},
          {{"heads", heads}}};
}

KernelSpec CertifiedTestSpec(int64_t n, int64_t k) {
  return {"certified_test", {F32({1, k}), Type{DType::kI8, {n, k}}, F32({n, 4})}, {Type{DType::kU8, {n}}}, {}};
}

KernelSpec CompactSpec(int64_t n) {
  return {"compact", {Type{DType::kU8, {n}}, std::nullopt}, {Type{DType::kIndex, {"active"}}}, {}};
}

KernelSpec Among(KernelSpec spec) {
  const std::optional<Type> list = Type{DType::kIndex, {"active"}};
  spec.operands[spec.kernel == "compact" ? 1 : 4] = list;
  return spec;
}

KernelSpec ArgmaxSpec(int64_t n) { return {"argmax", {F32({1, n})}, {Type{DType::kI32, {1}}}, {}}; }

KernelSpec QuantizedLinearSpec(int64_t n, int64_t k, bool bias) {
  KernelSpec spec{"quantized_linear",
                  {F32({1, k}), Type{DType::kI8, {n, k}}, F32({n}), std::nullopt, std::nullopt, std::nullopt},
                  {F32({1, n})},
                  {}};
  if (bias) {
    spec.operands[3] = F32({n});
  }
  return spec;
}

KernelSpec Packed(KernelSpec spec) {
  Type& q8 = *spec.operands[1];
  q8.shape[1] = Dim(PredictorRowBytes(4, q8.shape[1].size()));
  return spec;
}

KernelSpec QuantizedTestSpec(int64_t n, int64_t k, int64_t bits, int64_t group, double margin) {
  return {"quantized_test",
          {F32({1, k}), Type{DType::kI8, {n, CopyRowBytes(bits, k)}}, Type{DType::kI8, {n, CopyGroups(k, group)}},
           F32({n, 3}), std::nullopt, std::nullopt, std::nullopt},
          {Type{DType::kU8, {n}}},
          {{"bits", bits}, {"group", group}, {"margin", margin}}};
}

KernelSpec SelectSpec(int64_t n, int64_t k) {
  KernelSpec spec{"select", {F32({1, n})}, {Type{DType::kIndex, {"active"}}}, {}};
  if (k > 0) {
    spec.attributes["k"] = k;
  }
  return spec;
}

KernelSpec SparseFc1Spec(int64_t n, int64_t k, DType dtype) {
  return {"sparse_fc1",
          {F32({1, k}), Type{dtype, {n, k}}, F32({n}), Type{DType::kIndex, {"active"}}, std::nullopt, std::nullopt},
          {F32({"active", 1})},
          {}};
}

KernelSpec GemmSpec(int64_t n, int64_t k, DType dtype) {
  KernelSpec spec = LinearSpec("tokens", n, k, dtype, true, false, false);
  spec.kernel = "gemm";
  spec.operands.resize(4);
  return spec;
}

KernelSpec Normed(KernelSpec spec, double epsilon) {
  const Type vector = F32({spec.operands[0]->shape[1]});
  spec.operands[spec.operands.size() - 2] = vector;
  spec.operands.back() = vector;
  spec.attributes["epsilon"] = epsilon;
  return spec;
}

KernelSpec JointSpec(std::vector<KernelSpec> parts, bool same_input) {
  KernelSpec spec{"joint", {}, {}, {}};
  spec.parts = std::move(parts);
  if (same_input) {
    spec.attributes[kSameInput] = true;
  }
  return spec;
}

KernelSpec OfBatch(KernelSpec spec, int64_t sequences) {
  const bool has_cache = spec.kernel == "attention";
  const auto widen = [&](Type& type) {
    if (type.rank() == 4) {
      type.shape[0] = Dim(2 * sequences);
    } else if (type.rank() == 2 && type.shape[0] == Dim("active")) {
      type.shape[1] = Dim(sequences);  // h
    } else if (type.shape[0] == Dim(1) && (type.rank() == 2 || type.dtype == DType::kI32)) {
      type.shape[0] = Dim(sequences);
    }
  };
  // A weight of one row is no activation.
  for (size_t i = 0; i < spec.operands.size(); ++i) {
    const bool is_activation =
        i == 0 || spec.operands[i] == std::optional<Type>(spec.results[0]) || (has_cache && i == 1);
    if (spec.operands[i] && is_activation) {
      widen(*spec.operands[i]);
    }
  }
  for (Type& type : spec.results) {
    if (type.dtype == DType::kF32 || type.dtype == DType::kI32) {
      widen(type);
    }
  }
  if (has_cache || spec.kernel == "embed_positions") {
    spec.attributes[kBatch] = true;
  }
  return spec;
}

KernelSpec WithEarlyList(KernelSpec spec) {
  spec.attributes[kEarlyList] = true;
  return spec;
}

KernelSpec SparseFc2Spec(int64_t n, int64_t width, DType dtype, bool residual) {
  KernelSpec spec{
      "sparse_fc2",
      {F32({"active", 1}), Type{DType::kIndex, {"active"}}, Type{dtype, {n, width}}, F32({width}), std::nullopt},
      {F32({1, width})},
      {}};
  if (residual) {
    spec.operands[4] = F32({1, width});
  }
  return spec;
}

KernelSpec LinearSpec(const Dim& tokens, int64_t n, int64_t k, DType dtype, bool bias, bool residual, bool relu) {
  KernelSpec spec{"linear",
                  {F32({tokens, k}), Type{dtype, {n, k}}, std::nullopt, std::nullopt, std::nullopt, std::nullopt},
                  {F32({tokens, n})},
                  {}};
  if (bias) {
    spec.operands[2] = F32({n});
  }
  if (residual) {
    spec.operands[3] = F32({tokens, n});
  }
  spec.attributes["relu"] = relu;
  return spec;
}

}  // namespace dejavu::testing
