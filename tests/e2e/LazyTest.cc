// Heads that get their keys and values when they wake: whatever the pattern of heads, logits are those of a cache that
// has all keys and values, to the model's last position. Here each token says by itself which heads it wakes.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "codegen/cpu/CpuTarget.h"
#include "ir/base/Safetensors.h"
#include "ir/core/Builder.h"
#include "ir/import/OnnxReader.h"
#include "ir/ops/SparseOps.h"
#include "passes/Pipelines.h"
#include "passes/manager/Equivalence.h"
#include "passes/manager/PassManager.h"
#include "runtime/engine/Session.h"
#include "tests/e2e/Compiled.h"
#include "tests/e2e/InterpretedDecoder.h"
#include "tools/driver/Compile.h"

namespace dejavu {
namespace {

constexpr int32_t kVocab = 8192;
constexpr int32_t kHeads = 8;
constexpr size_t kPositions = 1024;

/// Tokens by what they wake: some of the heads, all, the first one, one that depends on the token, none.
constexpr int32_t kSome = 0;
constexpr int32_t kAll = 4096;
constexpr int32_t kFirst = 5120;
constexpr int32_t kOne = 6144;
constexpr int32_t kNone = 7168;

bool Wakes(int32_t token, int32_t head) {
  if (token < kAll) {
    return (static_cast<uint32_t>(token * kHeads + head) * 2654435761U >> 8U) % 100 < 42;
  }
  return token < kFirst ? true : token < kOne ? head == 0 : token < kNone ? token % kHeads == head : false;
}

/// A table of scores, f32<vocab, heads>, in a file of its own.
absl::Status WritePattern(const std::string& path) {
  std::vector<float> scores;
  for (int32_t token = 0; token < kVocab; ++token) {
    for (int32_t head = 0; head < kHeads; ++head) {
      scores.push_back(Wakes(token, head) ? 1.0F : -1.0F);
    }
  }
  ASSIGN_OR_RETURN(SafetensorsWriter writer,
                   SafetensorsWriter::Create(path, {{"pattern", DType::kF32, {kVocab, kHeads}}}));
  RETURN_IF_ERROR(writer.Append(std::as_bytes(std::span(scores))));
  return writer.Finish().status();
}

absl::Status Run(Module& module, WeightStore& store, const std::string& text) {
  ASSIGN_OR_RETURN(const Pipeline pipeline, ParsePipeline(text));
  std::ostringstream log;
  return RunPipeline(module, store, pipeline, {}, log);
}

/// opt-demo-7m, whose layers all take their heads from the table.
absl::StatusOr<std::unique_ptr<Module>> MakeModule(const std::string& kv, WeightStore& store) {
  const std::string file = absl::StrCat(testing::TempDir(), "/lazy-pattern-", getpid(), ".safetensors");
  RETURN_IF_ERROR(WritePattern(file));
  ASSIGN_OR_RETURN(std::unique_ptr<Module> module,
                   ReadOnnx(DEJAVU_SOURCE_DIR "/tests/models/opt-demo-7m/model.onnx", &store));
  ASSIGN_OR_RETURN(const std::string text, PipelineBetween(*module, "sparse", "none"));
  RETURN_IF_ERROR(Run(*module, store, text));
  Weight table;
  table.name = "pattern";
  table.tensor = "pattern";
  table.file = file;
  table.type = {DType::kF32, {int64_t{kVocab}, int64_t{kHeads}}};
  Value* pattern = module->AddWeight(std::move(table))->value;
  Function* decode = module->FindFunction("decode");
  Operation* first = decode->ops().front().get();
  Builder builder(decode, first);
  ASSIGN_OR_RETURN(const Operation* scores,
                   builder.TryCreate(kEmbedTokens, {decode->FindArgument("tokens"), pattern}, {}, *first));
  for (int64_t layer = 0; layer < module->IntAttribute("layers"); ++layer) {
    builder.CreateTyped(kSelect, {scores->result()}, {{"layer", layer}}, {{DType::kIndex, {"heads"}}},
                        first->location());
  }
  RETURN_IF_ERROR(Run(*module, store, absl::StrCat("sparsify-attention{kv=", kv, "},schedule")));
  return module;
}

class Lazy : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    store_ = new WeightStore;
    for (const char* kv : {"dense", "lazy"}) {
      auto module = MakeModule(kv, *store_);
      ASSERT_TRUE(module.ok()) << module.status();
      auto session = LoadSession(**module, *store_, {.threads = 1});
      ASSERT_TRUE(session.ok()) << session.status();
      (kv == std::string("lazy") ? lazy_ : dense_) = session->release();
      delete module_;
      module_ = module->release();  // the lazy one, in the end
    }
  }
  static void TearDownTestSuite() {
    delete lazy_;
    delete dense_;
    delete module_;
    delete store_;
  }

  void SetUp() override {
    ASSERT_NE(lazy_, nullptr);
    lazy_->Reset();
    dense_->Reset();
  }

  /// Decodes a token with both caches.
  static void Step(int32_t token) {
    const auto expected = dense_->Decode(token);
    ASSERT_TRUE(expected.ok()) << expected.status();
    const auto actual = lazy_->Decode(token);
    ASSERT_TRUE(actual.ok()) << actual.status();
    const std::vector<double> logits(expected->begin(), expected->end());
    EXPECT_LT(RelativeError(*actual, logits.data()), 1e-5) << "token " << token << " at " << lazy_->position() - 1;
  }
  static void Steps(const std::vector<int32_t>& tokens) {
    for (const int32_t token : tokens) {
      Step(token);
      if (HasFailure()) {
        return;
      }
    }
  }

  static inline WeightStore* store_ = nullptr;
  static inline Module* module_ = nullptr;
  static inline Session* dense_ = nullptr;
  static inline Session* lazy_ = nullptr;
};

std::vector<int32_t> RandomTokens(size_t count, int32_t begin, int32_t end, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<int32_t> tokens(count);
  for (int32_t& token : tokens) {
    token = begin + static_cast<int32_t>(random() % static_cast<uint64_t>(end - begin));
  }
  return tokens;
}

TEST_F(Lazy, AgreesWithTheInterpreter) {
  InterpretedDecoder interpreter(*module_, *store_);
  std::vector<int32_t> tokens = RandomTokens(16, kSome, kVocab, 1);
  tokens.push_back(kAll);
  for (const int32_t token : tokens) {
    const auto expected = interpreter.Decode(token);
    ASSERT_TRUE(expected.ok()) << expected.status();
    const auto actual = lazy_->Decode(token);
    ASSERT_TRUE(actual.ok()) << actual.status();
    EXPECT_LT(RelativeError(*actual, expected->data()), 1e-5) << "token " << token;
  }
  EXPECT_GT(interpreter.lists().size(), 8U);
}

TEST_F(Lazy, RandomListToTheLastPosition) { Steps(RandomTokens(kPositions, kSome, kAll, 2)); }

TEST_F(Lazy, EveryPatternMixed) { Steps(RandomTokens(300, kSome, kVocab, 3)); }

TEST_F(Lazy, AsleepUntilTheLastPosition) {
  for (const int32_t sleepers : {kFirst, kNone}) {
    lazy_->Reset();
    dense_->Reset();
    Steps(RandomTokens(kPositions - 1, sleepers, sleepers + 1024, 4));
    Step(kAll);
  }
}

TEST_F(Lazy, AwakeAtEveryToken) { Steps(RandomTokens(200, kAll, kFirst, 5)); }

TEST_F(Lazy, OneHeadAtATime) { Steps(RandomTokens(200, kOne, kNone, 6)); }

// A new sequence must not find what the last one's heads knew, nor heads that slept since a prompt what was decoded.
TEST_F(Lazy, PromptsAndNewSequences) {
  for (const uint64_t seed : {7, 8, 9}) {
    lazy_->Reset();
    dense_->Reset();
    // In pieces, longer than one call takes.
    for (const size_t piece : {200, 40}) {
      const std::vector<int32_t> prompt = RandomTokens(piece, 0, kVocab, seed + piece);
      for (Session* session : {lazy_, dense_}) {
        ASSERT_TRUE(session->Prefill(prompt).ok());
      }
    }
    Steps(RandomTokens(30 * seed, kSome, kVocab, seed));
    // Behind decoded tokens a prompt is decoded too.
    const std::vector<int32_t> more = RandomTokens(20, 0, kVocab, seed);
    const auto actual = lazy_->Prefill(more);
    ASSERT_TRUE(actual.ok()) << actual.status();
    std::vector<double> expected;
    for (const int32_t token : more) {
      const auto logits = dense_->Decode(token);
      ASSERT_TRUE(logits.ok()) << logits.status();
      expected.assign(logits->begin(), logits->end());
    }
    EXPECT_LT(RelativeError(*actual, expected.data()), 1e-5);
    Step(kAll);
  }
}

}  // namespace
}  // namespace dejavu
