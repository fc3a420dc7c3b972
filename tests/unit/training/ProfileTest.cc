#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/str_replace.h"
#include "ir/base/FileUtil.h"
#include "passes/sparsity/Lookahead.h"
#include "passes/sparsity/Profile.h"

namespace dejavu {
namespace {

using testing::HasSubstr;

Profile Example() {
  Profile profile;
  profile.model_hash = "0123456789abcdef";
  profile.tokenizer_hash = "00000000000000aa";
  profile.text_hash = "00000000000000bb";
  profile.tokens = 4096;
  profile.rows = 4096;
  profile.held_out = 512;
  ProfileLayer layer;
  layer.density = 0.04;
  layer.mass_curve = {0.25, 1};
  layer.mlp = ProfilePredictor{.rank = 64, .points = {{0.99, -1.5, 0.1, 0.9}, {0.999, -2.5, 0.2, 0.95}}};
  ProfileLayer with_heads;
  with_heads.heads = ProfilePredictor{.rank = 12, .points = {{0.8, 1.5, 0.7, 0.9}, {0.9, 0.5, 0.85, 0.97}}};
  layer.oracle = ProfilePredictor{.rank = 256, .points = {{0.99, 0.5, 0.03, 0.75}, {0.999, 0.125, 0.035, 0.95}}};
  profile.matrix_bits = 16;
  profile.layers = {layer, ProfileLayer{}, with_heads};
  return profile;
}

class ProfileFile : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = absl::StrCat(testing::TempDir(), "/profile-", getpid());
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  absl::StatusOr<Profile> ReadText(const std::string& text) {
    EXPECT_TRUE(WriteFileAtomically(folder_ + "/profile.json", text).ok());
    return ReadProfile(folder_);
  }

  std::string folder_;
};

TEST_F(ProfileFile, ComesBackAsItWasWritten) {
  const auto profile = ReadText(PrintProfile(Example()));
  ASSERT_TRUE(profile.ok()) << profile.status();
  EXPECT_EQ(PrintProfile(*profile), PrintProfile(Example()));
  EXPECT_EQ(profile->layers[0].mlp->points[1].threshold, -2.5);
  EXPECT_EQ(profile->layers[0].oracle->points[0].threshold, 0.5);
  EXPECT_EQ(profile->matrix_bits, 16);
  EXPECT_FALSE(profile->layers[1].mlp.has_value());
  EXPECT_FALSE(profile->layers[1].oracle.has_value());
  EXPECT_FALSE(profile->layers[1].heads.has_value());
  ASSERT_TRUE(profile->layers[2].heads.has_value());
  EXPECT_EQ(profile->layers[2].heads->points[0].mass, 0.8);
}

TEST_F(ProfileFile, MayLackWhatEarlierVersionsDidNotWrite) {
  const std::string text = absl::StrReplaceAll(PrintProfile(Example()),
                                               {{"\"matrix_bits\": 16,", ""}, {"\"oracle\"", "\"something_else\""}});
  const auto profile = ReadText(text);
  ASSERT_TRUE(profile.ok()) << profile.status();
  EXPECT_EQ(profile->matrix_bits, 4);
  EXPECT_TRUE(profile->layers[0].mlp.has_value());
  EXPECT_FALSE(profile->layers[0].oracle.has_value());
}

TEST(Lookahead, GoesBackByLayersButNotBeforeTheFirst) {
  EXPECT_EQ(NeuronsFrom(5, 0), std::nullopt);
  EXPECT_EQ(NeuronsFrom(5, 1), 5);
  EXPECT_EQ(NeuronsFrom(5, 2), 4);
  EXPECT_EQ(NeuronsFrom(1, 3), 0);
  EXPECT_EQ(NeuronsFrom(0, kMaxLookahead), 0);
  EXPECT_EQ(HeadsFrom(0, 0), 0);
  EXPECT_EQ(HeadsFrom(5, 0), 5);
  EXPECT_EQ(HeadsFrom(5, 1), 4);
  EXPECT_EQ(HeadsFrom(5, 2), 3);
  EXPECT_EQ(HeadsFrom(1, 3), 0);
  EXPECT_EQ(HeadsFrom(0, 1), std::nullopt);
}

TEST_F(ProfileFile, EveryFaultNamesTheFileAndTheField) {
  struct Fault {
    std::string from;
    std::string to;
    std::string message;
  };
  const std::string text = PrintProfile(Example());
  for (const Fault& fault : {Fault{"\"format\": 1", "\"format\": 2", "has profile format 2"},
                             Fault{"0123456789abcdef", "xyz", "field 'model_hash' must be a hash"},
                             Fault{"\"rank\": 64", "\"rank\": 0", "field 'layers[0].mlp.rank' must be an integer"},
                             Fault{"\"rank\": 64", "\"rank\": 1e99", "field 'layers[0].mlp.rank'"},
                             Fault{"\"kept\": 0.2", "\"kept\": 7", "field 'layers[0].mlp.points[1].kept'"},
                             Fault{"\"mass\": 0.999", "\"mass\": 0.5", "points[1].mass' must rise"},
                             Fault{"\"share\": 0.8", "\"share\": 2", "field 'layers[2].heads.points[0].share'"},
                             Fault{"\"share\": 0.9", "\"share\": 0.3", "points[1].share' must rise"},
                             Fault{"\"lookahead\": 1", "\"lookahead\": -1", "field 'lookahead'"},
                             Fault{"\"lookahead\": 1", "\"lookahead\": 129", "field 'lookahead'"},
                             Fault{"\"matrix_bits\": 16", "\"matrix_bits\": 5", "'matrix_bits' must be 4, 8 or 16"},
                             Fault{"\"kept\": 0.035", "\"kept\": -1", "field 'layers[0].oracle.points[1].kept'"},
                             Fault{"\"layers\"", "\"layer\"", "field 'layers' is missing"},
                             Fault{"\"density\": 0.04", "\"density\": \"much\"", "field 'layers[0].density'"},
                             Fault{"0.25,", "[],", "mass_curve"}}) {
    const std::string damaged = absl::StrReplaceAll(text, {{fault.from, fault.to}});
    ASSERT_NE(damaged, text) << fault.from;
    const absl::Status status = ReadText(damaged).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << fault.to;
    EXPECT_THAT(status.message(), HasSubstr(fault.message));
    EXPECT_THAT(status.message(), HasSubstr("profile.json"));
  }
}

TEST_F(ProfileFile, TruncatedAndMissingFilesAreUserErrors) {
  const std::string text = PrintProfile(Example());
  for (size_t length = 0; length + 3 < text.size(); length += 7) {
    EXPECT_TRUE(absl::IsInvalidArgument(ReadText(text.substr(0, length)).status())) << length;
  }
  std::filesystem::remove(folder_ + "/profile.json");
  EXPECT_THAT(ReadProfile(folder_).status().message(), HasSubstr("a directory that dejavu-profile wrote"));
}

}  // namespace
}  // namespace dejavu
