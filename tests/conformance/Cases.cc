#include "tests/conformance/Cases.h"

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
  }
}

}  // namespace

KernelSpec LinearSpec(const Dim& tokens, int64_t n, int64_t k, DType dtype, bool bias, bool residual, bool relu) {
  KernelSpec spec{"linear", {F32({tokens, k}), Type{dtype, {n, k}}, std::nullopt, std::nullopt}, {F32({tokens, n})}, {}};
  if (bias) {
    spec.operands[2] = F32({n});
  }
  if (residual) {
    spec.operands[3] = F32({tokens, n});
  }
  spec.attributes["relu"] = relu;
  return spec;
}

const std::vector<Case>& Cases() {
  static const std::vector<Case> cases = [] {
    std::vector<Case> all;
    AddLinears(all);
    return all;
  }();
  return cases;
}

}  // namespace dejavu::testing
