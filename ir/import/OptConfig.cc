#include "ir/import/OptConfig.h"

#include <nlohmann/json.hpp>
#include <optional>

#include "ir/import/JsonFile.h"

namespace dejavu {
namespace {

using Json = nlohmann::json;

/// No OPT comes near; products of two such numbers stay far from overflow.
constexpr int64_t kMost = int64_t{1} << 24;

/// Widths are multiples of this many elements, so that kernels need no tail in a row.
constexpr int64_t kWidthMultiple = 8;

/// The fields of one file. Errors do not name the file.
class Fields {
 public:
  explicit Fields(const Json& json) : json_(json) {}

  /// Null if the field is missing; null in the file counts as missing.
  [[nodiscard]] const Json* Find(const char* field) const {
    const auto it = json_.find(field);
    return it == json_.end() || it->is_null() ? nullptr : &*it;
  }

  /// The whole number in `field`, from `least` to `most`; `fallback` if it is missing and there is one.
  [[nodiscard]] absl::StatusOr<int64_t> Integer(const char* field, int64_t least, int64_t most,
                                                std::optional<int64_t> fallback = std::nullopt) const {
    const Json* value = Find(field);
    if (value == nullptr && !fallback) {
      return Missing(field, absl::StrCat("a whole number from ", least, " to ", most));
    }
    const Json number = value == nullptr ? Json(*fallback) : *value;
    if (!number.is_number_integer() || number < Json(least) || number > Json(most)) {
      return UserError("field '", field, "' must be a whole number from ", least, " to ", most, ", but is ",
                       QuotedJson(number));
    }
    return number.get<int64_t>();
  }

  [[nodiscard]] absl::StatusOr<bool> Boolean(const char* field, bool fallback) const {
    const Json* value = Find(field);
    if (value != nullptr && !value->is_boolean()) {
      return UserError("field '", field, "' must be true or false, but is ", QuotedJson(*value));
    }
    return value == nullptr ? fallback : value->get<bool>();
  }

  [[nodiscard]] static absl::Status Missing(const char* field, const std::string& expected) {
    return UserError("field '", field, "' is missing; expected ", expected);
  }

 private:
  const Json& json_;
};

/// Refuses what has OPT's fields but computes something else.
absl::Status CheckKind(const Fields& fields) {
  const Json* type = fields.Find("model_type");
  if (type == nullptr) {
    return Fields::Missing("model_type", "'opt', as in a Hugging Face OPT checkpoint");
  }
  if (*type != "opt") {
    return UserError("field 'model_type' is ", QuotedJson(*type), ", but DejaVu compiles models of type 'opt'");
  }
  const Json* activation = fields.Find("activation_function");
  if (activation != nullptr && *activation != "relu") {
    return UserError("field 'activation_function' is ", QuotedJson(*activation),
                     ", but must be 'relu': what DejaVu skips are the zeros that ReLU makes");
  }
  ASSIGN_OR_RETURN(const bool affine, fields.Boolean("layer_norm_elementwise_affine", true));
  if (!affine) {
    return UserError(
        "field 'layer_norm_elementwise_affine' is false, but DejaVu knows only layer norms with weight and "
        "bias, as all published OPT models have");
  }
  if (fields.Find("quantization_config") != nullptr) {
    return UserError(
        "field 'quantization_config' says that the weights are quantised; expected a checkpoint of "
        "float32, float16 or bfloat16 weights");
  }
  return absl::OkStatus();
}

absl::Status CheckWidths(const OptConfig& config) {
  if (config.hidden % config.heads != 0) {
    return UserError("field 'hidden_size', ", config.hidden, ", must be divisible by 'num_attention_heads', ",
                     config.heads);
  }
  if (config.head_dim() % kWidthMultiple != 0) {
    return UserError("fields 'hidden_size', ", config.hidden, ", and 'num_attention_heads', ", config.heads,
                     ", give heads of ", config.head_dim(), "; expected a multiple of ", kWidthMultiple);
  }
  if (config.ffn % kWidthMultiple != 0) {
    return UserError("field 'ffn_dim' must be a multiple of ", kWidthMultiple, ", but is ", config.ffn);
  }
  if (config.embedding % kWidthMultiple != 0) {
    return UserError("field 'word_embed_proj_dim' must be a multiple of ", kWidthMultiple, ", but is ",
                     config.embedding);
  }
  return absl::OkStatus();
}

absl::StatusOr<OptConfig> ReadFields(const Json& json) {
  const Fields fields(json);
  RETURN_IF_ERROR(CheckKind(fields));
  OptConfig config;
  ASSIGN_OR_RETURN(config.hidden, fields.Integer("hidden_size", 1, kMost));
  ASSIGN_OR_RETURN(config.layers, fields.Integer("num_hidden_layers", 1, kMost));
  ASSIGN_OR_RETURN(config.heads, fields.Integer("num_attention_heads", 1, kMost));
  ASSIGN_OR_RETURN(config.ffn, fields.Integer("ffn_dim", 1, kMost));
  ASSIGN_OR_RETURN(config.vocab, fields.Integer("vocab_size", 1, kMost));
  ASSIGN_OR_RETURN(config.positions, fields.Integer("max_position_embeddings", 1, kMost));
  ASSIGN_OR_RETURN(config.embedding, fields.Integer("word_embed_proj_dim", 1, kMost, config.hidden));
  ASSIGN_OR_RETURN(config.bos, fields.Integer("bos_token_id", 0, config.vocab - 1, config.bos));
  ASSIGN_OR_RETURN(config.eos, fields.Integer("eos_token_id", 0, config.vocab - 1, config.eos));
  ASSIGN_OR_RETURN(config.norm_first, fields.Boolean("do_layer_norm_before", true));
  ASSIGN_OR_RETURN(const bool no_final_norm, fields.Boolean("_remove_final_layer_norm", false));
  config.final_norm = config.norm_first && !no_final_norm;
  ASSIGN_OR_RETURN(config.biases, fields.Boolean("enable_bias", true));
  ASSIGN_OR_RETURN(config.tied, fields.Boolean("tie_word_embeddings", true));
  RETURN_IF_ERROR(CheckWidths(config));
  return config;
}

}  // namespace

absl::StatusOr<OptConfig> ParseOptConfig(std::string_view text, const std::string& path) {
  ASSIGN_OR_RETURN(const Json json, ParseJsonObject(text, path));
  absl::StatusOr<OptConfig> config = ReadFields(json);
  return config.ok() ? config : WithContext(config.status(), path);
}

absl::StatusOr<OptConfig> ReadOptConfig(const std::string& path) {
  ASSIGN_OR_RETURN(const Json json, ReadJsonObject(path));
  absl::StatusOr<OptConfig> config = ReadFields(json);
  return config.ok() ? config : WithContext(config.status(), path);
}

}  // namespace dejavu
