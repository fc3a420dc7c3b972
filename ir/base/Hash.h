// Content hashes of files and tensors: XXH3 with 64 bits. They find damage; they do not withstand forgery.
#ifndef DEJAVU_IR_BASE_HASH_H_
#define DEJAVU_IR_BASE_HASH_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

struct XXH3_state_s;

namespace dejavu {

/// XXH3-64 of `bytes`.
[[nodiscard]] uint64_t Hash64(std::span<const std::byte> bytes);
[[nodiscard]] uint64_t Hash64(std::string_view text);

/// Hashes a stream piece by piece; equal to Hash64() of the pieces joined.
class Hasher {
 public:
  Hasher();

  void Update(std::span<const std::byte> bytes);
  /// The hash of all bytes so far; more may follow.
  [[nodiscard]] uint64_t Digest() const;
  /// Forgets all bytes.
  void Reset();

 private:
  struct Free {
    void operator()(XXH3_state_s* state) const;
  };
  std::unique_ptr<XXH3_state_s, Free> state_;
};

/// 16 lower-case hexadecimal digits, as manifests and the IR print hashes.
[[nodiscard]] std::string HashText(uint64_t hash);
/// The inverse of HashText(); nothing for any other text.
[[nodiscard]] std::optional<uint64_t> ParseHash(std::string_view text);

}  // namespace dejavu

#endif  // DEJAVU_IR_BASE_HASH_H_
