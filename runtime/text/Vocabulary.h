// The tokens and merges of a byte-level BPE tokenizer, as GPT-2 and OPT store them in vocab.json and merges.txt.
#ifndef DEJAVU_RUNTIME_TEXT_VOCABULARY_H_
#define DEJAVU_RUNTIME_TEXT_VOCABULARY_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace dejavu {

/// What two neighbouring tokens become; lower ranks merge first.
struct Merge {
  int32_t rank = 0;
  int32_t token = 0;
};

/// Immutable; any number of threads may read.
class Vocabulary {
 public:
  /// Reads and checks both files. Each fault is a user error that names the file and the token or line.
  [[nodiscard]] static absl::StatusOr<Vocabulary> Load(const std::string& vocab_path, const std::string& merges_path);
  /// As Load(), from the files' contents; the paths are for messages.
  [[nodiscard]] static absl::StatusOr<Vocabulary> Parse(std::string_view vocab_text, const std::string& vocab_path,
                                                        std::string_view merges_text, const std::string& merges_path);

  /// The id of a token as vocab.json spells it, in the alphabet of ByteSymbols.h.
  [[nodiscard]] std::optional<int32_t> Find(std::string_view token) const;
  /// The token that is one byte; every vocabulary has all 256.
  [[nodiscard]] int32_t byte_token(uint8_t byte) const { return byte_tokens_[byte]; }
  /// Null when the two tokens do not merge.
  [[nodiscard]] const Merge* FindMerge(int32_t left, int32_t right) const;
  /// The bytes of a token; empty for ids that no token has.
  [[nodiscard]] std::string_view BytesOf(int32_t id) const;
  /// One more than the highest id.
  [[nodiscard]] int32_t size() const { return static_cast<int32_t>(bytes_.size()); }

 private:
  Vocabulary() = default;
  absl::Status ParseTokens(std::string_view text, const std::string& path);
  absl::Status FindByteTokens(const std::string& path);
  absl::Status ParseMerges(std::string_view text, const std::string& path, const std::string& vocab_path);

  std::unordered_map<std::string, int32_t> ids_;
  std::vector<std::string> bytes_;  // by id
  std::array<int32_t, 256> byte_tokens_ = {};
  std::unordered_map<uint64_t, Merge> merges_;
};

}  // namespace dejavu

#endif  // DEJAVU_RUNTIME_TEXT_VOCABULARY_H_
