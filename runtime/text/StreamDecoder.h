// Decodes tokens as they come, for output that appears while it is generated.
#ifndef DEJAVU_RUNTIME_TEXT_STREAMDECODER_H_
#define DEJAVU_RUNTIME_TEXT_STREAMDECODER_H_

#include <cstdint>
#include <string>

#include "runtime/text/Tokenizer.h"

namespace dejavu {

/// Emits only complete UTF-8 characters: a character that spans tokens is held back until its last byte came, and bytes
/// that cannot become UTF-8 come out as U+FFFD. For one stream at a time.
class StreamDecoder {
 public:
  /// `tokenizer` must outlive the decoder.
  explicit StreamDecoder(const Tokenizer& tokenizer) : tokenizer_(&tokenizer) {}

  /// What the token completes; may be empty.
  [[nodiscard]] std::string Feed(int32_t id);
  /// The end of the stream: U+FFFD for a character that was never completed, else nothing. The decoder is then as new.
  [[nodiscard]] std::string Finish();

 private:
  const Tokenizer* tokenizer_;
  std::string pending_;  // the start of a character
};

}  // namespace dejavu

#endif  // DEJAVU_RUNTIME_TEXT_STREAMDECODER_H_
