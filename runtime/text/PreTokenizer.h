// Cuts text into the pieces inside which byte-level BPE merges: GPT-2's pattern, matched by PCRE2.
#ifndef DEJAVU_RUNTIME_TEXT_PRETOKENIZER_H_
#define DEJAVU_RUNTIME_TEXT_PRETOKENIZER_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

struct pcre2_real_code_8;

namespace dejavu {

/// Immutable; any number of threads may split.
class PreTokenizer {
 public:
  /// Compiles the pattern, to machine code where PCRE2 can.
  [[nodiscard]] static absl::StatusOr<PreTokenizer> Create();

  /// Pieces that joined are `text`; they point into it. Bytes that are not UTF-8 count as symbols: neither letters nor
  /// digits nor spaces.
  [[nodiscard]] absl::StatusOr<std::vector<std::string_view>> Split(std::string_view text) const;

 private:
  struct Free {
    void operator()(pcre2_real_code_8* code) const;
  };

  explicit PreTokenizer(pcre2_real_code_8* code) : code_(code) {}
  // The lengths of the pieces of `text`, which must be UTF-8.
  absl::StatusOr<std::vector<size_t>> PieceLengths(std::string_view text) const;

  std::unique_ptr<pcre2_real_code_8, Free> code_;
};

}  // namespace dejavu

#endif  // DEJAVU_RUNTIME_TEXT_PRETOKENIZER_H_
