#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "runtime/artifact/Manifest.h"
#include "tests/unit/runtime/ToyModel.h"

namespace dejavu {
namespace {

using ::testing::HasSubstr;

nlohmann::json Valid() {
  Manifest manifest = toy::MakeManifest();
  manifest.files["plan-cpu.json"] = {10, 1};
  manifest.files["cpu-toy.so"] = {20, 2};
  manifest.tensors["embed"] = 0xFEDCBA9876543210U;
  manifest.synthetic["grid"] = {DType::kF16, 8, 16, {.step = 0.5F, .seeds = {1, 2}, .transposed = true}};
  manifest.synthetic["ones"] = {DType::kF32, 8, 1, {.pattern = {1}}};
  return ManifestToJson(manifest);
}

/// The message that the valid manifest gives after `change`.
template <typename Change>
std::string MessageAfter(const Change& change) {
  nlohmann::json json = Valid();
  change(json);
  SealManifest(json);
  return std::string(ParseManifest(json.dump()).status().message());
}

TEST(ManifestTest, AnyChangeBreaksTheSeal) {
  const std::string text = Valid().dump();
  for (size_t i = 0; i < text.size(); ++i) {
    for (const char other : {'0', '7', 'x'}) {
      std::string damaged = text;
      damaged[i] = other;
      // Another number with the same value is the only change that may pass.
      EXPECT_TRUE(!ParseManifest(damaged).ok() || nlohmann::json::parse(damaged) == Valid()) << damaged;
    }
  }
}

TEST(ManifestTest, RoundTrips) {
  const auto manifest = ParseManifest(Valid().dump());
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_EQ(ManifestToJson(*manifest), Valid());
  EXPECT_EQ(manifest->tensors.at("embed"), 0xFEDCBA9876543210U);
  EXPECT_NE(manifest->FindTarget("cpu"), nullptr);
  EXPECT_EQ(manifest->FindTarget("cuda"), nullptr);
}

TEST(ManifestTest, WrongSyntheticTensorsNameTheField) {
  const auto message = [](const std::function<void(nlohmann::json&)>& change) {
    return MessageAfter([&](auto& json) { change(json["synthetic"]["grid"]); });
  };
  EXPECT_THAT(message([](auto& t) { t["dtype"] = "f64"; }), HasSubstr("'synthetic.grid.dtype' must be f32"));
  EXPECT_THAT(message([](auto& t) { t["rows"] = 0; }), HasSubstr("'synthetic.grid.rows' must be from 1"));
  EXPECT_THAT(message([](auto& t) { t["columns"] = 1LL << 40; }), HasSubstr("'synthetic.grid.columns' must be from 1"));
  EXPECT_THAT(message([](auto& t) { t["step"] = "x"; }), HasSubstr("'synthetic.grid.step' must be a number"));
  EXPECT_THAT(message([](auto& t) { t["seeds"] = nlohmann::json::array(); }), HasSubstr("must have from 1 to"));
  EXPECT_THAT(message([](auto& t) { t["seeds"] = {"zz"}; }), HasSubstr("16 hexadecimal digits"));
  EXPECT_THAT(message([](auto& t) { t["seeds"].push_back(t["seeds"][0]); }), HasSubstr("3 seeds do not divide 16"));
  EXPECT_THAT(message([](auto& t) { t.erase("seeds"); }), HasSubstr("seeds"));
  EXPECT_THAT(message([](auto& t) { t["pattern"] = {nullptr}; }),
              HasSubstr("'synthetic.grid.pattern' must be a number"));
  const auto i8 = [](const char* key, const nlohmann::json& value) {
    return [=](auto& t) {
      t["dtype"] = "i8";
      t[key] = value;
    };
  };
  EXPECT_THAT(message(i8("step", 1e30)), HasSubstr("'synthetic.grid.step' of an i8 must be 1, but is 1e+30"));
  EXPECT_THAT(message(i8("pattern", {0, 128})), HasSubstr("'synthetic.grid.pattern' of an i8 must hold numbers from"));
  EXPECT_THAT(message([](auto& t) { t = 3; }), HasSubstr("synthetic.grid"));
}

TEST(ManifestTest, AnotherVersionSaysWhichAndWhatToDo) {
  EXPECT_EQ(MessageAfter([](auto& json) { json["format"] = 2; }),
            "has artifact format 2, but this program reads format 1; build the artifact again with this version's "
            "dejavu-opt");
}

TEST(ManifestTest, EveryRequiredFieldIsMissed) {
  for (const char* key : {"format", "producer", "model", "sparsity", "targets", "files", "tensors"}) {
    EXPECT_THAT(MessageAfter([&](auto& json) { json.erase(key); }),
                HasSubstr(std::string("field '") + key + "' is missing"));
  }
  for (const char* key : {"name", "hidden", "layers", "heads", "ffn", "vocab", "positions", "bos", "eos", "dtype"}) {
    EXPECT_THAT(MessageAfter([&](auto& json) { json["model"].erase(key); }),
                HasSubstr(std::string("field 'model.") + key + "' is missing"));
  }
}

TEST(ManifestTest, ValuesAreChecked) {
  EXPECT_THAT(MessageAfter([](auto& json) { json["model"]["vocab"] = -1; }),
              HasSubstr("field 'model.vocab' must be from 1 to 16777216, but is -1"));
  EXPECT_THAT(MessageAfter([](auto& json) { json["model"]["vocab"] = 1.5; }), HasSubstr("must be an integer"));
  EXPECT_THAT(MessageAfter([](auto& json) { json["model"]["vocab"] = UINT64_MAX; }), HasSubstr("must be from 1"));
  EXPECT_THAT(MessageAfter([](auto& json) { json["model"]["eos"] = 24; }), HasSubstr("must be from 0 to 23"));
  EXPECT_THAT(MessageAfter([](auto& json) { json["tensors"]["embed"] = "12"; }), HasSubstr("16 hexadecimal digits"));
  EXPECT_THAT(MessageAfter([](auto& json) { json["targets"] = "cpu"; }), HasSubstr("must be an array"));
  EXPECT_THAT(MessageAfter([](auto& json) { json["targets"][0]["plan"] = "other.json"; }),
              HasSubstr("names the file 'other.json', which field 'files' doesn't list"));
  EXPECT_THAT(MessageAfter([](auto& json) { json["targets"].push_back(json["targets"][0]); }),
              HasSubstr("lists 'cpu' twice"));
}

TEST(ManifestTest, TextThatIsNoObjectIsRefused) {
  EXPECT_THAT(ParseManifest("").status().message(), HasSubstr("is not valid JSON"));
  EXPECT_THAT(ParseManifest("{\"format\":1").status().message(), HasSubstr("is not valid JSON"));
  EXPECT_THAT(ParseManifest("{\"format\":1,\"format\":1}").status().message(), HasSubstr("'format' twice"));
  const std::string deep = "{\"a\":" + std::string(100000, '[') + std::string(100000, ']') + "}";
  EXPECT_THAT(ParseManifest(deep).status().message(), HasSubstr("nested deeper than 64 levels"));
  EXPECT_THAT(ParseManifest("[1]").status().message(), HasSubstr("must hold a JSON object"));
  EXPECT_FALSE(ParseManifest(std::string(100000, '[')).ok());
}

TEST(ManifestTest, FileNamesStayInsideTheArtifact) {
  for (const char* name : {"../x", "/etc/passwd", "a/../../b", "a//b", ".", "..", ".hidden", "a/.b", "", "a/"}) {
    EXPECT_FALSE(IsSafeFileName(name)) << name;
    EXPECT_THAT(MessageAfter([&](auto& json) { json["files"][name] = json["files"]["cpu-toy.so"]; }),
                HasSubstr("leaves the artifact's folder"))
        << name;
    EXPECT_THAT(MessageAfter([&](auto& json) { json["targets"][0]["code"][0]["file"] = name; }),
                HasSubstr("leaves the artifact's folder"))
        << name;
  }
  for (const char* name : {"module.dv", "tokenizer/vocab.json", "a..b", "cpu-x86-64-v4.so"}) {
    EXPECT_TRUE(IsSafeFileName(name)) << name;
  }
  EXPECT_FALSE(IsSafeFileName(std::string_view("a\0b", 3)));
  EXPECT_FALSE(IsSafeFileName(std::string(300, 'a')));
}

}  // namespace
}  // namespace dejavu
