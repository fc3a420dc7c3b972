// The names of a module's functions, which a plan's have too.
#ifndef DEJAVU_IR_BASE_PHASES_H_
#define DEJAVU_IR_BASE_PHASES_H_

#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>

namespace dejavu {

/// The most sequences that one call decodes: the inputs of a row of weights are held in registers.
inline constexpr int64_t kMaxSequences = 8;

/// The function that decodes one token of each of `sequences` sequences: "decode", or for several "decode_4".
[[nodiscard]] inline std::string DecodeName(int64_t sequences) {
  return sequences == 1 ? "decode" : "decode_" + std::to_string(sequences);
}

/// The number of sequences of a function that DecodeName() names; 0 for any other.
[[nodiscard]] inline int64_t SequencesOf(std::string_view function) {
  constexpr std::string_view kPrefix = "decode_";
  if (function == "decode") {
    return 1;
  }
  int64_t sequences = 0;
  if (function.starts_with(kPrefix)) {
    (void)std::from_chars(function.data() + kPrefix.size(), function.data() + function.size(), sequences);
  }
  return sequences >= 2 && sequences <= kMaxSequences && function == DecodeName(sequences) ? sequences : 0;
}

}  // namespace dejavu

#endif  // DEJAVU_IR_BASE_PHASES_H_
