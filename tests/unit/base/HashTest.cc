#include <gtest/gtest.h>

#include "ir/base/Hash.h"
#include "tests/unit/base/TestFiles.h"

namespace dejavu {
namespace {

TEST(HashTest, MatchesPublishedValueOfTheEmptyInput) { EXPECT_EQ(HashText(Hash64("")), "2d06800538d394c2"); }

TEST(HashTest, StreamEqualsOneShotWhateverThePieces) {
  std::string text(10'000, '\0');
  for (size_t i = 0; i < text.size(); ++i) {
    text[i] = static_cast<char>(i * 31 + i / 256);
  }
  const uint64_t expected = Hash64(text);
  for (const size_t piece : {1U, 7U, 64U, 255U, 1024U, 9'999U}) {
    Hasher hasher;
    for (size_t at = 0; at < text.size(); at += piece) {
      hasher.Update(AsBytes(std::string_view(text).substr(at, piece)));
    }
    EXPECT_EQ(hasher.Digest(), expected) << piece;
  }
}

TEST(HashTest, DigestMayBeAskedMidStreamAndResetStartsOver) {
  Hasher hasher;
  EXPECT_EQ(hasher.Digest(), Hash64(""));
  hasher.Update(AsBytes("ab"));
  EXPECT_EQ(hasher.Digest(), Hash64("ab"));
  hasher.Update({});
  hasher.Update(AsBytes("c"));
  EXPECT_EQ(hasher.Digest(), Hash64("abc"));
  hasher.Reset();
  EXPECT_EQ(hasher.Digest(), Hash64(""));
}

TEST(HashTest, TextHasSixteenDigitsAndParsesBack) {
  EXPECT_EQ(HashText(0x0123), "0000000000000123");
  EXPECT_EQ(ParseHash("0000000000000123"), 0x123U);
  EXPECT_EQ(ParseHash("ffffffffffffffff"), 0xFFFFFFFFFFFFFFFFU);
}

TEST(HashTest, RefusesOtherTexts) {
  for (const char* text :
       {"", "123", "00000000000001234", "000000000000012G", "000000000000012A", "0x00000000000123"}) {
    EXPECT_EQ(ParseHash(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace dejavu
