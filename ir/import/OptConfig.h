// The config.json of a Hugging Face OPT checkpoint.
#ifndef DEJAVU_IR_IMPORT_OPTCONFIG_H_
#define DEJAVU_IR_IMPORT_OPTCONFIG_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "ir/base/Status.h"

namespace dejavu {

/// The shape of an OPT model; the field of config.json stands beside each member.
struct OptConfig {
  int64_t hidden = 0;      // hidden_size
  int64_t layers = 0;      // num_hidden_layers
  int64_t heads = 0;       // num_attention_heads
  int64_t ffn = 0;         // ffn_dim
  int64_t vocab = 0;       // vocab_size
  int64_t positions = 0;   // max_position_embeddings: the longest context; the table has two more rows
  int64_t embedding = 0;   // word_embed_proj_dim, or hidden: the width of the token table and of the head
  int64_t bos = 2;         // bos_token_id
  int64_t eos = 2;         // eos_token_id
  bool norm_first = true;  // do_layer_norm_before; false in OPT-350M
  bool final_norm = true;  // a layer norm after the last block: norm_first and not _remove_final_layer_norm
  bool biases = true;      // enable_bias
  bool tied = true;        // tie_word_embeddings: the head reads the token table

  [[nodiscard]] int64_t head_dim() const { return hidden / heads; }
  /// Whether linear layers stand between the token table and the blocks, and between the blocks and the head.
  [[nodiscard]] bool is_projected() const { return embedding != hidden; }
};

/// Reads the file `path`. A model that is not an OPT or that DejaVu cannot run, missing fields, other kinds of values
/// and numbers without sense are user errors that name the file and the field. Fields that change no result are
/// ignored.
[[nodiscard]] absl::StatusOr<OptConfig> ReadOptConfig(const std::string& path);

/// The same for a text; `path` is for messages.
[[nodiscard]] absl::StatusOr<OptConfig> ParseOptConfig(std::string_view text, const std::string& path);

}  // namespace dejavu

#endif  // DEJAVU_IR_IMPORT_OPTCONFIG_H_
