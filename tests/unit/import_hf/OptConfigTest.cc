// config.json: what is read, what has a default, and what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ir/import/OptConfig.h"
#include "tests/unit/import_hf/Checkpoint.h"

namespace dejavu {
namespace {

using nlohmann::json;
using testing::HasSubstr;

absl::StatusOr<OptConfig> Parse(const json& config) { return ParseOptConfig(config.dump(), "x/config.json"); }

TEST(OptConfig, ReadsAllFields) {
  OptConfig expected = SmallConfig();
  expected.embedding = 8;
  expected.bos = 3;
  expected.eos = 4;
  expected.norm_first = false;
  expected.final_norm = false;
  expected.biases = false;
  expected.tied = false;
  const auto config = Parse(JsonOf(expected));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(JsonOf(*config), JsonOf(expected));
  EXPECT_FALSE(config->final_norm);
  EXPECT_TRUE(config->is_projected());
  EXPECT_EQ(config->head_dim(), 8);
}

TEST(OptConfig, HasTheDefaultsOfTransformers) {
  json fields = JsonOf(SmallConfig());
  for (const char* field : {"word_embed_proj_dim", "bos_token_id", "eos_token_id", "do_layer_norm_before",
                            "_remove_final_layer_norm", "enable_bias", "tie_word_embeddings", "activation_function"}) {
    fields.erase(field);
  }
  const auto config = Parse(fields);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(JsonOf(*config), JsonOf(SmallConfig()));
  EXPECT_TRUE(config->final_norm);
  fields["word_embed_proj_dim"] = nullptr;
  fields["bos_token_id"] = nullptr;
  EXPECT_EQ(JsonOf(*Parse(fields)), JsonOf(SmallConfig()));
}

TEST(OptConfig, OldModelsHaveNoFinalNorm) {
  json fields = JsonOf(SmallConfig());
  fields["_remove_final_layer_norm"] = true;
  const auto config = Parse(fields);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_TRUE(config->norm_first);
  EXPECT_FALSE(config->final_norm);
}

struct Refusal {
  const char* name;
  const char* field;
  json value;  // null: the field is missing
  const char* message;
};

class OptConfigRefusal : public testing::TestWithParam<Refusal> {};

TEST_P(OptConfigRefusal, NamesTheField) {
  json fields = JsonOf(SmallConfig());
  fields[GetParam().field] = GetParam().value;
  const auto config = Parse(fields);
  ASSERT_FALSE(config.ok());
  EXPECT_EQ(ExitCode(config.status()), 1);
  EXPECT_EQ(config.status().message(), absl::StrCat("x/config.json: ", GetParam().message));
}

const Refusal kRefusals[] = {
    {"NoModelType", "model_type", nullptr,
     "field 'model_type' is missing; expected 'opt', as in a Hugging Face OPT checkpoint"},
    {"OtherModelType", "model_type", "gpt2", "field 'model_type' is 'gpt2', but DejaVu compiles models of type 'opt'"},
    {"Gelu", "activation_function", "gelu",
     "field 'activation_function' is 'gelu', but must be 'relu': what DejaVu skips are the zeros that ReLU makes"},
    {"NormsWithoutWeights", "layer_norm_elementwise_affine", false,
     "field 'layer_norm_elementwise_affine' is false, but DejaVu knows only layer norms with weight and bias, as all "
     "published OPT models have"},
    {"Quantised",
     "quantization_config",
     {{"bits", 4}},
     "field 'quantization_config' says that the weights are quantised; expected a checkpoint of float32, float16 or "
     "bfloat16 weights"},
    {"NoHidden", "hidden_size", nullptr, "field 'hidden_size' is missing; expected a whole number from 1 to 16777216"},
    {"NoLayers", "num_hidden_layers", nullptr,
     "field 'num_hidden_layers' is missing; expected a whole number from 1 to 16777216"},
    {"NoHeads", "num_attention_heads", nullptr,
     "field 'num_attention_heads' is missing; expected a whole number from 1 to 16777216"},
    {"NoFfn", "ffn_dim", nullptr, "field 'ffn_dim' is missing; expected a whole number from 1 to 16777216"},
    {"NoVocab", "vocab_size", nullptr, "field 'vocab_size' is missing; expected a whole number from 1 to 16777216"},
    {"NoPositions", "max_position_embeddings", nullptr,
     "field 'max_position_embeddings' is missing; expected a whole number from 1 to 16777216"},
    {"NegativeLayers", "num_hidden_layers", -1,
     "field 'num_hidden_layers' must be a whole number from 1 to 16777216, but is '-1'"},
    {"NoHead", "num_attention_heads", 0,
     "field 'num_attention_heads' must be a whole number from 1 to 16777216, but is '0'"},
    {"AbsurdHidden", "hidden_size", 1LL << 40,
     "field 'hidden_size' must be a whole number from 1 to 16777216, but is '1099511627776'"},
    {"HugeVocab", "vocab_size", 18446744073709551615ULL,
     "field 'vocab_size' must be a whole number from 1 to 16777216, but is '18446744073709551615'"},
    {"FractionalFfn", "ffn_dim", 24.0, "field 'ffn_dim' must be a whole number from 1 to 16777216, but is '24.0'"},
    {"TextAsNumber", "ffn_dim", "24", "field 'ffn_dim' must be a whole number from 1 to 16777216, but is '24'"},
    {"ListAsNumber", "eos_token_id", json::array({2, 3}),
     "field 'eos_token_id' must be a whole number from 0 to 10, but is an array"},
    {"TokenOutsideVocabulary", "bos_token_id", 11,
     "field 'bos_token_id' must be a whole number from 0 to 10, but is '11'"},
    {"DefaultTokenOutsideVocabulary", "vocab_size", 2,
     "field 'bos_token_id' must be a whole number from 0 to 1, but is '2'"},
    {"NumberAsBoolean", "enable_bias", 1, "field 'enable_bias' must be true or false, but is '1'"},
    {"HiddenNotDivisible", "num_attention_heads", 3,
     "field 'hidden_size', 16, must be divisible by 'num_attention_heads', 3"},
    {"MoreHeadsThanWidth", "num_attention_heads", 32,
     "field 'hidden_size', 16, must be divisible by 'num_attention_heads', 32"},
    {"OddHeadSize", "num_attention_heads", 4,
     "fields 'hidden_size', 16, and 'num_attention_heads', 4, give heads of 4; expected a multiple of 8"},
    {"OddFfn", "ffn_dim", 20, "field 'ffn_dim' must be a multiple of 8, but is 20"},
    {"OddEmbedding", "word_embed_proj_dim", 12, "field 'word_embed_proj_dim' must be a multiple of 8, but is 12"},
};

INSTANTIATE_TEST_SUITE_P(Fields, OptConfigRefusal, testing::ValuesIn(kRefusals),
                         [](const auto& test) { return test.param.name; });

std::string MessageOf(const std::string& text) {
  return std::string(ParseOptConfig(text, "x/config.json").status().message());
}

TEST(OptConfig, RefusesWhatIsNotAnObject) {
  EXPECT_EQ(MessageOf("{\"a\": 1"), "x/config.json: is not valid JSON at byte 8");
  EXPECT_EQ(MessageOf(""), "x/config.json: is not valid JSON at byte 1");
  EXPECT_EQ(MessageOf("[1]"), "x/config.json: must hold a JSON object, but holds array");
  EXPECT_EQ(MessageOf("\"opt\""), "x/config.json: must hold a JSON object, but holds string");
  EXPECT_EQ(MessageOf("{\"a\": 1e999}"), "x/config.json: has a number that is too large");
  EXPECT_THAT(MessageOf("{\"a\": \"\xff\"}"), HasSubstr("is not valid JSON at byte"));
}

TEST(OptConfig, RefusesAKeyThatIsThereTwice) {
  EXPECT_EQ(MessageOf(R"({"a": {"b": 1}, "b": 2, "b": 3})"), "x/config.json: has the key 'b' twice in one object");
  EXPECT_EQ(MessageOf(R"({"c": {"a": 1}, "d": {"a": 1, "a": 1}})"),
            "x/config.json: has the key 'a' twice in one object");
  EXPECT_THAT(MessageOf(R"({"a": [{"b": 1}, {"b": 1}], "c": {"b": 1, "a": 2}})"), HasSubstr("'model_type' is missing"));
}

TEST(OptConfig, RefusesDeepNesting) {
  const size_t depth = 100'000;
  EXPECT_EQ(MessageOf("{\"a\": " + std::string(depth, '[') + std::string(depth, ']') + "}"),
            "x/config.json: is nested deeper than 64 levels");
  std::string objects;
  for (size_t i = 0; i < 1000; ++i) {
    objects += R"({"a": 1, "b": )";
  }
  EXPECT_EQ(MessageOf(objects + "1" + std::string(1000, '}')), "x/config.json: is nested deeper than 64 levels");
}

TEST(OptConfig, SurvivesAnyChangedByte) {
  const std::string text = JsonOf(SmallConfig()).dump();
  for (size_t i = 0; i < text.size(); ++i) {
    for (const char byte : {'"', '-', '9', '}', '[', ',', '\0', '\xff'}) {
      std::string changed = text;
      changed[i] = byte;
      const auto config = ParseOptConfig(changed, "x/config.json");
      EXPECT_TRUE(config.ok() || ExitCode(config.status()) == 1) << config.status();
    }
    EXPECT_FALSE(ParseOptConfig(text.substr(0, i), "x/config.json").ok());
  }
}

TEST(OptConfig, NamesAMissingFile) {
  const TempFolder folder;
  const auto config = ReadOptConfig(folder.File("config.json"));
  EXPECT_THAT(std::string(config.status().message()), HasSubstr(folder.File("config.json") + ": cannot open the file"));
}

}  // namespace
}  // namespace dejavu
