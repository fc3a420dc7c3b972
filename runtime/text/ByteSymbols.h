// GPT-2's alphabet: one printable character for each of the 256 bytes, in which vocab.json and merges.txt are written.
#ifndef DEJAVU_RUNTIME_TEXT_BYTESYMBOLS_H_
#define DEJAVU_RUNTIME_TEXT_BYTESYMBOLS_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace dejavu {

/// The character of `byte`, in UTF-8. Printable Latin-1 characters but the space and the soft hyphen stand for
/// themselves; the other bytes, in ascending order, take U+0100 and up. A space is "Ġ" (U+0120).
[[nodiscard]] std::string ByteSymbol(uint8_t byte);

/// The bytes that `token` spells. A token with a character outside the alphabet, as added tokens may have, spells
/// itself.
[[nodiscard]] std::string BytesOfToken(std::string_view token);

}  // namespace dejavu

#endif  // DEJAVU_RUNTIME_TEXT_BYTESYMBOLS_H_
