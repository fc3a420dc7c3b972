#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/artifact/Plan.h"
#include "tests/unit/runtime/ToyModel.h"

namespace dejavu {
namespace {

using ::testing::HasSubstr;

template <typename Change>
std::string MessageAfter(const Change& change) {
  nlohmann::json json = PlanToJson(toy::MakePlan());
  change(json);
  return std::string(ParsePlan(json.dump(), toy::kVocab).status().message());
}

nlohmann::json& Launch(nlohmann::json& json, size_t index, const char* function = "decode") {
  return json["functions"][function]["launches"][index];
}

TEST(PlanTest, RoundTrips) {
  const nlohmann::json json = PlanToJson(toy::MakePlan());
  const auto plan = ParsePlan(json.dump(), toy::kVocab);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(PlanToJson(*plan), json);
}

TEST(PlanTest, StructureIsChecked) {
  EXPECT_THAT(MessageAfter([](auto& json) { json["format"] = 7; }), HasSubstr("has plan format 7"));
  EXPECT_THAT(MessageAfter([](auto& json) { json["functions"].erase("decode"); }),
              HasSubstr("field 'functions.decode' is missing"));
  EXPECT_THAT(MessageAfter([](auto& json) { Launch(json, 0).erase("symbol"); }),
              HasSubstr("field 'functions.decode.launches[0].symbol' is missing"));
  EXPECT_THAT(MessageAfter([](auto& json) { Launch(json, 0)["args"] = 3; }), HasSubstr("must be an array"));
  EXPECT_THAT(MessageAfter([](auto& json) { Launch(json, 0)["args"][0] = {{"stack", 0}}; }),
              HasSubstr("'functions.decode.launches[0].args[0]' must be null or have one of"));
  EXPECT_THAT(MessageAfter([](auto& json) { Launch(json, 0)["waits"] = {"x"}; }), HasSubstr("must hold integers"));
  EXPECT_THAT(MessageAfter([](auto& json) { json["weights"][0] = 1; }), HasSubstr("must hold tensor names"));
  EXPECT_THAT(MessageAfter([](auto& json) { json["max_tokens"] = 0; }), HasSubstr("'max_tokens' must be from 1"));
}

TEST(PlanTest, ArenaOffsetsStayInsideTheArena) {
  const int64_t arena = toy::MakePlan().arena_bytes;
  EXPECT_THAT(MessageAfter([&](auto& json) { Launch(json, 0)["args"][2]["arena"] = arena; }),
              HasSubstr("end past the arena's"));
  EXPECT_THAT(MessageAfter([&](auto& json) { Launch(json, 0)["args"][2]["arena"] = int64_t{1} << 50; }),
              HasSubstr("end past the arena's"));
  EXPECT_THAT(MessageAfter([&](auto& json) { Launch(json, 0)["args"][2]["arena"] = -64; }),
              HasSubstr("must be from 0"));
  EXPECT_THAT(MessageAfter([&](auto& json) { Launch(json, 0)["args"][2]["arena"] = 1; }),
              HasSubstr("not a multiple of 64"));
  EXPECT_THAT(MessageAfter([&](auto& json) { Launch(json, 0)["args"][2]["bytes"] = arena; }),
              HasSubstr("end past the arena's"));
  EXPECT_THAT(MessageAfter([&](auto& json) { json["functions"]["decode"]["logits"]["arena"] = arena - 64; }),
              HasSubstr("field 'functions.decode.logits': 96 bytes at arena offset"));
  EXPECT_THAT(MessageAfter([&](auto& json) { json["functions"]["prefill"]["tokens"] = {{"weight", 0}}; }),
              HasSubstr("tokens and logits must be in the arena"));
  EXPECT_THAT(MessageAfter([](auto& json) { json["functions"]["decode"]["choice"] = {{"weight", 0}}; }),
              HasSubstr("field 'functions.decode.choice' must be in the arena"));
  EXPECT_THAT(MessageAfter([&](auto& json) { json["functions"]["decode"]["choice"]["arena"] = arena; }),
              HasSubstr("field 'functions.decode.choice': 4 bytes at arena offset"));
}

TEST(PlanTest, TapsRoundTripAndAreChecked) {
  const auto tapped = [](nlohmann::json tap) {
    return MessageAfter([&](auto& json) { json["functions"]["prefill"]["taps"]["x"] = tap; });
  };
  const int64_t row = toy::kMaxTokens * 4;
  const char* wrong = "field 'functions.prefill.taps.x' must be in the arena and have a multiple of 20 bytes";
  EXPECT_EQ(tapped({{"arena", 0}, {"bytes", row}}), "");
  EXPECT_THAT(tapped({{"arena", 0}}), HasSubstr(wrong));
  EXPECT_THAT(tapped({{"arena", 0}, {"bytes", row + 4}}), HasSubstr(wrong));
  EXPECT_THAT(tapped({{"weight", 0}, {"bytes", row}}), HasSubstr(wrong));
  EXPECT_THAT(tapped(nullptr), HasSubstr(wrong));
  EXPECT_THAT(tapped(3), HasSubstr("field 'functions.prefill.taps.x'"));
  EXPECT_THAT(tapped({{"arena", 0}, {"bytes", row << 20}}), HasSubstr("end past the arena's"));
  EXPECT_THAT(MessageAfter([](auto& json) { json["functions"]["prefill"]["taps"] = 1; }),
              HasSubstr("'functions.prefill.taps'"));
  Plan plan = toy::MakePlan();
  plan.functions["prefill"].taps["x"] = {BufferRef::Kind::kArena, 0, row};
  const nlohmann::json json = PlanToJson(plan);
  EXPECT_EQ(PlanToJson(ParsePlan(json.dump(), toy::kVocab).value()), json);
}

TEST(PlanTest, WeightAndCacheNumbersExist) {
  EXPECT_THAT(MessageAfter([](auto& json) { Launch(json, 0)["args"][1]["weight"] = 5; }),
              HasSubstr("weight 5 does not exist; the plan lists 5"));
  EXPECT_THAT(MessageAfter([](auto& json) { Launch(json, 1)["args"][1]["cache"] = 1; }),
              HasSubstr("cache 1 does not exist; the plan lists 1"));
  EXPECT_THAT(MessageAfter([](auto& json) { Launch(json, 1)["args"][1]["bytes"] = 5000; }),
              HasSubstr("more than cache 0 holds"));
}

TEST(PlanTest, BuiltinsAreChecked) {
  EXPECT_THAT(MessageAfter([](auto& json) { Launch(json, 2, "prefill")["builtin"] = "fft"; }),
              HasSubstr("this runtime has no builtin 'fft'"));
  EXPECT_THAT(MessageAfter([](auto& json) { Launch(json, 2, "prefill")["params"]["dtype"] = "i8"; }),
              HasSubstr("must be f32, f16 or bf16, but is 'i8'"));
  EXPECT_THAT(MessageAfter([](auto& json) { Launch(json, 2, "prefill")["args"].erase(4); }),
              HasSubstr("must have 5 entries"));
  EXPECT_THAT(MessageAfter([](auto& json) { Launch(json, 2, "prefill")["args"][2] = nullptr; }),
              HasSubstr("bias and residual as the parameters say"));
  EXPECT_THAT(MessageAfter([](auto& json) { Launch(json, 2, "prefill")["args"][1] = {{"arena", 0}}; }),
              HasSubstr("must be a weight"));
  EXPECT_THAT(MessageAfter([](auto& json) { Launch(json, 2, "prefill")["params"]["n"] = 1 << 20; }),
              HasSubstr("end past the arena's"));
  EXPECT_THAT(MessageAfter([](auto& json) { Launch(json, 5, "prefill")["params"]["tokens"] = 99; }),
              HasSubstr("a product of 99 tokens, but 'max_tokens' is 5"));
}

TEST(PlanTest, GridsRoundTripAndAreChecked) {
  Plan plan = toy::MakePlan();
  plan.functions["decode"].launches[0].grids["sm_80"] = LaunchGrid{.blocks = 1, .threads = 32};
  plan.functions["decode"].launches[1].grids = {
      {"sm_80", LaunchGrid{.blocks = 8, .threads = 64}},
      {"sm_90",
       LaunchGrid{.blocks = 4096, .per_sm = 2, .threads = 256, .shared = 65536, .scratch = 1 << 20, .early = true}}};
  const nlohmann::json json = PlanToJson(plan);
  EXPECT_FALSE(json["functions"]["decode"]["launches"][2].contains("grids"));
  const auto parsed = ParsePlan(json.dump(), toy::kVocab);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(PlanToJson(*parsed), json);
  const LaunchGrid& grid = parsed->FindFunction("decode")->launches[1].grids.at("sm_90");
  EXPECT_EQ(grid.per_sm, 2);
  EXPECT_TRUE(grid.early);

  const auto with = [](const char* key, const nlohmann::json& value) {
    return MessageAfter([&](auto& changed) {
      Launch(changed, 0)["grids"]["sm_80"] = {{"blocks", 1}, {"threads", 32}};
      Launch(changed, 0)["grids"]["sm_80"][key] = value;
    });
  };
  EXPECT_EQ(with("blocks", 7), "");
  EXPECT_THAT(with("blocks", 0), HasSubstr("launches[0].grids.sm_80.blocks' must be from 1 to 2147483647"));
  EXPECT_THAT(with("threads", 1025), HasSubstr("grids.sm_80.threads' must be from 1 to 1024"));
  EXPECT_THAT(with("per_sm", -1), HasSubstr("grids.sm_80.per_sm' must be from 0 to 32"));
  EXPECT_THAT(with("shared", 1 << 20), HasSubstr("grids.sm_80.shared' must be from 0 to 232448"));
  EXPECT_THAT(with("scratch", -64), HasSubstr("grids.sm_80.scratch' must be from 0"));
  EXPECT_THAT(with("scratch", 64), HasSubstr("grids.sm_80.scratch' must be 0 or at least 16384, but is 64"));
  EXPECT_THAT(with("early", 1), HasSubstr("grids.sm_80.early' must be true or false"));
  EXPECT_THAT(MessageAfter([](auto& changed) { Launch(changed, 0)["grids"] = nullptr; }),
              HasSubstr("must be an object"));
  EXPECT_THAT(MessageAfter([](auto& changed) { Launch(changed, 2, "prefill")["grids"]["sm_80"] = {}; }),
              HasSubstr("do not belong to a builtin"));
  EXPECT_THAT(MessageAfter([](auto& changed) { Launch(changed, 0)["grids"]["sm_80"] = 3; }),
              HasSubstr("launches[0].grids.sm_80' must be an object"));
}

TEST(PlanTest, JointsRoundTripAndAreChecked) {
  Plan plan = toy::MakePlan();
  PlanFunction& decode = plan.functions["decode"];
  decode.launches[3].stream = 1;
  decode.joints = {{{2, 3}, "joint_a", {{"sm_90", LaunchGrid{.blocks = 4, .threads = 64, .early = true}}}}};
  const nlohmann::json json = PlanToJson(plan);
  const auto parsed = ParsePlan(json.dump(), toy::kVocab);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(PlanToJson(*parsed), json);

  const auto with = [&](const nlohmann::json& launches) {
    nlohmann::json changed = json;
    changed["functions"]["decode"]["joints"][0]["launches"] = launches;
    return std::string(ParsePlan(changed.dump(), toy::kVocab).status().message());
  };
  EXPECT_EQ(with({3, 2}), "");
  EXPECT_THAT(with({2}), HasSubstr("joint 'joint_a' must name at least two launches"));
  EXPECT_THAT(with({2, 99}), HasSubstr("names launch 99, which does not exist or is in a joint already"));
  EXPECT_THAT(with({2, -1}), HasSubstr("names launch -1, which"));
  EXPECT_THAT(with({2, 2}), HasSubstr("names launch 2, which"));
  EXPECT_THAT(with({2, 3.5}), HasSubstr("joints[0].launches' must hold integers"));
  EXPECT_THAT(with({1, 2}), HasSubstr("the joints make launches wait for themselves"));
  nlohmann::json nameless = json;
  nameless["functions"]["decode"]["joints"][0]["symbol"] = "";
  EXPECT_THAT(std::string(ParsePlan(nameless.dump(), toy::kVocab).status().message()),
              HasSubstr("joints[0].symbol' must be the name of a function"));
}

TEST(PlanTest, CostsReferToArguments) {
  EXPECT_THAT(MessageAfter([](auto& json) { Launch(json, 4)["per_active"]["arg"] = 5; }), HasSubstr("from 0 to 4"));
  EXPECT_THAT(MessageAfter([](auto& json) { Launch(json, 4)["per_active"]["arg"] = 1; }),
              HasSubstr("argument 1 must be in the arena"));
  EXPECT_THAT(MessageAfter([](auto& json) { Launch(json, 5).erase("neurons"); }), HasSubstr("needs 'neurons'"));
  EXPECT_THAT(MessageAfter([](auto& json) { Launch(json, 5)["neurons"] = 1 << 20; }),
              HasSubstr("end past the arena's"));
}

TEST(PlanTest, WeightsAreLargeEnough) {
  Plan plan = toy::MakePlan();
  EXPECT_TRUE(CheckWeightSizes(plan, {768, 512, 64, 512, 32}).ok());
  EXPECT_THAT(CheckWeightSizes(plan, {767, 512, 64, 512, 32}).message(),
              HasSubstr("needs 768 bytes of tensor 'embed'"));
  plan.functions["decode"].launches[0].args[1].bytes = 1000;
  EXPECT_THAT(CheckWeightSizes(plan, {768, 512, 64, 512, 32}).message(), HasSubstr("needs 1000 bytes"));
}

}  // namespace
}  // namespace dejavu
