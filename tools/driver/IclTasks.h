// Tasks that can only be solved from what stands in the context, made up from a seed: no text, no tokenizer.
#ifndef DEJAVU_TOOLS_DRIVER_ICLTASKS_H_
#define DEJAVU_TOOLS_DRIVER_ICLTASKS_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/artifact/Manifest.h"

namespace dejavu {

/// tokens[at] is to be foretold from the tokens before it, after `shots` solved examples.
struct IclAnswer {
  int64_t at = 0;
  int64_t shots = 0;
};

struct IclSequence {
  std::vector<int32_t> tokens;
  std::vector<IclAnswer> answers;  ///< By `at`.
};

/// All sequences of one task.
struct IclTask {
  std::string_view name;
  std::string_view what;  ///< One clause, for people.
  bool has_shots = false;
  std::vector<IclSequence> sequences;
};

/// How many examples come before the last: each example is the query after those before it.
inline constexpr int64_t kIclShots = 16;

/// `sequences` of each task, the same for the same seed and vocabulary:
///   repeat   random ids x1 .. x64, then the same again: x2 .. x64 of the second half are asked for
///   copy     a b c d > a b c d ; and so on with new ids: what follows > is asked for
///   recall   a 1 b 2 c 3 d 4 > b 2 ; : each example has its own pairs, and the key's value is asked for
///   reverse  a 1 b 2 c 3 d 4 > 2 b ; : the key in front of the value is asked for
/// A sequence begins with the model's first token and holds no id twice but where the task repeats it; "> ;" are random
/// ids too. Byte-pair vocabularies have special ids and bytes first, then pairs by how often they are met: ids come
/// from the pairs in the vocabulary's first quarter, if it is large enough, which even small models know well.
/// Sequences are cut to the model's positions by whole examples. A user error for models with too few positions or ids.
[[nodiscard]] absl::StatusOr<std::vector<IclTask>> MakeIclTasks(const ModelInfo& model, uint64_t seed,
                                                                int64_t sequences);

}  // namespace dejavu

#endif  // DEJAVU_TOOLS_DRIVER_ICLTASKS_H_
