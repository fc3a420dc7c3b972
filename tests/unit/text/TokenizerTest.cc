#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <random>

#include "ir/base/FileUtil.h"
#include "ir/base/Hash.h"
#include "runtime/text/Tokenizer.h"
#include "tests/unit/text/TextFixtures.h"

namespace dejavu {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<int32_t> Encode(std::string_view text) { return DemoTokenizer().Encode(text).value(); }

TEST(TokenizerTest, AgreesWithHuggingFaceOnEveryGoldenText) {
  for (const auto& golden : Golden().at("cases")) {
    const auto text = golden.at("text").get<std::string>();
    EXPECT_EQ(Encode(text), golden.at("ids").get<std::vector<int32_t>>()) << golden.at("text");
    EXPECT_EQ(DemoTokenizer().Decode(golden.at("ids").get<std::vector<int32_t>>()), text);
  }
}

// The windowing rule's ids of a long text; count and hash come from Hugging Face's tokenizer.
TEST(TokenizerTest, AgreesWithHuggingFaceOnTheEvaluationText) {
  const std::string path = SharedFolder() + "/text/eval.txt";
  if (!std::filesystem::exists(path)) {
    GTEST_SKIP() << path << " is not there; set DEJAVU_SHARED to the folder that has text/eval.txt";
  }
  const std::string text = ReadTextFile(path).value();
  const std::string_view separator = "\n\x1E\n";
  std::vector<int32_t> ids;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(separator, begin), text.size());
    const auto document = DemoTokenizer().EncodePrompt(std::string_view(text).substr(begin, end - begin)).value();
    ids.insert(ids.end(), document.begin(), document.end());
    begin = end + separator.size();
  }
  EXPECT_EQ(ids.size(), 190310U);
  EXPECT_EQ(HashText(Hash64(std::as_bytes(std::span(ids)))), "beaff622edaa1dee");
}

TEST(TokenizerTest, PromptsBeginWithTheEndOfText) {
  const Tokenizer& tokenizer = DemoTokenizer();
  EXPECT_EQ(tokenizer.bos(), 2);
  EXPECT_EQ(tokenizer.eos(), 2);
  EXPECT_EQ(tokenizer.size(), 8192);
  EXPECT_THAT(tokenizer.EncodePrompt("x").value(), ElementsAre(2, 91));
  EXPECT_THAT(tokenizer.EncodePrompt("").value(), ElementsAre(2));
  EXPECT_THAT(Encode(""), IsEmpty());
}

TEST(TokenizerTest, BytesThatAreNotUtf8RoundTrip) {
  std::mt19937 random(7);
  for (int round = 0; round < 2000; ++round) {
    std::string text(random() % 40, '\0');
    for (char& byte : text) {
      // Half of them from a small set, so that characters are often nearly right.
      byte = random() % 2 == 0 ? static_cast<char>(random()) : "a 1\n\xC3\xA9\xE2\x82\xAC\xF0\x9F<s>"[random() % 15];
    }
    ASSERT_EQ(DemoTokenizer().Decode(Encode(text)), text) << testing::PrintToString(text);
  }
  for (int byte = 0; byte < 256; ++byte) {
    const std::string text(1, static_cast<char>(byte));
    EXPECT_EQ(DemoTokenizer().Decode(Encode(text)), text) << byte;
  }
}

TEST(TokenizerTest, IdsWithoutATokenDecodeToNothing) {
  const std::vector<int32_t> ids = {-1, 91, 8192, 0x7FFFFFFF, 91};
  EXPECT_EQ(DemoTokenizer().Decode(ids), "xx");
}

TEST(TokenizerTest, LongWordsAreNotQuadratic) {
  // It takes about a second; an algorithm that looks at every pair for every merge would need hours.
  std::mt19937 random(3);
  std::string word(2'000'000, 'a');
  for (char& letter : word) {
    letter = static_cast<char>('a' + random() % 26);
  }
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(DemoTokenizer().Decode(Encode(word)), word);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60));
}

TEST(TokenizerTest, MissingFilesAndTokensAreNamed) {
  EXPECT_THAT(std::string(Tokenizer::Load("/no/such").status().message()), HasSubstr("/no/such/vocab.json"));
  std::string vocab = ReadTextFile(DemoFolder() + "/vocab.json").value();
  const size_t at = vocab.find("\"</s>\"");
  ASSERT_NE(at, std::string::npos);
  vocab.replace(at, 6, "\"</t>\"");
  absl::StatusOr<Vocabulary> vocabulary = Vocabulary::Parse(vocab, "vocab.json", "", "merges.txt");
  ASSERT_TRUE(vocabulary.ok()) << vocabulary.status();
  EXPECT_THAT(std::string(Tokenizer::Create(*std::move(vocabulary), "d/vocab.json").status().message()),
              HasSubstr("d/vocab.json: has no token '</s>'"));
}

TEST(TokenizerTest, OnlySpecialTokensOfTheVocabularyAreSpecial) {
  std::string vocab = ReadTextFile(DemoFolder() + "/vocab.json").value();
  const size_t at = vocab.find("\"<pad>\"");
  ASSERT_NE(at, std::string::npos);
  vocab.replace(at, 7, "\"<dap>\"");
  const Tokenizer tokenizer =
      Tokenizer::Create(Vocabulary::Parse(vocab, "vocab.json", "", "merges.txt").value(), "").value();
  EXPECT_EQ(tokenizer.Encode("<pad>")->size(), 5U);
  EXPECT_EQ(tokenizer.Encode("</s>")->size(), 1U);
}

}  // namespace
}  // namespace dejavu
