#include <gtest/gtest.h>

#include <set>

#include "runtime/text/ByteSymbols.h"
#include "runtime/text/Utf8.h"

namespace dejavu {
namespace {

TEST(Utf8Test, EveryCodePointSurvivesWritingAndReading) {
  for (char32_t code_point = 0; code_point <= 0x10FFFF; ++code_point) {
    if (code_point >= 0xD800 && code_point < 0xE000) {
      continue;
    }
    std::string text;
    AppendUtf8(code_point, text);
    const Utf8Character character = ReadUtf8(text + "x");
    ASSERT_TRUE(character.valid) << static_cast<uint32_t>(code_point);
    ASSERT_EQ(character.code_point, code_point);
    ASSERT_EQ(character.length, text.size());
    for (size_t length = 1; length < text.size(); ++length) {
      const Utf8Character part = ReadUtf8(text.substr(0, length));
      ASSERT_TRUE(!part.valid && part.truncated && part.length == length) << static_cast<uint32_t>(code_point);
    }
  }
}

TEST(Utf8Test, RefusesWhatUnicodeRefuses) {
  // The expected lengths are those of the maximal subparts in Unicode's table 3-8.
  const std::vector<std::pair<std::string, size_t>> cases = {
      {"\x80", 1},         {"\xBF", 1},         {"\xC0\x80", 1},     {"\xC1\xBF", 1},      {"\xE0\x80\x80", 1},
      {"\xE0\x9F\xBF", 1}, {"\xED\xA0\x80", 1}, {"\xED\xBF\xBF", 1}, {"\xF0\x8F\xBF", 1},  {"\xF4\x90\x80\x80", 1},
      {"\xF5\x80", 1},     {"\xFF", 1},         {"\xE2\x82x", 2},    {"\xF0\x9F\x98x", 3}, {"\xC3x", 1}};
  for (const auto& [text, length] : cases) {
    const Utf8Character character = ReadUtf8(text);
    EXPECT_FALSE(character.valid) << testing::PrintToString(text);
    EXPECT_FALSE(character.truncated) << testing::PrintToString(text);
    EXPECT_EQ(character.length, length) << testing::PrintToString(text);
  }
}

TEST(Utf8Test, TheEndHasNoCharacter) {
  EXPECT_EQ(ReadUtf8("").length, 0U);
  EXPECT_FALSE(ReadUtf8("").valid);
}

TEST(ByteSymbolsTest, EachByteHasItsOwnSymbol) {
  std::set<std::string> symbols;
  for (unsigned byte = 0; byte < 256; ++byte) {
    const std::string symbol = ByteSymbol(static_cast<uint8_t>(byte));
    EXPECT_TRUE(symbols.insert(symbol).second) << symbol;
    EXPECT_EQ(BytesOfToken(symbol), std::string(1, static_cast<char>(byte)));
  }
  EXPECT_EQ(ByteSymbol(' '), "\u0120");
  EXPECT_EQ(ByteSymbol('\n'), "\u010A");
  EXPECT_EQ(ByteSymbol('A'), "A");
  EXPECT_EQ(ByteSymbol(0), "\u0100");
  EXPECT_EQ(ByteSymbol(0xAD), "\u0143");
}

TEST(ByteSymbolsTest, TokensOutsideTheAlphabetSpellThemselves) {
  EXPECT_EQ(BytesOfToken("\u0120the"), " the");
  EXPECT_EQ(BytesOfToken("</s>"), "</s>");
  EXPECT_EQ(BytesOfToken("a b"), "a b");
  EXPECT_EQ(BytesOfToken("\u4E2D"), "\u4E2D");
  EXPECT_EQ(BytesOfToken(""), "");
}

}  // namespace
}  // namespace dejavu
