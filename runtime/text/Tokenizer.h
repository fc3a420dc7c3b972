// Text to token ids and back: byte-level BPE, equal to Hugging Face's tokenizer of GPT-2 and OPT.
#ifndef DEJAVU_RUNTIME_TEXT_TOKENIZER_H_
#define DEJAVU_RUNTIME_TEXT_TOKENIZER_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/text/PreTokenizer.h"
#include "runtime/text/Vocabulary.h"

namespace dejavu {

/// Immutable; any number of threads may encode and decode.
class Tokenizer {
 public:
  /// Reads `folder`/vocab.json and `folder`/merges.txt. Each fault is a user error that names the file.
  [[nodiscard]] static absl::StatusOr<Tokenizer> Load(const std::string& folder);
  /// The vocabulary must have `</s>`; `where` names it in the message if it has not.
  [[nodiscard]] static absl::StatusOr<Tokenizer> Create(Vocabulary vocabulary, const std::string& where);

  /// The ids of `text`, nothing added. Any bytes are accepted and decode back to themselves; those that are not UTF-8
  /// count as symbols. Where `text` spells `<s>`, `<pad>`, `</s>` or `<unk>`, it becomes that one token, as Hugging
  /// Face does. Fails only beyond 1 GiB.
  [[nodiscard]] absl::StatusOr<std::vector<int32_t>> Encode(std::string_view text) const;
  /// `</s>`, with which OPT's texts begin, and the ids of `text`.
  [[nodiscard]] absl::StatusOr<std::vector<int32_t>> EncodePrompt(std::string_view text) const;

  /// The bytes of all tokens joined: the inverse of Encode(). Special tokens give their name; ids without a token,
  /// which models with padded embeddings may produce, give nothing.
  [[nodiscard]] std::string Decode(std::span<const int32_t> ids) const;
  /// The bytes of one token, often a part of a character; valid as long as the tokenizer.
  [[nodiscard]] std::string_view BytesOf(int32_t id) const { return vocabulary_.BytesOf(id); }

  /// The id of `</s>`, which opens texts and ends them.
  [[nodiscard]] int32_t bos() const { return bos_; }
  [[nodiscard]] int32_t eos() const { return bos_; }
  /// One more than the highest id.
  [[nodiscard]] int32_t size() const { return vocabulary_.size(); }

 private:
  Tokenizer(Vocabulary vocabulary, PreTokenizer pre_tokenizer);
  // The special token that `text` starts with: its length and id; length 0 if there is none.
  std::pair<size_t, int32_t> MatchSpecial(std::string_view text) const;
  // Appends the ids of text that has no special tokens.
  absl::Status EncodeOrdinary(std::string_view text, std::vector<int32_t>& ids) const;
  // Appends the ids of one piece of the pre-tokenizer.
  void MergePiece(std::string_view piece, std::vector<int32_t>& ids) const;

  Vocabulary vocabulary_;
  PreTokenizer pre_tokenizer_;
  std::vector<std::pair<std::string, int32_t>> specials_;
  int32_t bos_ = 0;
};

}  // namespace dejavu

#endif  // DEJAVU_RUNTIME_TEXT_TOKENIZER_H_
