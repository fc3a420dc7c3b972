// Where the bytes of weights come from, and whether they are those that the IR was made from.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ir/base/Hash.h"
#include "ir/core/Module.h"
#include "ir/import/WeightStore.h"

namespace dejavu {
namespace {

using testing::HasSubstr;

constexpr std::array<float, 4> kOnes = {1, 1, 1, 1};
constexpr std::array<float, 4> kTwos = {2, 2, 2, 2};

/// Gives every tensor the same bytes.
class FakeSource : public TensorSource {
 public:
  explicit FakeSource(const std::array<float, 4>& values) : values_(values) {}

  absl::StatusOr<WeightData> Read(std::string_view /*tensor*/) const override {
    ++reads;
    return WeightData{DType::kF32, {2, 2}, nullptr, reinterpret_cast<const std::byte*>(values_.data()), 16};
  }

  mutable int reads = 0;

 private:
  const std::array<float, 4>& values_;
};

Weight FileWeight(const std::string& hash) {
  Weight weight;
  weight.name = "w";
  weight.type = {DType::kF32, {2, 2}};
  weight.file = "model.safetensors";
  weight.tensor = "decoder.w";
  weight.hash = hash;
  return weight;
}

std::string HashOf(const std::array<float, 4>& values) { return HashText(Hash64(std::as_bytes(std::span(values)))); }

TEST(WeightStore, RefusesBytesOtherThanTheHashSays) {
  WeightStore store;
  store.Register("model.safetensors", std::make_shared<FakeSource>(kTwos));
  EXPECT_TRUE(store.Read(FileWeight(HashOf(kTwos))).ok());
  EXPECT_TRUE(store.Read(FileWeight("")).ok()) << "nothing to compare with";
  const Weight changed = FileWeight(HashOf(kOnes));
  for (int attempt = 0; attempt < 2; ++attempt) {
    const auto data = store.Read(changed);
    ASSERT_FALSE(data.ok());
    EXPECT_THAT(std::string(data.status().message()),
                HasSubstr("model.safetensors: tensor 'decoder.w' has changed: its XXH3 hash is " + HashOf(kTwos)));
  }
  store.TrustHash(changed);
  EXPECT_TRUE(store.Read(changed).ok()) << "an importer has just computed it";
}

TEST(WeightStore, PrefersWhatAnArtifactHoldsUnderTheWeightsName) {
  WeightStore store;
  const auto source = std::make_shared<FakeSource>(kTwos);
  store.RegisterStored("m.dejavu", {"w", "w.T"}, source);
  Module module("m");
  Weight* w = module.AddWeight(FileWeight(HashOf(kOnes)));
  Weight derived;
  derived.name = "w.T";
  derived.type = w->type;
  derived.transform = "transpose";
  derived.sources = {w};
  const Weight* turned = module.AddWeight(std::move(derived));
  const auto data = store.Read(*turned);
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(source->reads, 1) << "not computed again from its source";
  EXPECT_EQ(reinterpret_cast<const float*>(data->data)[0], 2.0F);
}

TEST(WeightStore, SaysThatAnArtifactNeedsTheModelForOtherWeights) {
  WeightStore store("/nowhere");
  store.RegisterStored("m.dejavu", {"other"}, std::make_shared<FakeSource>(kTwos));
  const auto data = store.Read(FileWeight(""));
  ASSERT_FALSE(data.ok());
  EXPECT_THAT(std::string(data.status().message()),
              HasSubstr("m.dejavu: does not hold the weight 'w', which must come from the model that it was made from: "
                        "/nowhere/model.safetensors: cannot open the file"));
  EXPECT_THAT(std::string(data.status().message()), HasSubstr("put the model back there, or compile it again"));
}

}  // namespace
}  // namespace dejavu
