#include <gtest/gtest.h>

#include "runtime/text/PreTokenizer.h"
#include "runtime/text/Utf8.h"
#include "tests/unit/text/TextFixtures.h"

namespace dejavu {
namespace {

using Pieces = std::vector<std::string_view>;

Pieces Split(std::string_view text) {
  static const PreTokenizer pre_tokenizer = PreTokenizer::Create().value();
  return pre_tokenizer.Split(text).value();
}

TEST(PreTokenizerTest, CutsWordsNumbersSymbolsAndSpaces) {
  EXPECT_EQ(Split(""), Pieces{});
  EXPECT_EQ(Split("I'm 12 years, he'll  be!\n\n x"),
            (Pieces{"I", "'m", " 12", " years", ",", " he", "'ll", " ", " be", "!", "\n\n", " x"}));
  EXPECT_EQ(Split("I'M"), (Pieces{"I", "'", "M"}));
  EXPECT_EQ(Split("a   "), (Pieces{"a", "   "}));
}

TEST(PreTokenizerTest, KnowsTheClassOfEveryCodePoint) {
  const auto class_of = [](const std::string& character) {
    if (Split("x" + character).size() == 1) {
      return "L";
    }
    if (Split("1" + character).size() == 1) {
      return "N";
    }
    return Split("." + character).size() == 1 ? "O" : "S";
  };
  const auto runs = Golden().at("classes").get<std::vector<std::pair<uint32_t, std::string>>>();
  size_t wrong = 0;
  size_t run = 0;
  for (char32_t code_point = 0; code_point <= 0x10FFFF; ++code_point) {
    while (run + 1 < runs.size() && runs[run + 1].first <= code_point) {
      ++run;
    }
    if (code_point >= 0xD800 && code_point < 0xE000) {
      continue;
    }
    std::string character;
    AppendUtf8(code_point, character);
    if (runs[run].second != class_of(character) && ++wrong <= 10) {
      ADD_FAILURE() << "U+" << std::hex << static_cast<uint32_t>(code_point) << " is " << class_of(character)
                    << ", but should be " << runs[run].second;
    }
  }
  EXPECT_EQ(wrong, 0U);
}

TEST(PreTokenizerTest, TreatsBytesThatAreNotUtf8AsSymbols) {
  EXPECT_EQ(Split("a\xFF"), (Pieces{"a", "\xFF"}));
  EXPECT_EQ(Split(" \xFF\xFE! a"), (Pieces{" \xFF\xFE!", " a"}));
  EXPECT_EQ(Split("caf\xC3 x"), (Pieces{"caf", "\xC3", " x"}));
  EXPECT_EQ(Split("\xED\xA0\x80"
                  "1"),
            (Pieces{"\xED\xA0\x80", "1"}));
  EXPECT_EQ(Split("\xFF\u00E9"), (Pieces{"\xFF", "\u00E9"}));
  // A true U+FFFD is as long as the stand-in for one bad byte.
  EXPECT_EQ(Split("\uFFFD\xFF\uFFFD a\xFF"), (Pieces{"\uFFFD\xFF\uFFFD", " a", "\xFF"}));
}

TEST(PreTokenizerTest, TakesLongRunsInOnePiece) {
  for (const std::string& unit : {std::string("a"), std::string("1"), std::string("!"), std::string(" "),
                                  std::string("\u4E2D"), std::string("\xFF")}) {
    std::string text;
    while (text.size() < 1'000'000) {
      text += unit;
    }
    EXPECT_EQ(Split(text).size(), 1U) << testing::PrintToString(unit);
  }
}

}  // namespace
}  // namespace dejavu
