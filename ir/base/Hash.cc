#include "ir/base/Hash.h"

#include <xxhash.h>

#include <charconv>

#include "absl/strings/str_cat.h"

namespace dejavu {

uint64_t Hash64(std::span<const std::byte> bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

uint64_t Hash64(std::string_view text) { return Hash64(std::as_bytes(std::span(text))); }

void Hasher::Free::operator()(XXH3_state_s* state) const { XXH3_freeState(state); }

Hasher::Hasher() : state_(XXH3_createState()) {
  if (state_ == nullptr) {
    throw std::bad_alloc();
  }
  Reset();
}

void Hasher::Update(std::span<const std::byte> bytes) {
  if (!bytes.empty()) {
    XXH3_64bits_update(state_.get(), bytes.data(), bytes.size());
  }
}

uint64_t Hasher::Digest() const { return XXH3_64bits_digest(state_.get()); }

void Hasher::Reset() { XXH3_64bits_reset(state_.get()); }

std::string HashText(uint64_t hash) { return absl::StrCat(absl::Hex(hash, absl::kZeroPad16)); }

std::optional<uint64_t> ParseHash(std::string_view text) {
  if (text.size() != 16 || text.find_first_not_of("0123456789abcdef") != std::string_view::npos) {
    return std::nullopt;
  }
  uint64_t hash = 0;
  std::from_chars(text.data(), text.data() + text.size(), hash, 16);
  return hash;
}

}  // namespace dejavu
