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

/// The last position of the model, with heads that slept since the first token, is in each group.
void AddLazyHeads(std::vector<Case>& cases) {
  for (const DType dtype : {kF32, kF16, kBF16}) {
    cases.push_back({LazyQkvSpec(8, 1, 3, dtype, true), 1, 0});
    cases.push_back({LazyQkvSpec(40, 5, 70, dtype, false), 1, 69});
    cases.push_back({LazyQkvSpec(768, 12, 20, dtype, true), 1, 7});
    cases.push_back({Normed(LazyQkvSpec(240, 3, 40, dtype, true), 1e-5), 1, 39});
    cases.push_back({WithEarlyList(Normed(LazyQkvSpec(1000, 5, 24, dtype, true), 1e-5)), 1, 23});
  }
  // Rings: one load of each thread or several, with and without idle threads.
  cases.push_back({Normed(LazyQkvSpec(2048, 16, 12, kF16, true), 1e-5), 1, 11});
  cases.push_back({WithEarlyList(Normed(LazyQkvSpec(1536, 96, 40, kF16, false), 1e-5)), 1, 39});
  cases.push_back({WithEarlyList(Normed(LazyQkvSpec(2112, 12, 10, kF32, true), 1e-5)), 1, 9});
  cases.push_back({LazyAttentionSpec(1, 8, 4), 1, 0});
  cases.push_back({LazyAttentionSpec(12, 64, 130), 1, 129});
  cases.push_back({LazyAttentionSpec(12, 64, 130), 1, 5});
  cases.push_back({LazyAttentionSpec(3, 80, 64), 1, 63});
  cases.push_back({WithEarlyList(LazyAttentionSpec(7, 128, 400)), 1, 399});
  cases.push_back({LazyAttentionSpec(96, 8, 20), 1, 19});
  cases.push_back({KeepInputsSpec("tokens", 40, 5, 70), 64, 6});
  cases.push_back({KeepInputsSpec("tokens", 768, 12, 9), 3, 0});
  cases.push_back({KeepInputsSpec(1, 8, 1, 4), 1, 3});
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
    cases.push_back({Among(QuantizedTestSpec(5, 40, bits, 32, 0.5))});
    cases.push_back({Among(QuantizedTestSpec(301, 768, bits, 64, 1))});
    cases.push_back({Among(Normed(QuantizedTestSpec(131, 1000, bits, 128, -0.5), 1e-5))});
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
  // No ring for a list, where all rows would have one.
  cases.push_back({Among(QuantizedTestSpec(2500, 4096, 4, 64, 1))});
  cases.push_back({Among(Normed(QuantizedTestSpec(130, 9216, 4, 64, 1), 1e-5))});
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
  for (const int64_t k : {32, 96, 768, 1024, 4096}) {
    cases.push_back({Packed(QuantizedLinearSpec(130, k, k % 64 == 0))});
  }
  cases.push_back({Packed(QuantizedLinearSpec(16384, 1024, true))});
  cases.push_back({Packed(QuantizedLinearSpec(1, 9216, false))});
  cases.push_back({Packed(Normed(QuantizedLinearSpec(1024, 768, true), 1e-5))});
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
  cases.push_back(
      {JointSpec({AttentionSpec(1, 12, 64, 130), Packed(QuantizedLinearSpec(3072, 1024, true))}, false), 1, 129});
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
  cases.push_back({JointSpec({WithEarlyList(Normed(LazyQkvSpec(768, 12, 10, kF16, true), 1e-5)),
                              Normed(QuantizedLinearSpec(1000, 768, false), 1e-5)},
                             true),
                   1, 9});
  cases.push_back({JointSpec({WithEarlyList(Normed(LazyQkvSpec(1552, 97, 20, kF16, true), 1e-5)),
                              Normed(QuantizedLinearSpec(302, 1552, false), 1e-5),
                              Normed(QuantizedLinearSpec(130, 1552, true), 1e-5)},
                             true),
                   1, 19});
  cases.push_back(
      {JointSpec({WithEarlyList(LazyAttentionSpec(7, 128, 400)), QuantizedLinearSpec(3072, 1000, false)}, false), 1,
       399});
  for (const int64_t k : {1552, 4096, 7168, 9216, 12288}) {
    cases.push_back({JointSpec({LinearSpec(1, 397, k, kF16, true, true, false), QuantizedLinearSpec(302, k, true),
                                QuantizedLinearSpec(2, k, false)},
                               true)});
    cases.push_back({JointSpec({Normed(LinearSpec(1, 397, k, kF16, true, false, true), 1e-5),
                                Normed(QuantizedLinearSpec(302, k, false), 1e-5)},
                               true)});
    if (k % 32 == 0) {
      cases.push_back({JointSpec({Normed(LinearSpec(1, 397, k, kF16, true, false, true), 1e-5),
                                  Packed(Normed(QuantizedLinearSpec(304, k, true), 1e-5)),
                                  Packed(Normed(QuantizedLinearSpec(4, k, false), 1e-5))},
                                 true)});
    }
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
    cases.push_back({Among(CompactSpec(n))});
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
    AddLazyHeads(all);
    AddSparse(all);
    AddJoints(all);
    AddBatches(all);
    return all;
  }();
  return cases;
}

}  // namespace dejavu::testing
