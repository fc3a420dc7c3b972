// The sequences of the in-context-learning probe: each answer follows from what stands before it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "tools/driver/IclTasks.h"

namespace dejavu {
namespace {

ModelInfo Shape(int64_t vocab, int64_t positions) {
  ModelInfo model;
  model.vocab = vocab;
  model.positions = positions;
  model.bos = 2;
  model.eos = 2;
  return model;
}

std::vector<IclTask> Tasks(int64_t vocab = 8192, int64_t positions = 1024, uint64_t seed = 1) {
  auto tasks = MakeIclTasks(Shape(vocab, positions), seed, 3);
  EXPECT_TRUE(tasks.ok()) << tasks.status();
  return tasks.ok() ? *std::move(tasks) : std::vector<IclTask>();
}

/// Where `token` stands in `tokens` before `end`; the last place.
int64_t Before(const std::vector<int32_t>& tokens, int32_t token, int64_t end) {
  while (--end >= 0 && tokens[static_cast<size_t>(end)] != token) {
  }
  return end;
}

TEST(IclTasks, StartWithTheModelsFirstTokenAndUseCommonIds) {
  for (const IclTask& task : Tasks()) {
    ASSERT_EQ(task.sequences.size(), 3U);
    for (const IclSequence& sequence : task.sequences) {
      EXPECT_EQ(sequence.tokens[0], 2);
      EXPECT_LE(sequence.tokens.size(), 1024U);
      for (size_t i = 1; i < sequence.tokens.size(); ++i) {
        EXPECT_TRUE(sequence.tokens[i] >= 260 && sequence.tokens[i] < 2048) << task.name;
      }
      for (const IclAnswer& answer : sequence.answers) {
        EXPECT_GE(Before(sequence.tokens, sequence.tokens[static_cast<size_t>(answer.at)], answer.at), 0) << task.name;
      }
    }
  }
}

TEST(IclTasks, RepeatTheFirstHalf) {
  const IclTask task = Tasks()[0];
  ASSERT_EQ(task.name, "repeat");
  const IclSequence& sequence = task.sequences[0];
  ASSERT_EQ(sequence.tokens.size(), 129U);
  EXPECT_TRUE(std::equal(sequence.tokens.begin() + 1, sequence.tokens.begin() + 65, sequence.tokens.begin() + 65));
  EXPECT_EQ(std::set<int32_t>(sequence.tokens.begin(), sequence.tokens.end()).size(), 65U);
  ASSERT_EQ(sequence.answers.size(), 63U) << "the first id of the second half cannot be known";
  EXPECT_EQ(sequence.answers.front().at, 66);
  EXPECT_EQ(sequence.answers.back().at, 128);
}

TEST(IclTasks, CopyWhatStandsBeforeTheMark) {
  const IclTask task = Tasks()[1];
  ASSERT_EQ(task.name, "copy");
  const IclSequence& sequence = task.sequences[1];
  ASSERT_EQ(sequence.tokens.size(), 1U + 17 * 10);
  ASSERT_EQ(sequence.answers.size(), 17U * 4);
  for (size_t i = 0; i < sequence.answers.size(); ++i) {
    const IclAnswer& answer = sequence.answers[i];
    EXPECT_EQ(answer.shots, static_cast<int64_t>(i) / 4);
    EXPECT_EQ(Before(sequence.tokens, sequence.tokens[static_cast<size_t>(answer.at)], answer.at), answer.at - 5);
  }
}

TEST(IclTasks, LookUpKeysAndValues) {
  const std::vector<IclTask> tasks = Tasks();
  for (const auto& [number, step] : {std::pair(2, 1), std::pair(3, -1)}) {
    const IclSequence& sequence = tasks[static_cast<size_t>(number)].sequences[2];
    ASSERT_EQ(sequence.tokens.size(), 1U + 17 * 12);
    ASSERT_EQ(sequence.answers.size(), 17U);
    std::set<int64_t> places;
    for (const IclAnswer& answer : sequence.answers) {
      const int32_t asked = sequence.tokens[static_cast<size_t>(answer.at - 1)];
      const int64_t pair = Before(sequence.tokens, asked, answer.at - 1);
      EXPECT_EQ(sequence.tokens[static_cast<size_t>(pair + step)], sequence.tokens[static_cast<size_t>(answer.at)]);
      places.insert(answer.at - pair);
    }
    EXPECT_EQ(places.size(), 4U) << "each of the four pairs is asked for";
  }
}

TEST(IclTasks, DependOnTheSeedAlone) {
  const auto first = Tasks(8192, 1024, 7);
  const auto again = Tasks(8192, 1024, 7);
  const auto other = Tasks(8192, 1024, 8);
  for (size_t i = 0; i < first.size(); ++i) {
    for (size_t j = 0; j < 3; ++j) {
      EXPECT_EQ(first[i].sequences[j].tokens, again[i].sequences[j].tokens);
      EXPECT_NE(first[i].sequences[j].tokens, other[i].sequences[j].tokens);
    }
    EXPECT_NE(first[i].sequences[0].tokens, first[i].sequences[1].tokens);
  }
  // Fixed for ever, so that figures can be compared.
  EXPECT_THAT(std::vector<int32_t>(first[0].sequences[0].tokens.begin(), first[0].sequences[0].tokens.begin() + 5),
              testing::ElementsAre(2, 1777, 700, 1677, 870));
}

TEST(IclTasks, AreCutToTheModel) {
  for (const IclTask& task : Tasks(2000, 64)) {
    for (const IclSequence& sequence : task.sequences) {
      EXPECT_LE(sequence.tokens.size(), 64U) << task.name;
      EXPECT_GE(sequence.answers.size(), 5U - (task.name == "copy" ? 0 : 1)) << task.name;
    }
  }
  EXPECT_THAT(std::string(MakeIclTasks(Shape(8192, 16), 1, 3).status().message()),
              testing::HasSubstr("--icl needs a model of at least 37 positions"));
  EXPECT_THAT(std::string(MakeIclTasks(Shape(100, 1024), 1, 3).status().message()),
              testing::HasSubstr("144 token ids"));
}

}  // namespace
}  // namespace dejavu
