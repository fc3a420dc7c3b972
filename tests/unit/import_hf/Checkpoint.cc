#include "tests/unit/import_hf/Checkpoint.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "ir/base/Safetensors.h"

namespace dejavu {
namespace {

void AddLinear(TensorTable& table, const std::string& part, int64_t outputs, int64_t inputs, bool bias, DType dtype) {
  table[part + ".weight"] = {dtype, {outputs, inputs}};
  if (bias) {
    table[part + ".bias"] = {dtype, {outputs}};
  }
}

void AddNorm(TensorTable& table, const std::string& part, int64_t width, DType dtype) {
  table[part + ".weight"] = {dtype, {width}};
  table[part + ".bias"] = {dtype, {width}};
}

/// Element `i` of the tensor `name`: between -0.5 and 0.5 without a pattern that survives a wrong order.
float ElementOf(const std::string& name, size_t i) {
  const size_t hash = (i + 1) * 2654435761U + std::hash<std::string>()(name);
  return static_cast<float>(hash % 1009) / 1009.0F - 0.5F;
}

std::vector<std::byte> BytesOf(const std::string& name, const Type& type) {
  const size_t size = DTypeSize(type.dtype);
  std::vector<std::byte> bytes(static_cast<size_t>(type.NumElements()) * size);
  for (size_t i = 0; i < bytes.size() / size; ++i) {
    const float value = ElementOf(name, i);
    const uint16_t half = type.dtype == DType::kF16 ? FloatToHalf(value) : FloatToBFloat16(value);
    if (type.dtype == DType::kF32) {
      std::memcpy(&bytes[i * size], &value, size);
    } else if (type.dtype == DType::kF16 || type.dtype == DType::kBF16) {
      std::memcpy(&bytes[i * size], &half, size);
    }
  }
  return bytes;
}

}  // namespace

OptConfig SmallConfig() {
  OptConfig config;
  config.hidden = 16;
  config.layers = 2;
  config.heads = 2;
  config.ffn = 24;
  config.vocab = 11;
  config.positions = 8;
  config.embedding = 16;
  return config;
}

TensorTable TensorsOf(const OptConfig& config, DType dtype) {
  TensorTable table;
  const int64_t hidden = config.hidden;
  table["embed_tokens.weight"] = {dtype, {config.vocab, config.embedding}};
  table["embed_positions.weight"] = {dtype, {config.positions + 2, hidden}};
  if (config.embedding != hidden) {
    AddLinear(table, "project_in", hidden, config.embedding, false, dtype);
    AddLinear(table, "project_out", config.embedding, hidden, false, dtype);
  }
  for (int64_t i = 0; i < config.layers; ++i) {
    const std::string layer = absl::StrCat("layers.", i, ".");
    for (const char* part : {"q_proj", "k_proj", "v_proj", "out_proj"}) {
      AddLinear(table, absl::StrCat(layer, "self_attn.", part), hidden, hidden, config.biases, dtype);
    }
    AddLinear(table, layer + "fc1", config.ffn, hidden, config.biases, dtype);
    AddLinear(table, layer + "fc2", hidden, config.ffn, config.biases, dtype);
    AddNorm(table, layer + "self_attn_layer_norm", hidden, dtype);
    AddNorm(table, layer + "final_layer_norm", hidden, dtype);
  }
  if (config.final_norm) {
    AddNorm(table, "final_layer_norm", hidden, dtype);
  }
  if (!config.tied) {
    AddLinear(table, "lm_head", config.vocab, config.embedding, false, dtype);
  }
  return table;
}

nlohmann::json JsonOf(const OptConfig& config) {
  return {{"model_type", "opt"},
          {"architectures", {"OPTForCausalLM"}},
          {"hidden_size", config.hidden},
          {"num_hidden_layers", config.layers},
          {"num_attention_heads", config.heads},
          {"ffn_dim", config.ffn},
          {"vocab_size", config.vocab},
          {"max_position_embeddings", config.positions},
          {"word_embed_proj_dim", config.embedding},
          {"bos_token_id", config.bos},
          {"eos_token_id", config.eos},
          {"do_layer_norm_before", config.norm_first},
          {"_remove_final_layer_norm", config.norm_first && !config.final_norm},
          {"enable_bias", config.biases},
          {"tie_word_embeddings", config.tied},
          {"activation_function", "relu"},
          {"torch_dtype", "float32"}};
}

absl::StatusOr<Weight> FakeTensors::Get(std::string_view name) const {
  const auto it = table_.find(name);
  if (it == table_.end()) {
    return UserError("fake.safetensors: has no tensor '", std::string(name), "'");
  }
  Weight weight;
  weight.name = name;
  weight.type = it->second;
  weight.file = "fake.safetensors";
  weight.tensor = absl::StrCat(std::string(prefix()), std::string(name));
  weight.hash = "0123456789abcdef";
  return weight;
}

Checkpoint::Checkpoint(const OptConfig& model, const std::string& prefix, DType dtype) : config(JsonOf(model)) {
  for (const auto& [name, type] : TensorsOf(model, dtype)) {
    files["model.safetensors"][name == "lm_head.weight" ? name : prefix + name] = type;
  }
}

void Checkpoint::Shard() {
  const TensorTable all = files.extract("model.safetensors").mapped();
  size_t count = 0;
  for (const auto& [name, type] : all) {
    const char* file =
        count++ < all.size() / 2 ? "model-00001-of-00002.safetensors" : "model-00002-of-00002.safetensors";
    files[file][name] = type;
    index["weight_map"][name] = file;
  }
}

void Checkpoint::Write() const {
  WriteBytes(folder_.File("config.json"), config.dump(1));
  for (const auto& [file, tensors] : files) {
    WriteTensors(folder_.File(file), tensors);
  }
  if (!index.is_null()) {
    WriteBytes(folder_.File("model.safetensors.index.json"), index.dump(1));
  }
}

void WriteTensors(const std::string& path, const TensorTable& tensors) {
  std::vector<TensorSpec> specs;
  for (const auto& [name, type] : tensors) {
    TensorSpec spec{name, type.dtype, {}};
    for (const Dim& dim : type.shape) {
      spec.dims.push_back(dim.size());
    }
    specs.push_back(std::move(spec));
  }
  absl::StatusOr<SafetensorsWriter> writer = SafetensorsWriter::Create(path, std::move(specs));
  ASSERT_TRUE(writer.ok()) << writer.status();
  for (const auto& [name, type] : tensors) {
    const absl::Status status = writer->Append(BytesOf(name, type));
    ASSERT_TRUE(status.ok()) << status;
  }
  ASSERT_TRUE(writer->Finish().ok());
}

}  // namespace dejavu
