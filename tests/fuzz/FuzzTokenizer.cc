// vocab.json, merges.txt and a text (separated by 0x1e): every text decodes back to itself.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "runtime/text/Tokenizer.h"
#include "tests/fuzz/Parts.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto [vocab, merges, text] = dejavu::SplitParts<3>(data, size);
  auto vocabulary = dejavu::Vocabulary::Parse(vocab, "vocab.json", merges, "merges.txt");
  if (!vocabulary.ok()) {
    return 0;
  }
  const auto tokenizer = dejavu::Tokenizer::Create(*std::move(vocabulary), "vocab.json");
  if (!tokenizer.ok()) {
    return 0;
  }
  const auto ids = tokenizer->Encode(text);
  if (!ids.ok() || tokenizer->Decode(*ids) != text) {
    std::abort();
  }
  return 0;
}
