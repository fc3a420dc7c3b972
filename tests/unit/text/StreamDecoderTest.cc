#include <gtest/gtest.h>

#include "runtime/text/StreamDecoder.h"
#include "runtime/text/Utf8.h"
#include "tests/unit/text/TextFixtures.h"

namespace dejavu {
namespace {

// The tokens that are single bytes.
std::vector<int32_t> ByteTokens(std::string_view bytes) {
  const Vocabulary vocabulary = Vocabulary::Load(DemoFolder() + "/vocab.json", DemoFolder() + "/merges.txt").value();
  std::vector<int32_t> ids;
  for (const char byte : bytes) {
    ids.push_back(vocabulary.byte_token(static_cast<uint8_t>(byte)));
  }
  return ids;
}

std::vector<std::string> Stream(const std::vector<int32_t>& ids) {
  StreamDecoder decoder(DemoTokenizer());
  std::vector<std::string> parts;
  for (const int32_t id : ids) {
    parts.push_back(decoder.Feed(id));
  }
  parts.push_back(decoder.Finish());
  return parts;
}

TEST(StreamDecoderTest, HoldsACharacterUntilItsLastByte) {
  EXPECT_EQ(Stream(ByteTokens("a\u00E9\U0001F600b")),
            (std::vector<std::string>{"a", "", "\u00E9", "", "", "", "\U0001F600", "b", ""}));
}

TEST(StreamDecoderTest, ReplacesWhatCannotBecomeACharacter) {
  EXPECT_EQ(Stream(ByteTokens("\xFF"
                              "a")),
            (std::vector<std::string>{"\uFFFD", "a", ""}));
  EXPECT_EQ(Stream(ByteTokens("\xE2\x82"
                              "a")),
            (std::vector<std::string>{"", "",
                                      "\uFFFD"
                                      "a",
                                      ""}));
  EXPECT_EQ(Stream(ByteTokens("\xC3\xC3\xA9")), (std::vector<std::string>{"", "\uFFFD", "\u00E9", ""}));
}

TEST(StreamDecoderTest, FinishReplacesAnIncompleteCharacterAndStartsOver) {
  StreamDecoder decoder(DemoTokenizer());
  for (const int32_t id : ByteTokens("\xF0\x9F\x98")) {
    EXPECT_EQ(decoder.Feed(id), "");
  }
  EXPECT_EQ(decoder.Finish(), "\uFFFD");
  EXPECT_EQ(decoder.Finish(), "");
  EXPECT_EQ(decoder.Feed(ByteTokens("a")[0]), "a");
}

TEST(StreamDecoderTest, IdsWithoutATokenGiveNothing) {
  StreamDecoder decoder(DemoTokenizer());
  EXPECT_EQ(decoder.Feed(-1), "");
  EXPECT_EQ(decoder.Feed(1 << 30), "");
}

TEST(StreamDecoderTest, EveryPartOfEveryGoldenTextIsUtf8AndTheWholeIsTheText) {
  for (const auto& golden : Golden().at("cases")) {
    std::string whole;
    for (const std::string& part : Stream(golden.at("ids"))) {
      for (std::string_view rest = part; !rest.empty(); rest.remove_prefix(ReadUtf8(rest).length)) {
        ASSERT_TRUE(ReadUtf8(rest).valid) << golden.at("text");
      }
      whole += part;
    }
    EXPECT_EQ(whole, golden.at("text").get<std::string>());
  }
}

}  // namespace
}  // namespace dejavu
