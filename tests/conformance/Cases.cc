#include "tests/conformance/Cases.h"

#include <cmath>
#include <set>

#include "absl/strings/str_cat.h"
#include "codegen/target/KernelShapes.h"
#include "codegen/target/KernelTable.h"
#include "ir/base/QuantizedCopy.h"

namespace dejavu::testing {
namespace {

constexpr DType kF32 = DType::kF32;
constexpr DType kF16 = DType::kF16;
constexpr DType kBF16 = DType::kBF16;

Type F32(Shape shape) { return {kF32, std::move(shape)}; }

void AddLinears(std::vector<Case>& cases) {
  for (const DType dtype : {kF32, kF16, kBF16}) {
    cases.push_back({LinearSpec(1, 3, 8, dtype, true, false, true), 1});
    cases.push_back({LinearSpec(1, 130, 24, dtype, false, true, false), 1});
    cases.push_back({LinearSpec(1, 1, 40, dtype, false, false, false), 1});
    cases.push_back({LinearSpec(1, 128, 64, dtype, true, true, true), 1});
    cases.push_back({LinearSpec(1, 130, 768, dtype, true, false, false), 1});
    cases.push_back({LinearSpec("tokens", 130, 40, dtype, true, true, false), 5, 3});
    cases.push_back({Normed(LinearSpec(1, 3, 8, dtype, true, true, false), 1e-5), 1});
    cases.push_back({Normed(LinearSpec(1, 130, 40, dtype, false, true, false), 1e-12), 1});
    cases.push_back({Normed(LinearSpec(1, 130, 768, dtype, true, false, true), 1e-5), 1});
    // Wide rows, which come through rings where devices have them: few and many, of columns that all threads share
    // evenly or not, in one part or several.
    cases.push_back({LinearSpec(1, 5, 1024, dtype, true, false, true), 1});
    cases.push_back({Normed(LinearSpec(1, 397, 1000, dtype, true, false, false), 1e-5), 1});
    cases.push_back({LinearSpec(1, 130, 13000, dtype, true, true, false), 1});
  }
  cases.push_back({LinearSpec(1, 1030, 4096, kF16, true, true, false), 1});
  cases.push_back({LinearSpec(1, 270, 16384, kF16, false, true, true), 1});
  cases.push_back({LinearSpec(1, 134, 36864, kF16, true, true, false), 1});
  for (const int64_t k : {2048, 2560, 4096, 5120, 7168, 9216, 12288}) {
    cases.push_back({Normed(LinearSpec(1, k / 16 + 7, k, kF16, true, false, true), 1e-5), 1});
  }
}

void AddRowKernels(std::vector<Case>& cases) {
  for (const DType dtype : {kF32, kF16, kBF16}) {
    cases.push_back({EmbedTokensSpec(1, 130, 40, dtype)});
    cases.push_back({EmbedTokensSpec("tokens", 11, 64, dtype), 5, 3});
    cases.push_back({EmbedPositionsSpec(1, 12, 24, dtype, 2), 1, 9});
    cases.push_back({EmbedPositionsSpec("tokens", 32, 768, dtype, 0), 5, 3});
  }
  for (const int64_t width : {8, 24, 64, 768}) {
    cases.push_back({LayerNormSpec(1, width, 1e-5)});
    cases.push_back({LayerNormSpec("tokens", width, 1e-12), 5});
    cases.push_back({AddSpec(1, width)});
    cases.push_back({AddSpec("tokens", width), 5});
    cases.push_back({LastRowSpec("tokens", width), 5});
  }
  cases.push_back({LastRowSpec(1, 40), 1});
}

void AddAttentions(std::vector<Case>& cases) {
  // The last position of the cache is filled, and contexts end inside, at and behind a block of positions.
  cases.push_back({AttentionSpec(1, 1, 8, 4), 1, 0});
  cases.push_back({AttentionSpec(1, 12, 64, 130), 1, 129});
  cases.push_back({AttentionSpec(1, 3, 80, 64), 1, 63});
  cases.push_back({AttentionSpec(1, 2, 128, 70), 1, 65});
  cases.push_back({AttentionSpec(1, 2, 264, 20), 1, 6});
  cases.push_back({AttentionSpec(1, 5, 128, 700), 1, 640});
  cases.push_back({AttentionSpec("tokens", 4, 24, 9), 9, 0});
  cases.push_back({AttentionSpec("tokens", 2, 64, 80), 70, 10});
  cases.push_back({AttentionSpec("tokens", 5, 16, 40), 1, 38});
  // Tiles of 32 queries and 64 positions: contexts that end inside, at and behind one, with and without a past.
  cases.push_back({AttentionSpec("tokens", 2, 128, 200), 70, 0});
  cases.push_back({AttentionSpec("tokens", 2, 128, 256), 33, 95});
  cases.push_back({AttentionSpec("tokens", 1, 128, 300), 1, 128});
  cases.push_back({AttentionSpec("tokens", 3, 64, 131), 65, 63});
  cases.push_back({AttentionSpec("tokens", 3, 80, 96), 31, 64});
  cases.push_back({AttentionSpec("tokens", 2, 80, 160), 127, 1});
  cases.push_back({AttentionSpec("tokens", 3, 8, 70), 69, 0});
  cases.push_back({AttentionSpec("tokens", 1, 264, 40), 9, 3});
}

void AddSparseHeads(std::vector<Case>& cases) {
  cases.push_back({Listed(AttentionSpec(1, 1, 8, 4)), 1, 0});
  cases.push_back({Listed(AttentionSpec(1, 12, 64, 130)), 1, 129});
  cases.push_back({Listed(AttentionSpec(1, 12, 64, 130)), 1, 5});
  cases.push_back({Listed(AttentionSpec(1, 3, 80, 64)), 1, 63});
  cases.push_back({Listed(AttentionSpec(1, 7, 128, 400)), 1, 399});
  cases.push_back({Listed(AttentionSpec(1, 2, 264, 20)), 1, 6});
  cases.push_back({Listed(AttentionSpec(1, 96, 8, 20)), 1, 19});
  cases.push_back({WithEarlyList(Listed(AttentionSpec(1, 7, 128, 400))), 1, 399});
  for (const DType dtype : {kF32, kF16, kBF16}) {
    cases.push_back({SparseQkvSpec(8, 1, dtype, true)});
    cases.push_back({SparseQkvSpec(40, 5, dtype, false)});
    cases.push_back({SparseQkvSpec(768, 12, dtype, true)});
    cases.push_back({Normed(SparseQkvSpec(240, 3, dtype, true), 1e-5)});
    cases.push_back({SparseOutSpec(3, 8, 1, dtype, true, false)});
    cases.push_back({SparseOutSpec(40, 40, 5, dtype, false, true)});
    cases.push_back({SparseOutSpec(130, 240, 3, dtype, true, true)});
    cases.push_back({SparseOutSpec(768, 768, 12, dtype, true, true)});
    cases.push_back({SparseOutSpec(130, 2048, 16, dtype, true, true)});
    cases.push_back({WithEarlyList(SparseOutSpec(768, 768, 12, dtype, true, true))});
    cases.push_back({WithEarlyList(Normed(SparseQkvSpec(768, 12, dtype, true), 1e-5))});
  }
}

void AddQuantizedTests(std::vector<Case>& cases) {
  for (const int64_t bits : {2, 3, 4, 8}) {
    for (const int64_t group : {32, 64, 128}) {
      cases.push_back({QuantizedTestSpec(1, 8, bits, group, 0)});
      cases.push_back({QuantizedTestSpec(3, 40, bits, group, 0.25)});
      cases.push_back({QuantizedTestSpec(130, 768, bits, group, 1)});
      cases.push_back({QuantizedTestSpec(67, 1000, bits, group, -0.5)});
      cases.push_back({QuantizedTestSpec(301, 2048, bits, group, 1)});
    }
    cases.push_back({Normed(QuantizedTestSpec(130, 768, bits, 64, 1), 1e-5)});
    cases.push_back({QuantizedTestSpec(40, 12288, bits, 64, 2)});
  }
  // Rings: groups of a part of a load, of one load and of several; more rows than all multiprocessors have at once.
  for (const int64_t group : {32, 64, 128}) {
    cases.push_back({QuantizedTestSpec(265, 4096, 4, group, 1)});
    cases.push_back({QuantizedTestSpec(131, 8192, 2, group, 1)});
  }
  cases.push_back({QuantizedTestSpec(1, 4096, 4, 64, 1)});
  cases.push_back({QuantizedTestSpec(2500, 7168, 4, 64, 1)});
  cases.push_back({QuantizedTestSpec(300, 9216, 4, 64, 0)});
  cases.push_back({Normed(QuantizedTestSpec(1030, 4096, 4, 64, 1), 1e-5)});
  cases.push_back({Normed(QuantizedTestSpec(130, 9216, 4, 64, 1), 1e-5)});
}

void AddPredictors(std::vector<Case>& cases) {
  for (const bool bias : {false, true}) {
    cases.push_back({QuantizedLinearSpec(1, 8, bias)});
    cases.push_back({QuantizedLinearSpec(3, 24, bias)});
    cases.push_back({QuantizedLinearSpec(130, 40, bias)});
    cases.push_back({QuantizedLinearSpec(1000, 768, bias)});
    cases.push_back({QuantizedLinearSpec(3072, 1000, bias)});
  }
  cases.push_back({QuantizedLinearSpec(64, 8192, true)});
  cases.push_back({QuantizedLinearSpec(300, 4096, false)});
  cases.push_back({Normed(QuantizedLinearSpec(130, 40, false), 1e-5)});
  cases.push_back({Normed(QuantizedLinearSpec(130, 4096, true), 1e-5)});
  cases.push_back({Normed(QuantizedLinearSpec(1000, 768, true), 1e-5)});
  AddQuantizedTests(cases);
  for (const int64_t n : {1, 3, 12, 63, 64, 130, 3072, 20000}) {
    cases.push_back({SelectSpec(n, 0)});
    for (const int64_t k : std::set<int64_t>{1, (n + 2) / 3, n}) {
      cases.push_back({SelectSpec(n, k)});
    }
  }
}

void AddJoints(std::vector<Case>& cases) {
  // Side by side.
  cases.push_back({JointSpec({AttentionSpec(1, 12, 64, 130), QuantizedLinearSpec(3072, 1000, true)}, false), 1, 129});
  cases.push_back({JointSpec({Listed(AttentionSpec(1, 12, 64, 130)), QuantizedLinearSpec(3072, 1000, true),
                              QuantizedLinearSpec(12, 40, true)},
                             false),
                   1, 129});
  cases.push_back(
      {JointSpec({WithEarlyList(Listed(AttentionSpec(1, 7, 128, 400))), QuantizedLinearSpec(3072, 1000, false)}, false),
       1, 399});
  cases.push_back(
      {JointSpec({SparseOutSpec(768, 768, 12, kF16, true, true), SelectSpec(3072, 0), SelectSpec(12, 0)}, false)});
  cases.push_back(
      {JointSpec({WithEarlyList(SparseOutSpec(130, 2048, 16, kBF16, true, true)), SelectSpec(20000, 0)}, false)});
  // Through one ring: a load or more of each thread, with and without idle threads, on the border of both rows or not.
  for (const DType dtype : {kF16, kBF16}) {
    cases.push_back({JointSpec(
        {Normed(SparseQkvSpec(768, 12, dtype, true), 1e-5), Normed(QuantizedLinearSpec(1000, 768, false), 1e-5)},
        true)});
    cases.push_back({JointSpec(
        {WithEarlyList(Normed(SparseQkvSpec(2048, 16, dtype, true), 1e-5)),
         Normed(QuantizedLinearSpec(1008, 2048, false), 1e-5), Normed(QuantizedLinearSpec(130, 2048, true), 1e-5)},
        true)});
  }
  for (const int64_t k : {1552, 4096, 7168, 9216, 12288}) {
    cases.push_back({JointSpec({LinearSpec(1, 397, k, kF16, true, true, false), QuantizedLinearSpec(302, k, true),
                                QuantizedLinearSpec(2, k, false)},
                               true)});
    cases.push_back({JointSpec({Normed(LinearSpec(1, 397, k, kF16, true, false, true), 1e-5),
                                Normed(QuantizedLinearSpec(302, k, false), 1e-5)},
                               true)});
  }
}

void AddSparse(std::vector<Case>& cases) {
  for (const int64_t k : {8, 24, 40, 64, 120, 768}) {
    cases.push_back({CertifiedTestSpec(k == 64 ? 1 : 130, k)});
  }
  cases.push_back({CertifiedTestSpec(128, 8192)});
  cases.push_back({CertifiedTestSpec(1030, 2048)});
  cases.push_back({CertifiedTestSpec(265, 7168)});
  cases.push_back({CertifiedTestSpec(40, 12288)});
  cases.push_back({CertifiedTestSpec(131, 1552)});
  for (const int64_t n : {1, 3, 63, 64, 130, 3072}) {
    cases.push_back({CompactSpec(n)});
  }
  // `past` chooses what is odd about the logits.
  for (int64_t odd = 0; odd < kArgmaxOddities; ++odd) {
    for (const int64_t n : {1, 3, 130, 50272}) {
      cases.push_back({ArgmaxSpec(n), 1, odd});
    }
  }
  for (const DType dtype : {kF32, kF16, kBF16}) {
    cases.push_back({SparseFc1Spec(1, 8, dtype)});
    cases.push_back({SparseFc1Spec(3, 24, dtype)});
    cases.push_back({SparseFc1Spec(128, 64, dtype)});
    cases.push_back({SparseFc1Spec(130, 768, dtype)});
    cases.push_back({Normed(SparseFc1Spec(3, 24, dtype), 1e-5)});
    cases.push_back({Normed(SparseFc1Spec(130, 768, dtype), 1e-5)});
    cases.push_back({SparseFc1Spec(700, 1000, dtype)});
    cases.push_back({Normed(SparseFc1Spec(1030, 2048, dtype), 1e-5)});
    cases.push_back({SparseFc2Spec(1, 8, dtype, false)});
    cases.push_back({SparseFc2Spec(3, 24, dtype, true)});
    cases.push_back({SparseFc2Spec(130, 40, dtype, true)});
    cases.push_back({SparseFc2Spec(2000, 64, dtype, false)});
    cases.push_back({SparseFc2Spec(128, 1000, dtype, true)});
    // Wide rows, few and many of them.
    cases.push_back({SparseFc2Spec(1, 2048, dtype, false)});
    cases.push_back({SparseFc2Spec(3000, 1032, dtype, true)});
    // Lists that are there before the launches ahead have ended.
    cases.push_back({WithEarlyList(SparseFc1Spec(130, 40, dtype))});
    cases.push_back({WithEarlyList(SparseFc2Spec(130, 40, dtype, true))});
    cases.push_back({WithEarlyList(SparseFc2Spec(3072, 768, dtype, true))});
    cases.push_back({WithEarlyList(SparseFc2Spec(300, 4096, dtype, false))});
    cases.push_back({WithEarlyList(Normed(SparseFc1Spec(1030, 2048, dtype), 1e-5))});
  }
}

void AddBatches(std::vector<Case>& cases) {
  for (const int64_t sequences : {2, 3, 4, 8}) {
    const auto add = [&](KernelSpec spec, int64_t past = 0) {
      cases.push_back({OfBatch(std::move(spec), sequences), sequences, past});
    };
    add(EmbedTokensSpec(1, 130, 40, kF16));
    add(EmbedPositionsSpec(1, 32, 24, kF16, 2), 29);
    add(LayerNormSpec(1, 768, 1e-5));
    add(AttentionSpec(1, 3, 80, 64), 63);
    add(AttentionSpec(1, 12, 64, 300), 299);
    add(Listed(AttentionSpec(1, 12, 64, 130)), 129);
    add(Listed(AttentionSpec(1, 7, 128, 400)), 399);
    for (const DType dtype : {kF32, kF16, kBF16}) {
      add(LinearSpec(1, 3, 8, dtype, true, false, true));
      add(LinearSpec(1, 130, 40, dtype, true, true, true));
      add(LinearSpec(1, 1030, 768, dtype, false, true, false));
      add(SparseFc1Spec(3, 24, dtype));
      add(SparseFc1Spec(1030, 2048, dtype));
      add(WithEarlyList(SparseFc1Spec(700, 1000, dtype)));
      add(SparseFc2Spec(3, 24, dtype, true));
      add(SparseFc2Spec(2000, 64, dtype, false));
      add(SparseFc2Spec(700, 1032, dtype, true));
      add(SparseQkvSpec(40, 5, dtype, false));
      add(SparseQkvSpec(768, 12, dtype, true));
      add(SparseOutSpec(3, 8, 1, dtype, true, false));
      add(SparseOutSpec(130, 2048, 16, dtype, true, true));
    }
    // Vectors that come to shared memory in parts.
    add(LinearSpec(1, 270, 16384, kF16, true, true, true));
    add(CertifiedTestSpec(130, 40));
    add(CertifiedTestSpec(1030, 2048));
    add(CertifiedTestSpec(40, 12288));
    add(QuantizedLinearSpec(3, 24, true));
    add(QuantizedLinearSpec(1000, 768, false));
    add(QuantizedLinearSpec(300, 9216, true));
    for (const int64_t n : {3, 12, 130, 3072}) {
      add(SelectSpec(n, 0));
      add(ArgmaxSpec(n), sequences);
    }
  }
}

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
  return {"compact", {Type{DType::kU8, {n}}}, {Type{DType::kIndex, {"active"}}}, {}};
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

KernelSpec QuantizedTestSpec(int64_t n, int64_t k, int64_t bits, int64_t group, double margin) {
  return {"quantized_test",
          {F32({1, k}), Type{DType::kI8, {n, CopyRowBytes(bits, k)}}, Type{DType::kI8, {n, CopyGroups(k, group)}},
           F32({n, 3}), std::nullopt, std::nullopt},
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

KernelSpec AllHalvesSpec(DType dtype) { return EmbedTokensSpec(1, 1, 65536, dtype); }

KernelSpec ExponentialSpec() {
  KernelSpec spec = AttentionSpec(1, kExponentials, 8, 2);
  spec.attributes["scale"] = 1.0;
  return spec;
}

std::vector<KernelSpec> AllSpecs() {
  std::vector<KernelSpec> specs = {AllHalvesSpec(kF16), AllHalvesSpec(kBF16), ExponentialSpec()};
  for (const Case& test_case : Cases()) {
    specs.push_back(test_case.spec);
  }
  // Those of CertifiedTest.
  struct Shape {
    int64_t n;
    int64_t k;
  };
  for (const auto& [n, k] : {Shape{64, 8}, Shape{64, 24}, Shape{64, 768}, Shape{130, 8}, Shape{130, 40},
                             Shape{130, 768}, Shape{130, 3072}, Shape{128, 64}, Shape{64, 64}, Shape{16, 64},
                             Shape{1, 64}, Shape{1, 768}, Shape{8, 24}, Shape{8, 40}, Shape{512, 768}}) {
    specs.push_back(CertifiedTestSpec(n, k));
  }
  return specs;
}

std::string CaseName(const Case& test_case) {
  for (const KernelDefinition& definition : KernelDefinitions()) {
    if (definition.name == test_case.spec.kernel) {
      return absl::StrCat(definition.symbol(test_case.spec), "_x", test_case.tokens, "_past", test_case.past);
    }
  }
  return "no_such_kernel";
}

const std::vector<Case>& Cases() {
  static const std::vector<Case> cases = [] {
    std::vector<Case> all;
    AddRowKernels(all);
    AddLinears(all);
    AddAttentions(all);
    AddPredictors(all);
    AddSparseHeads(all);
    AddSparse(all);
    AddJoints(all);
    AddBatches(all);
    return all;
  }();
  return cases;
}

}  // namespace dejavu::testing
