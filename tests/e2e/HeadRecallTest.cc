// What heads add to the residual stream, by the weights of a compiled model, and which of it a session's heads have.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "ir/base/Safetensors.h"
#include "tests/e2e/Compiled.h"
#include "tools/driver/Recall.h"

namespace dejavu {
namespace {

TEST(HeadEnergiesTest, AreTheSquaresOfWhatTheOutputLayerMakesOfEachHead) {
  const Compiled compiled(DEJAVU_SOURCE_DIR "/tests/models/opt-demo-7m/model.onnx", "none", BestIsa(), "energies");
  ASSERT_NE(compiled.session(), nullptr);
  const ModelInfo& info = compiled.model()->info();
  const auto energies = HeadEnergies::Create(*compiled.model(), nullptr, 2);
  ASSERT_TRUE(energies.ok()) << energies.status();
  const auto weights = Safetensors::Open(compiled.path() + "/weights.safetensors");
  ASSERT_TRUE(weights.ok()) << weights.status();
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  std::vector<float> y(static_cast<size_t>(info.hidden));
  for (float& value : y) {
    value = normal(random);
  }
  const std::vector<int32_t> list = {0, 3, 5};
  for (size_t layer = 0; layer < static_cast<size_t>(info.layers); ++layer) {
    const auto w = weights->Get("layers." + std::to_string(layer) + ".attention.out");
    ASSERT_TRUE(w.ok()) << w.status();
    const std::vector<double> all = (*energies)->Of(layer, {.listed = false, .list = {}, .values = y});
    const std::vector<double> some = (*energies)->Of(layer, {.listed = true, .list = list, .values = y});
    const auto width = static_cast<size_t>(info.hidden / info.heads);
    ASSERT_EQ(all.size(), static_cast<size_t>(info.heads));
    for (size_t head = 0; head < all.size(); ++head) {
      double expected = 0;
      for (size_t row = 0; row < y.size(); ++row) {
        double c = 0;
        for (size_t i = head * width; i < (head + 1) * width; ++i) {
          c += LoadAsDouble((*w)->dtype, (*w)->data, row * y.size() + i) * y[i];
        }
        expected += c * c;
      }
      EXPECT_NEAR(all[head], expected, 1e-4 * expected) << "layer " << layer << ", head " << head;
      const bool listed = std::find(list.begin(), list.end(), static_cast<int32_t>(head)) != list.end();
      EXPECT_EQ(some[head], listed ? all[head] : 0);
    }
  }
}

TEST(HeadRecallTest, IsWhatHeadsThatSleepLeaveOut) {
  // Two of twelve heads are listed in all layers but the first, whatever the token.
  Compiled dense("opt-125m:layers=3", "none", BestIsa(), "dense-heads");
  Compiled sparse("opt-125m:layers=3", "predicted", BestIsa(), "sparse-heads", 2, {},
                  {.mlp_density = 0.5, .head_density = 2.0 / 12});
  ASSERT_NE(dense.session(), nullptr);
  ASSERT_NE(sparse.session(), nullptr);
  dense.session()->CollectStatistics(true);
  sparse.session()->CollectStatistics(true);
  const auto energies = HeadEnergies::Create(*dense.model(), nullptr, 2);
  ASSERT_TRUE(energies.ok()) << energies.status();
  const auto all = LayerWatch::Create(*dense.session());
  const auto some = LayerWatch::Create(*sparse.session());
  ASSERT_TRUE(all.ok()) << all.status();
  ASSERT_TRUE(some.ok()) << some.status();
  std::vector<HeadCounts> counts(3);
  std::vector<HeadCounts> of_itself(3);
  std::vector<double> found(3);
  std::vector<double> total(3);
  std::mt19937 random(6);
  for (int token = 0; token < 20; ++token) {
    const auto id = static_cast<int32_t>(random() % 50000);
    ASSERT_TRUE(dense.session()->Decode(id).ok());
    ASSERT_TRUE(sparse.session()->Decode(id).ok());
    for (size_t layer = 0; layer < 3; ++layer) {
      const std::vector<double> energy = (*energies)->Of(layer, all->Heads(layer));
      EXPECT_GT(*std::min_element(energy.begin(), energy.end()), 0);
      counts[layer].Add(some->Heads(layer), energy);
      of_itself[layer].Add(all->Heads(layer), energy);
      const LayerHeads listed = some->Heads(layer);
      EXPECT_EQ(listed.list.size(), layer == 0 ? 0U : 2U);
      for (size_t head = 0; head < energy.size(); ++head) {
        const bool is_found =
            !listed.listed || std::find(listed.list.begin(), listed.list.end(), head) != listed.list.end();
        found[layer] += is_found ? energy[head] : 0;
        total[layer] += energy[head];
      }
    }
  }
  for (size_t layer = 0; layer < 3; ++layer) {
    EXPECT_NEAR(counts[layer].Recall(), found[layer] / total[layer], 1e-12);
    EXPECT_TRUE(layer == 0 ? counts[layer].Recall() == 1 : counts[layer].Recall() < 0.5) << layer;
    EXPECT_EQ(of_itself[layer].Recall(), 1);
  }
}

}  // namespace
}  // namespace dejavu
