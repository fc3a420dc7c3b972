// From a text to a model with trained predictors: recorded, trained, compiled and run by the shipped code.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>

#include "codegen/cpu/CpuTarget.h"
#include "passes/Pipelines.h"
#include "passes/manager/PassManager.h"
#include "tests/e2e/Compiled.h"
#include "tools/driver/Compile.h"
#include "tools/driver/Evaluate.h"
#include "tools/driver/ModelInput.h"
#include "tools/driver/Profile.h"

namespace dejavu {
namespace {

namespace fs = std::filesystem;

/// The project's documents, as in tools/demo.
std::string Documents() {
  std::string text;
  for (const char* name : {"README.md", "codegen/README.md", "runtime/README.md", "passes/README.md", "ir/README.md"}) {
    std::ifstream file(absl::StrCat(DEJAVU_SOURCE_DIR, "/", name));
    std::stringstream content;
    content << file.rdbuf();
    text += content.str() + "\n\x1e\n";
  }
  return text;
}

class ProfiledModel : public testing::TestWithParam<int64_t> {
 protected:
  static void SetUpTestSuite() {
    folder_ = absl::StrCat(testing::TempDir(), "/profiled-", getpid());
    fs::create_directories(folder_);
    std::ofstream(folder_ + "/text.txt") << Documents();
  }
  static void TearDownTestSuite() { fs::remove_all(folder_); }

  void SetUp() override {
    options_ = {.model = kDemo + "/model.onnx",
                .output = absl::StrCat(folder_, "/profile-", GetParam()),
                .text = folder_ + "/text.txt",
                .tokenizer = kDemo,
                .max_tokens = 4096,
                .lookahead = GetParam(),
                .device = {.threads = 1}};
  }

  /// The profile of this lookahead, which the first test of this process that asks trains.
  absl::StatusOr<Profile> Trained() const {
    std::optional<Profile>& profile = profiles_[GetParam()];
    if (!profile) {
      ASSIGN_OR_RETURN(profile, MakeProfile(options_));
    }
    return *profile;
  }

  /// The demo model with the profile's predictors, or dense without `budgets`.
  absl::StatusOr<std::shared_ptr<const Model>> Compile(std::optional<Budgets> budgets) {
    WeightStore store;
    ASSIGN_OR_RETURN(const std::unique_ptr<Module> module, ReadModel(options_.model, &store));
    const std::string preset = budgets ? "predicted" : "none";
    if (budgets) {
      budgets->profile = options_.output;
    }
    ASSIGN_OR_RETURN(const std::string text, PipelineBetween(*module, "sched", preset, budgets.value_or(Budgets())));
    ASSIGN_OR_RETURN(const Pipeline pipeline, ParsePipeline(text));
    std::ostringstream log;
    RETURN_IF_ERROR(RunPipeline(*module, store, pipeline, {}, log));
    ArtifactOptions artifact;
    artifact.path = absl::StrCat(folder_, "/", artifacts_++, ".dejavu");
    artifact.tokenizer = kDemo;
    ASSIGN_OR_RETURN(artifact.targets, ParseTargets(absl::StrCat("cpu:", std::string((*HostCpuTarget())->name))));
    RETURN_IF_ERROR(WriteArtifact(*module, store, artifact));
    return Model::Load(artifact.path, {});
  }

  static std::string folder_;
  static std::map<int64_t, std::optional<Profile>> profiles_;
  static int artifacts_;
  ProfileOptions options_;
};

std::string ProfiledModel::folder_;
std::map<int64_t, std::optional<Profile>> ProfiledModel::profiles_;
int ProfiledModel::artifacts_ = 0;

TEST_P(ProfiledModel, KeepsTheMassItWasAskedFor) {
  const auto profile = Trained();
  ASSERT_TRUE(profile.ok()) << profile.status();
  ASSERT_EQ(profile->layers.size(), 6U);
  const auto dense = Compile(std::nullopt);
  ASSERT_TRUE(dense.ok()) << dense.status();
  const auto tokenizer = Tokenizer::Load(kDemo);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const auto ids = EncodeDocuments(*tokenizer, Documents());
  ASSERT_TRUE(ids.ok()) << ids.status();
  double last = 1e9;
  for (const double mass : {0.9, 0.9999}) {
    const auto sparse = Compile(Budgets{.mass = mass});
    ASSERT_TRUE(sparse.ok()) << sparse.status();
    const auto result = Evaluate(*sparse, *dense, *ids, {.max_tokens = 1024, .threads = 1});
    ASSERT_TRUE(result.ok()) << result.status();
    // More mass is closer to the dense model, and nearly all of it is nearly the dense model.
    EXPECT_LT(result->against->kl_mean, last) << mass;
    last = result->against->kl_mean;
    for (size_t layer = 0; layer < result->mlp_density.size(); ++layer) {
      // As many neurons as on the rows that thresholds were found on, or the layer is dense.
      ASSERT_TRUE(profile->layers[layer].mlp.has_value());
      for (const ProfilePoint& point : profile->layers[layer].mlp->points) {
        const double density = result->mlp_density[layer];
        EXPECT_TRUE(point.mass != mass || density == 1 || std::abs(density - point.kept) < 0.15)
            << "layer " << layer << " computes " << density << ", expected " << point.kept;
      }
    }
  }
  EXPECT_LT(last, 0.03);
}

TEST_P(ProfiledModel, ChoosesTheShareOfHeadsItWasAskedFor) {
  const auto profile = Trained();
  ASSERT_TRUE(profile.ok()) << profile.status();
  const auto dense = Compile(std::nullopt);
  ASSERT_TRUE(dense.ok()) << dense.status();
  const auto tokenizer = Tokenizer::Load(kDemo);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const auto ids = EncodeDocuments(*tokenizer, Documents());
  ASSERT_TRUE(ids.ok()) << ids.status();
  double last = 0;
  for (const double share : {0.95, 0.8, 0.3}) {
    const auto sparse = Compile(Budgets{.mass = 1, .head_share = share});  // neurons stay dense
    ASSERT_TRUE(sparse.ok()) << sparse.status();
    const auto result = Evaluate(*sparse, *dense, *ids, {.max_tokens = 1024, .threads = 1});
    ASSERT_TRUE(result.ok()) << result.status();
    // Fewer heads are further from the dense model.
    EXPECT_GT(result->against->kl_mean, last) << share;
    last = result->against->kl_mean;
    EXPECT_TRUE(share < 0.9 || last < 0.1) << last;
    double density = 0;
    for (size_t layer = 0; layer < result->head_density.size(); ++layer) {
      density += result->head_density[layer] / static_cast<double>(result->head_density.size());
      EXPECT_EQ(result->mlp_density[layer], 1) << layer;
      ASSERT_EQ(profile->layers[layer].heads.has_value(), layer > 0 || GetParam() == 0);
    }
    EXPECT_TRUE(GetParam() == 0 || result->head_density[0] == 1);
    EXPECT_NEAR(density, share, 0.1);
  }
}

INSTANTIATE_TEST_SUITE_P(Lookahead, ProfiledModel, testing::Values(0, 1, 2));

}  // namespace
}  // namespace dejavu
