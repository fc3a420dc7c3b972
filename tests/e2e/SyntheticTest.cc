// Models with made-up weights, which the runtime fills in when it loads them.
#include <gtest/gtest.h>

#include <filesystem>
#include <vector>

#include "tests/e2e/Compiled.h"

namespace dejavu {
namespace {

// The width of OPT-125M, its vocabulary, and one layer.
constexpr char kShape[] = "opt-125m:layers=1";
const std::vector<int32_t> kTokens = {2, 100, 50271, 4, 31337};

/// The logits after each of kTokens.
std::vector<std::vector<double>> DecodeAll(Session& session) {
  std::vector<std::vector<double>> all;
  for (const int32_t token : kTokens) {
    const auto logits = session.Decode(token);
    EXPECT_TRUE(logits.ok()) << logits.status();
    all.emplace_back(logits.ok() ? std::vector<double>(logits->begin(), logits->end()) : std::vector<double>());
  }
  return all;
}

TEST(Synthetic, StoresNoWeightsAndFillsThemTheSameEachTime) {
  const Compiled compiled(kShape, "exact", BestIsa(), "synthetic-twice");
  ASSERT_NE(compiled.session(), nullptr);
  EXPECT_FALSE(std::filesystem::exists(compiled.path() + "/weights.safetensors"));
  const auto again = Model::Load(compiled.path(), {});
  ASSERT_TRUE(again.ok()) << again.status();
  const auto session = Session::Create(*again, {.threads = 1});
  ASSERT_TRUE(session.ok()) << session.status();
  const std::vector<std::vector<double>> first = DecodeAll(*compiled.session());
  EXPECT_EQ(DecodeAll(**session), first);
  EXPECT_NE(first[0], first[1]) << "the weights make a difference";
}

TEST(Synthetic, ExactIsDenseUpToRounding) {
  const Compiled dense(kShape, "none", BestIsa(), "synthetic-none");
  const Compiled exact(kShape, "exact", BestIsa(), "synthetic-exact");
  ASSERT_TRUE(dense.session() != nullptr && exact.session() != nullptr);
  exact.session()->CollectStatistics(true);
  for (const int32_t token : kTokens) {
    const auto expected = dense.session()->Decode(token);
    ASSERT_TRUE(expected.ok()) << expected.status();
    const std::vector<double> wide(expected->begin(), expected->end());
    const auto actual = exact.session()->Decode(token);
    ASSERT_TRUE(actual.ok()) << actual.status();
    EXPECT_LT(RelativeError(*actual, wide.data()), 1e-5);
  }
  // The biases of fc1 leave few neurons positive.
  const double density = exact.session()->statistics().MeanMlpDensity();
  EXPECT_GT(density, 0.02);
  EXPECT_LT(density, 0.2);
}

TEST(Synthetic, PrefillAgreesWithDecoding) {
  const Compiled compiled(kShape, "none", BestIsa(), "synthetic-prefill");
  ASSERT_NE(compiled.session(), nullptr);
  const std::vector<double> expected = DecodeAll(*compiled.session()).back();
  compiled.session()->Reset();
  const auto last = compiled.session()->Prefill(kTokens);
  ASSERT_TRUE(last.ok()) << last.status();
  EXPECT_LT(RelativeError(*last, expected.data()), 1e-5);
}

}  // namespace
}  // namespace dejavu
