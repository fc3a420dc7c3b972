#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "runtime/text/ByteSymbols.h"
#include "runtime/text/Vocabulary.h"

namespace dejavu {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// The 256 bytes, `</s>`, "ab" and "abc".
nlohmann::json SmallVocab() {
  nlohmann::json vocab;
  for (int byte = 0; byte < 256; ++byte) {
    vocab[ByteSymbol(static_cast<uint8_t>(byte))] = byte;
  }
  vocab["</s>"] = 256;
  vocab["ab"] = 257;
  vocab["abc"] = 300;
  return vocab;
}

absl::StatusOr<Vocabulary> Parse(const std::string& vocab, const std::string& merges) {
  return Vocabulary::Parse(vocab, "d/vocab.json", merges, "d/merges.txt");
}

std::string VocabError(const std::string& vocab) {
  const absl::Status status = Parse(vocab, "").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("d/vocab.json: "));
  return std::string(status.message());
}

std::string MergesError(const std::string& merges) {
  const absl::Status status = Parse(SmallVocab().dump(), merges).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  return std::string(status.message());
}

TEST(VocabularyTest, ReadsTokensAndMerges) {
  const absl::StatusOr<Vocabulary> vocabulary = Parse(SmallVocab().dump(), "#version: 0.2\na b\r\nab c\n\n");
  ASSERT_TRUE(vocabulary.ok()) << vocabulary.status();
  EXPECT_EQ(vocabulary->Find("ab"), 257);
  EXPECT_EQ(vocabulary->Find("abd"), std::nullopt);
  EXPECT_EQ(vocabulary->byte_token('a'), 'a');
  EXPECT_EQ(vocabulary->size(), 301);
  EXPECT_EQ(vocabulary->BytesOf(257), "ab");
  EXPECT_EQ(vocabulary->BytesOf(32), " ");
  ASSERT_NE(vocabulary->FindMerge('a', 'b'), nullptr);
  EXPECT_EQ(vocabulary->FindMerge('a', 'b')->token, 257);
  EXPECT_EQ(vocabulary->FindMerge(257, 'c')->rank, 1);
  EXPECT_EQ(vocabulary->FindMerge('b', 'a'), nullptr);
}

TEST(VocabularyTest, IdsWithoutATokenHaveNoBytes) {
  const absl::StatusOr<Vocabulary> vocabulary = Parse(SmallVocab().dump(), "");
  ASSERT_TRUE(vocabulary.ok()) << vocabulary.status();
  for (const int32_t id : {-1, 258, 299, 301, 0x7FFFFFFF}) {
    EXPECT_EQ(vocabulary->BytesOf(id), "") << id;
  }
}

TEST(VocabularyTest, AFirstMergeMayBeginWithASharp) {
  nlohmann::json vocab = SmallVocab();
  vocab["##"] = 258;
  EXPECT_NE(Parse(vocab.dump(), "# #\n")->FindMerge('#', '#'), nullptr);
}

TEST(VocabularyTest, MissingFilesAreNamed) {
  const auto error = [](const std::string& vocab, const std::string& merges) {
    return std::string(Vocabulary::Load(vocab, merges).status().message());
  };
  const std::string vocab = DEJAVU_SOURCE_DIR "/tests/models/opt-demo-7m/vocab.json";
  EXPECT_THAT(error("/no/such/vocab.json", "/no/such/merges.txt"), HasSubstr("/no/such/vocab.json"));
  EXPECT_THAT(error(vocab, "/no/such/merges.txt"), HasSubstr("/no/such/merges.txt"));
}

TEST(VocabularyTest, RefusesWhatIsNotAVocabulary) {
  EXPECT_THAT(VocabError(""), HasSubstr("not valid JSON"));
  EXPECT_THAT(VocabError("{\"a\": 1"), HasSubstr("not valid JSON"));
  EXPECT_THAT(VocabError("{\"\xFF\": 1}"), HasSubstr("not valid JSON"));
  EXPECT_THAT(VocabError("[]"), HasSubstr("must be a JSON object"));
  EXPECT_THAT(VocabError("7"), HasSubstr("must be a JSON object"));
  EXPECT_THAT(VocabError(R"({"a": "1"})"), HasSubstr("token 'a' has a string"));
  EXPECT_THAT(VocabError(R"({"a": {"b": 1}})"), HasSubstr("token 'a' has an object"));
  EXPECT_THAT(VocabError(R"({"a": [1]})"), HasSubstr("an array"));
  EXPECT_THAT(VocabError(R"({"a": -1})"), HasSubstr("token 'a' has -1"));
  EXPECT_THAT(VocabError(R"({"a": 1.5})"), HasSubstr("1.5"));
  EXPECT_THAT(VocabError(R"({"a": 4194304})"), HasSubstr("4194304"));
  EXPECT_THAT(VocabError(R"({"a": 99999999999999999999})"), HasSubstr("token 'a'"));
  EXPECT_THAT(VocabError(R"({"a": null})"), HasSubstr("null"));
  EXPECT_THAT(VocabError(R"({"a": true})"), HasSubstr("a boolean"));
}

TEST(VocabularyTest, RefusesDuplicates) {
  EXPECT_THAT(VocabError(R"({"a": 1, "a": 2})"), HasSubstr("token 'a' appears twice"));
  EXPECT_THAT(VocabError(R"({"a": 1, "b": 1})"), HasSubstr("tokens 'a' and 'b' have the same id 1"));
  EXPECT_THAT(VocabError(R"({"": 1, "b": 1})"), HasSubstr("tokens '' and 'b'"));
}

TEST(VocabularyTest, NamesAMissingByte) {
  nlohmann::json vocab = SmallVocab();
  vocab.erase("\u0120");
  EXPECT_THAT(VocabError(vocab.dump()), AllOf(HasSubstr("token '\u0120'"), HasSubstr("byte 32")));
  EXPECT_THAT(VocabError("{}"), HasSubstr("byte 0"));
}

TEST(VocabularyTest, RefusesMalformedMerges) {
  for (const char* line : {"a", "a b c", " b", "a ", "a  b", " "}) {
    EXPECT_THAT(MergesError(std::string("#version: 0.2\na b\n") + line + "\n"),
                AllOf(HasSubstr("d/merges.txt:3: "), HasSubstr("two tokens")))
        << line;
  }
  EXPECT_THAT(MergesError("a b\n#version: 0.2 x\n"), HasSubstr("d/merges.txt:2: "));
}

TEST(VocabularyTest, RefusesMergesOfUnknownTokens) {
  EXPECT_THAT(MergesError("xy b"), AllOf(HasSubstr("d/merges.txt:1: "), HasSubstr("names the token 'xy'")));
  EXPECT_THAT(MergesError("a xy"), AllOf(HasSubstr("names the token 'xy'"), HasSubstr("d/vocab.json")));
  EXPECT_THAT(MergesError("a b\nb c"), AllOf(HasSubstr("d/merges.txt:2: "), HasSubstr("makes the token 'bc'")));
}

TEST(VocabularyTest, RefusesRepeatedMerges) {
  EXPECT_THAT(MergesError("a b\nab c\na b"), AllOf(HasSubstr("d/merges.txt:3: "), HasSubstr("'a b' appears twice")));
}

}  // namespace
}  // namespace dejavu
