#include "runtime/text/StreamDecoder.h"

#include <string_view>

#include "runtime/text/Utf8.h"

namespace dejavu {

std::string StreamDecoder::Feed(int32_t id) {
  pending_.append(tokenizer_->BytesOf(id));
  std::string text;
  std::string_view rest = pending_;
  while (!rest.empty()) {
    const Utf8Character character = ReadUtf8(rest);
    if (character.truncated) {
      break;
    }
    text.append(character.valid ? rest.substr(0, character.length) : kReplacementCharacter);
    rest.remove_prefix(character.length);
  }
  pending_ = std::string(rest);
  return text;
}

std::string StreamDecoder::Finish() {
  const std::string text(pending_.empty() ? "" : kReplacementCharacter);
  pending_.clear();
  return text;
}

}  // namespace dejavu
