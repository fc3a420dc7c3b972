// The graph of each OPT, from config and types alone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <iostream>
#include <map>

#include "ir/import/OnnxReader.h"
#include "ir/import/OptGraph.h"
#include "ir/text/Parser.h"
#include "ir/text/Printer.h"
#include "ir/verify/Verifier.h"
#include "passes/lift/OptStructure.h"
#include "passes/manager/PassManager.h"
#include "tests/unit/import_hf/Checkpoint.h"

namespace dejavu {
namespace {

/// A published OPT and the fields in which they differ.
struct PublishedOpt {
  const char* name;
  int64_t hidden;
  int64_t layers;
  int64_t heads;
  int64_t head_dim;
};

const PublishedOpt kPublished[] = {
    {"125m", 768, 12, 12, 64},  {"350m", 1024, 24, 16, 64},  {"1_3b", 2048, 24, 32, 64},
    {"2_7b", 2560, 32, 32, 80}, {"6_7b", 4096, 32, 32, 128}, {"13b", 5120, 40, 40, 128},
    {"30b", 7168, 48, 56, 128}, {"66b", 9216, 64, 72, 128},  {"175b", 12288, 96, 96, 128},
};

OptConfig ConfigOf(const PublishedOpt& model) {
  OptConfig config;
  config.hidden = model.hidden;
  config.layers = model.layers;
  config.heads = model.heads;
  config.ffn = 4 * model.hidden;
  config.vocab = 50272;
  config.positions = 2048;
  config.embedding = model.hidden;
  if (std::string(model.name) == "350m") {
    config.embedding = 512;
    config.norm_first = false;
    config.final_norm = false;
  }
  return config;
}

std::unique_ptr<Module> Build(const OptConfig& config) {
  auto module = BuildOptModule(config, "opt", FakeTensors(TensorsOf(config, DType::kF16)));
  EXPECT_TRUE(module.ok()) << module.status();
  return module.ok() ? *std::move(module) : nullptr;
}

/// Runs `text` over `module`.
absl::Status RunPasses(Module& module, const std::string& text) {
  WeightStore weights;
  ASSIGN_OR_RETURN(const Pipeline pipeline, ParsePipeline(text));
  return RunPipeline(module, weights, pipeline, {}, std::cerr);
}

void ExpectSound(Module& module) {
  EXPECT_TRUE(VerifyModule(module).ok()) << VerifyModule(module);
  const AttributeMap facts = module.attributes();
  const absl::Status status = CheckOptStructure(module, *module.FindFunction("forward"));
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(module.attributes(), facts) << "the structure tells other facts";
}

class PublishedModels : public testing::TestWithParam<PublishedOpt> {};

TEST_P(PublishedModels, HaveSoundGraphs) {
  const OptConfig config = ConfigOf(GetParam());
  EXPECT_EQ(config.head_dim(), GetParam().head_dim);
  const auto module = Build(config);
  ASSERT_NE(module, nullptr);
  EXPECT_EQ(module->stage(), "model");
  EXPECT_EQ(module->IntAttribute("layers"), GetParam().layers);
  EXPECT_EQ(module->IntAttribute("positions"), 2048);
  EXPECT_EQ(module->weights().size(), TensorsOf(config).size()) << "all tensors are used once";
  ExpectSound(*module);
}

TEST_P(PublishedModels, GoThroughTheWholePipeline) {
  const auto module = Build(ConfigOf(GetParam()));
  ASSERT_NE(module, nullptr);
  const absl::Status status = RunPasses(*module, "phases,exact,schedule");
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(module->stage(), "sched");
}

INSTANTIATE_TEST_SUITE_P(Opt, PublishedModels, testing::ValuesIn(kPublished),
                         [](const auto& test) { return absl::StrCat("Opt", test.param.name); });

TEST(OptGraph, EveryChoiceIsSound) {
  for (int choice = 0; choice < 32; ++choice) {
    OptConfig config = SmallConfig();
    config.norm_first = (choice & 1) == 0;
    config.final_norm = config.norm_first && (choice & 2) == 0;
    config.biases = (choice & 4) == 0;
    config.tied = (choice & 8) == 0;
    config.embedding = (choice & 16) == 0 ? config.hidden : 8;
    SCOPED_TRACE(JsonOf(config).dump());
    const auto module = Build(config);
    ASSERT_NE(module, nullptr);
    ExpectSound(*module);
    EXPECT_EQ(module->weights().size(), TensorsOf(config).size());
    const absl::Status status = RunPasses(*module, "phases,none,schedule");
    EXPECT_TRUE(status.ok()) << status;
  }
}

TEST(OptGraph, PrintsAndParsesBack) {
  const auto module = Build(SmallConfig());
  const std::string text = PrintModule(*module);
  const auto parsed = ParseModule(text, "printed.dv");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(PrintModule(**parsed), text);
}

TEST(OptGraph, NamesWhereOperationsComeFrom) {
  const auto module = Build(SmallConfig());
  std::vector<std::string> nodes;
  for (const auto& op : module->FindFunction("forward")->ops()) {
    nodes.push_back(op->location().node);
  }
  EXPECT_THAT(nodes, testing::ElementsAre("model.decoder.embed_tokens", "model.decoder.embed_positions",
                                          "model.decoder.layers.0.self_attn_layer_norm",
                                          "model.decoder.layers.0.self_attn", "model.decoder.layers.0",
                                          "model.decoder.layers.0.final_layer_norm", "model.decoder.layers.0.fc1",
                                          "model.decoder.layers.0", "model.decoder.layers.1.self_attn_layer_norm",
                                          "model.decoder.layers.1.self_attn", "model.decoder.layers.1",
                                          "model.decoder.layers.1.final_layer_norm", "model.decoder.layers.1.fc1",
                                          "model.decoder.layers.1", "model.decoder.final_layer_norm", "lm_head"));
}

std::string AttributeText(const Attribute& value) {
  if (const auto* number = std::get_if<double>(&value)) {
    return absl::StrCat(static_cast<float>(*number));  // exports know their numbers as floats
  }
  return absl::StrCat(std::get<int64_t>(value));
}

/// One line for each argument, operation and result, without what may differ between importers: operations by number,
/// weights by role and shape.
std::vector<std::string> Skeleton(const Module& module) {
  std::map<const Value*, std::string> names = {{nullptr, "none"}};
  std::vector<std::string> lines;
  const Function& function = *module.functions()[0];
  for (size_t i = 0; i < function.num_arguments(); ++i) {
    const Value* argument = function.argument(i);
    names[argument] = argument->name();
    lines.push_back(absl::StrCat(argument->name(), " : ", argument->type().ToString()));
  }
  for (const auto& weight : module.weights()) {
    names[weight->value] = absl::StrCat(weight->name, Type{DType::kF32, weight->type.shape}.ToString());
  }
  for (const auto& op : function.ops()) {
    std::string line(op->name());
    for (const Value* operand : op->operands()) {
      absl::StrAppend(&line, " ", names.at(operand));
    }
    for (const auto& [key, value] : op->attributes()) {
      absl::StrAppend(&line, " ", key, "=", AttributeText(value));
    }
    for (size_t i = 0; i < op->num_results(); ++i) {
      names[op->result(i)] = absl::StrCat("%", lines.size(), ".", i);
      absl::StrAppend(&line, " : ", op->result(i)->type().ToString());
    }
    lines.push_back(line);
  }
  for (size_t i = 0; i < function.returns().size(); ++i) {
    lines.push_back(absl::StrCat(function.return_names()[i], " = ", names.at(function.returns()[i])));
  }
  return lines;
}

class OnnxExports : public testing::TestWithParam<const char*> {};

/// The same model by both importers: transformers' OPT as an ONNX export, lifted, and from a config.
TEST_P(OnnxExports, LiftToTheSameGraph) {
  WeightStore weights;
  const std::string path = absl::StrCat(DEJAVU_SOURCE_DIR "/tests/models/onnx-random/", GetParam(), ".onnx");
  const auto lifted = ReadOnnx(path, &weights);
  ASSERT_TRUE(lifted.ok()) << lifted.status();
  const auto lift = ParsePipeline("lift,name-weights");
  ASSERT_TRUE(lift.ok()) << lift.status();
  const absl::Status status = RunPipeline(**lifted, weights, *lift, {}, std::cerr);
  ASSERT_TRUE(status.ok()) << status;
  const auto fact = [&](const char* key) { return (*lifted)->IntAttribute(key); };
  OptConfig config;
  config.hidden = fact("hidden");
  config.layers = fact("layers");
  config.heads = fact("heads");
  config.ffn = fact("ffn");
  config.vocab = fact("vocab");
  config.positions = fact("positions");
  const bool is_350 = std::string_view(GetParam()).starts_with("opt350");
  config.embedding = is_350 ? config.hidden / 2 : config.hidden;
  config.norm_first = config.final_norm = !is_350;
  config.tied = (*lifted)->FindWeight("head.weight") == nullptr;
  const auto module = Build(config);
  ASSERT_NE(module, nullptr);
  ASSERT_TRUE(RunPasses(*module, "name-weights").ok());
  EXPECT_EQ(Skeleton(*module), Skeleton(**lifted));
}

INSTANTIATE_TEST_SUITE_P(Opt, OnnxExports,
                         testing::Values("opt-legacy17-eager", "opt-dynamo-sdpa", "opt350-dynamo-sdpa"),
                         [](const auto& test) { return testing::PrintToString(test.index); });

TEST(OptGraph, ReadsATiedTableUnderEitherName) {
  TensorTable table = TensorsOf(SmallConfig());
  auto node = table.extract("embed_tokens.weight");
  node.key() = "lm_head.weight";
  table.insert(std::move(node));
  const auto module = BuildOptModule(SmallConfig(), "opt", FakeTensors(table));
  ASSERT_TRUE(module.ok()) << module.status();
  const auto& ops = (*module)->FindFunction("forward")->ops();
  EXPECT_EQ(ops.front()->operand("table"), ops.back()->operand("weight"));
  OptConfig untied = SmallConfig();
  untied.tied = false;
  EXPECT_EQ(BuildOptModule(untied, "opt", FakeTensors(table)).status().message(),
            "fake.safetensors: has no tensor 'embed_tokens.weight'");
}

TEST(OptGraph, AnyTensorMustBeThereInItsShapeAndOfFloats) {
  for (const bool norm_first : {true, false}) {
    OptConfig config = SmallConfig();
    config.norm_first = config.final_norm = norm_first;
    config.tied = false;
    config.embedding = 8;
    const TensorTable table = TensorsOf(config);
    for (const auto& [name, type] : table) {
      TensorTable without = table;
      without.erase(name);
      EXPECT_EQ(BuildOptModule(config, "opt", FakeTensors(without)).status().message(),
                absl::StrCat("fake.safetensors: has no tensor '", name, "'"));
      TensorTable wrong = table;
      wrong[name].shape[0] = Dim(type.shape[0].size() + 8);
      EXPECT_THAT(std::string(BuildOptModule(config, "opt", FakeTensors(wrong)).status().message()),
                  testing::HasSubstr(absl::StrCat(name, "' is ", wrong[name].ToString(),
                                                  ", but by config.json it must be ", type.ToString())));
      TensorTable quantised = table;
      quantised[name].dtype = DType::kI8;
      EXPECT_THAT(std::string(BuildOptModule(config, "opt", FakeTensors(quantised)).status().message()),
                  testing::HasSubstr(absl::StrCat(name, "' is ", quantised[name].ToString(),
                                                  "; expected weights of f32, f16 or bf16")));
    }
  }
}

TEST(OptGraph, QueriesKeysAndValuesMustAgree) {
  TensorTable table = TensorsOf(SmallConfig());
  table["layers.1.self_attn.v_proj.weight"].dtype = DType::kF16;
  EXPECT_EQ(BuildOptModule(SmallConfig(), "opt", FakeTensors(table)).status().message(),
            "fake.safetensors: tensor 'model.decoder.layers.1.self_attn.v_proj.weight' is f16<16, 16>, but "
            "'model.decoder.layers.1.self_attn.q_proj.weight' is f32<16, 16>; expected queries, keys and values of one "
            "type");
}

}  // namespace
}  // namespace dejavu
