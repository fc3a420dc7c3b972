// The runtime on a GPU that works, as far as a fake driver can show it.
#include <algorithm>

#include "runtime/artifact/ArtifactReader.h"
#include "runtime/cuda/CudaObjects.h"
#include "runtime/cuda/LaunchOrder.h"
#include "runtime/cuda/WeightUpload.h"
#include "tests/unit/cuda/CudaFixture.h"
#include "tests/unit/runtime/ToyModel.h"

namespace dejavu::cuda {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatNear;
using ::testing::Pointwise;

class CudaSessionTest : public CudaFixture {
 protected:
  const toy::ToyWeights weights_ = toy::MakeWeights(1);

  std::vector<float> Reference(size_t count) const { return toy::Reference(weights_, std::span(kTokens).first(count)); }
};

TEST_F(CudaSessionTest, DecodeAgreesWithTheReference) {
  const auto model = WriteAndLoad();
  EXPECT_EQ(model->isa(), "sm_90");
  EXPECT_EQ(model->device().DeviceName(2), "Fake GPU");
  const auto session = NewSession(model);
  for (size_t i = 0; i < kTokens.size(); ++i) {
    EXPECT_THAT(Copy(session->Decode(kTokens[i])), Pointwise(FloatNear(1e-4F), Reference(i + 1)));
  }
  EXPECT_EQ(session->position(), 13);
}

TEST_F(CudaSessionTest, PrefillDecodesTokenByToken) {
  const auto session = NewSession(WriteAndLoad());
  EXPECT_THAT(Copy(session->Prefill(kTokens)), Pointwise(FloatNear(1e-4F), Reference(kTokens.size())));
  EXPECT_EQ(Fake().calls_of["cuMemcpyDtoHAsync_v2"], 1) << "only the last token's logits come back";
}

TEST_F(CudaSessionTest, AdvanceLeavesTheLogitsOnTheDevice) {
  const auto session = NewSession(WriteAndLoad());
  ASSERT_TRUE(session->Advance(kTokens[0]).ok());
  ASSERT_TRUE(session->Advance(kTokens[1]).ok());
  EXPECT_EQ(Fake().calls_of["cuMemcpyDtoHAsync_v2"], 0);
  EXPECT_THAT(Copy(session->Decode(kTokens[2])), Pointwise(FloatNear(1e-4F), Reference(3)));
}

TEST_F(CudaSessionTest, ResetForgetsTheTokens) {
  const auto session = NewSession(WriteAndLoad());
  ASSERT_TRUE(session->Prefill(kTokens).ok());
  session->Reset();
  EXPECT_THAT(Copy(session->Decode(kTokens[0])), Pointwise(FloatNear(1e-4F), Reference(1)));
}

TEST_F(CudaSessionTest, SessionsShareTheWeightsAndOutliveTheirModel) {
  auto model = WriteAndLoad();
  const int64_t loaded = Fake().live["device memory"];
  const auto first = NewSession(model);
  const auto second = NewSession(model);
  model.reset();
  EXPECT_EQ(Fake().live["device memory"], loaded + 2) << "one allocation for each session";
  ASSERT_TRUE(first->Decode(9).ok());
  EXPECT_THAT(Copy(second->Prefill(kTokens)), Pointwise(FloatNear(1e-4F), Reference(kTokens.size())));
}

TEST_F(CudaSessionTest, OneGraphServesEveryToken) {
  const auto session = NewSession(WriteAndLoad());
  ASSERT_TRUE(session->Prefill(kTokens).ok());
  ASSERT_EQ(Fake().graphs.size(), 1);
  const fake::GraphInfo& graph = Fake().graphs[0];
  EXPECT_EQ(graph.launches, 13);
  EXPECT_EQ(Fake().calls_of["cuLaunchKernel"], 0);
  EXPECT_EQ(Fake().calls_of["cuMemcpyHtoDAsync_v2"], 1) << "the weights; a token's input is in the graph";
  ASSERT_EQ(graph.nodes.size(), 9);
  EXPECT_EQ(graph.nodes[0].kind, fake::NodeKind::kCopy);
  EXPECT_EQ(graph.nodes[1].symbol, "cuda_toy_embed");
  EXPECT_EQ(graph.nodes[1].blocks, 6) << "two for each multiprocessor";
  EXPECT_EQ(graph.nodes[1].threads, 64);
  EXPECT_EQ(graph.nodes[7].blocks, 8) << "exactly as the plan says";
  EXPECT_EQ(graph.nodes[7].shared_bytes, 64 * 1024);
  EXPECT_EQ(Fake().calls_of["cuFuncSetAttribute"], 8 + 1 + 1)
      << "once for each kernel of the plan and for advance, and for the one with more shared memory than is given "
         "freely";
}

std::vector<bool> Programmatic(const fake::GraphInfo& graph) {
  std::vector<bool> result;
  for (const fake::EdgeInfo& edge : graph.edges) {
    EXPECT_EQ(edge.to, edge.from + 1);
    result.push_back(edge.programmatic);
  }
  return result;
}

TEST_F(CudaSessionTest, KernelsStartEarlyWhereBothCan) {
  const auto session = NewSession(WriteAndLoad());
  // copy, embed, mix (not early), test, compact, fc1, fc2, head, argmax
  EXPECT_THAT(Programmatic(Fake().graphs.back()), ElementsAre(false, false, false, true, true, true, true, true));
}

TEST_F(CudaSessionTest, NothingStartsEarlyOnADeviceThatCannot) {
  Fake().major = 8;
  Fake().minor = 6;
  const auto model = WriteAndLoad();
  EXPECT_EQ(model->isa(), "sm_80");
  const auto session = NewSession(model);
  EXPECT_THAT(Programmatic(Fake().graphs.back()), ::testing::Each(false));
}

TEST_F(CudaSessionTest, StreamsAndWaitsKeepTheOrder) {
  Plan plan = toy::MakeCudaPlan();
  std::vector<Launch>& launches = plan.functions["decode"].launches;
  launches[2].stream = 1;  // test, as soon as mix has ended
  launches[2].waits = {1};
  launches[3].stream = 1;  // compact
  launches[4].waits = {3};
  const auto session = NewSession(WriteAndLoad(plan));
  // The fake runs what is ready in any order.
  for (int round = 0; round < 20; ++round) {
    session->Reset();
    EXPECT_THAT(Copy(session->Prefill(kTokens)), Pointwise(FloatNear(1e-4F), Reference(kTokens.size())));
  }
}

class GreedyTest : public CudaSessionTest {
 protected:
  /// What the host chooses after token 7 and each choice.
  std::vector<int32_t> Expected(int64_t count) const {
    std::vector<int32_t> tokens = {7};
    while (static_cast<int64_t>(tokens.size()) <= count) {
      tokens.push_back(LikeliestToken(toy::Reference(weights_, tokens)));
    }
    return {tokens.begin() + 1, tokens.end()};
  }

  /// What `session` chooses after `token`, until there are `most` or it has decoded `count`.
  static std::vector<int32_t> Choices(Session& session, int32_t token, int64_t count, size_t most) {
    std::vector<int32_t> choices;
    const absl::Status status = session.DecodeGreedily(token, count, [&](int32_t choice) {
      choices.push_back(choice);
      return choices.size() < most;
    });
    EXPECT_TRUE(status.ok()) << status;
    return choices;
  }
};

TEST_F(GreedyTest, TheDeviceChoosesAndGoesOnByItself) {
  const auto session = NewSession(WriteAndLoad());
  EXPECT_EQ(Choices(*session, 7, 20, 20), Expected(20));
  EXPECT_EQ(session->position(), 20);
  ASSERT_EQ(Fake().graphs.size(), 2);
  const fake::GraphInfo& graph = Fake().graphs[1];
  EXPECT_EQ(graph.launches, 20);
  EXPECT_EQ(graph.nodes.front().symbol, "cuda_toy_embed") << "no copy from the host";
  EXPECT_EQ(graph.nodes.back().symbol, "advance");
  EXPECT_EQ(Fake().calls_of["cuMemcpyDtoHAsync_v2"], 0) << "neither logits nor choices are fetched";
  EXPECT_EQ(Fake().calls_of["cuMemcpyHtoDAsync_v2"], 2) << "the weights, and the first token";
}

TEST_F(GreedyTest, TokensBeyondTheLastThatTheHostTookAreForgotten) {
  const auto session = NewSession(WriteAndLoad());
  const std::vector<int32_t> expected = Expected(12);
  EXPECT_EQ(Choices(*session, 7, 20, 5), std::vector<int32_t>(expected.begin(), expected.begin() + 5));
  EXPECT_EQ(session->position(), 5);
  EXPECT_GT(Fake().graphs[1].launches, 5) << "the device was ahead";
  EXPECT_LT(Fake().graphs[1].launches, 12);
  std::vector<int32_t> tokens = {7};
  tokens.insert(tokens.end(), expected.begin(), expected.begin() + 5);
  EXPECT_THAT(Copy(session->Decode(expected[4])), Pointwise(FloatNear(1e-4F), toy::Reference(weights_, tokens)));
  EXPECT_EQ(Choices(*session, expected[5], 6, 6), std::vector<int32_t>(expected.begin() + 6, expected.end()));
}

TEST_F(GreedyTest, NothingIsDecodedBeyondThePositions) {
  const auto session = NewSession(WriteAndLoad());
  EXPECT_EQ(Choices(*session, 7, toy::kPositions, 100), Expected(toy::kPositions));
  EXPECT_EQ(Fake().graphs[1].launches, toy::kPositions);
  EXPECT_FALSE(session->Decode(1).ok());
}

TEST_F(GreedyTest, StatisticsAreOfTheSameTokens) {
  const auto session = NewSession(WriteAndLoad(), /*statistics=*/true);
  EXPECT_EQ(Choices(*session, 7, 10, 10), Expected(10));
  EXPECT_EQ(session->statistics().tokens(), 10);
}

TEST_F(GreedyTest, PlansAndCodeWithoutAChoiceDecodeTheSame) {
  Plan plan = toy::MakeCudaPlan();
  plan.functions["decode"].choice = {};
  plan.functions["decode"].launches.pop_back();
  const auto session = NewSession(WriteAndLoad(plan));
  EXPECT_EQ(Choices(*session, 7, 10, 10), Expected(10));
  EXPECT_EQ(Fake().graphs.size(), 1);
}

TEST_F(GreedyTest, StreamsEndBeforeTheNextToken) {
  Plan plan = toy::MakeCudaPlan();
  std::vector<Launch>& launches = plan.functions["decode"].launches;
  launches[2].stream = 1;  // test
  launches[2].waits = {1};
  launches[3].stream = 1;  // compact
  launches[4].waits = {3};
  const auto model = WriteAndLoad(plan);
  for (int round = 0; round < 10; ++round) {
    EXPECT_EQ(Choices(*NewSession(model), 7, 10, 10), Expected(10));
  }
}

TEST_F(CudaSessionTest, ATraceKeepsStreamsBesideEachOther) {
  Plan plan = toy::MakeCudaPlan();
  std::vector<Launch>& launches = plan.functions["decode"].launches;
  launches[2].stream = 1;  // test
  launches[2].waits = {1};
  launches[3].stream = 1;  // compact
  launches[4].waits = {3};
  const auto session = NewSession(WriteAndLoad(plan));
  ASSERT_TRUE(session->Advance(kTokens[0]).ok());
  const auto spans = session->Trace(kTokens[1]);
  ASSERT_TRUE(spans.ok()) << spans.status();
  ASSERT_EQ(spans->size(), 8);
  for (size_t i = 0; i < spans->size(); ++i) {
    EXPECT_GE((*spans)[i].end - (*spans)[i].begin, 10000) << i;
    // Each of these waits for the one before, whose end may be noted late.
    EXPECT_TRUE(i == 0 || (*spans)[i].begin >= (*spans)[i - 1].begin + 10000) << i;
  }
  EXPECT_EQ(session->position(), 2);
  EXPECT_THAT(Copy(session->Decode(kTokens[2])), Pointwise(FloatNear(1e-4F), Reference(3)));
  // No kernel follows another at once: the clocks stand between them.
  const fake::GraphInfo& graph = Fake().graphs.back();
  EXPECT_EQ(graph.nodes.size(), 2 + 3 * 8);
  for (const fake::EdgeInfo& edge : graph.edges) {
    EXPECT_FALSE(graph.nodes[edge.from].kind == fake::NodeKind::kKernel &&
                 graph.nodes[edge.to].kind == fake::NodeKind::kKernel);
  }
}

TEST_F(CudaSessionTest, StatisticsCountActiveNeuronsBytesAndTime) {
  std::vector<int64_t> active;
  (void)toy::Reference(weights_, kTokens, &active);
  const auto session = NewSession(WriteAndLoad(), /*statistics=*/true);
  ASSERT_TRUE(session->Prefill(std::vector<int32_t>{1, 2}).ok());
  session->Reset();
  int64_t sum = 0;
  for (size_t i = 0; i < kTokens.size(); ++i) {
    EXPECT_THAT(Copy(session->Decode(kTokens[i])), Pointwise(FloatNear(1e-4F), Reference(i + 1)));
    sum += active[i];
  }
  const Statistics& statistics = session->statistics();
  const auto count = static_cast<double>(kTokens.size());
  ASSERT_EQ(statistics.tokens(), 13) << "the prompt's tokens don't count";
  EXPECT_DOUBLE_EQ(statistics.MeanMlpDensity(), static_cast<double>(sum) / (toy::kNeurons * count));
  const double other = 64 + 64 + 32 * 7.0 + 516 + 32 + 96 + 800 + 100 + 40 * static_cast<double>(sum) / count;
  EXPECT_GT(statistics.BytesPerToken(), other);
  EXPECT_LE(statistics.BytesPerToken(), other + 32 * static_cast<double>(sum) / count);
  for (const LaunchTotals& totals : statistics.launches()) {
    EXPECT_EQ(totals.calls, 13);
    EXPECT_NEAR(static_cast<double>(totals.nanoseconds), 13 * 10000, 13) << "the kernel alone, not the copies";
  }
}

TEST_F(CudaSessionTest, StatisticsCountTheSameWithoutTimes) {
  const auto model = WriteAndLoad();
  const auto timed = NewSession(model, /*statistics=*/true);
  const auto untimed = Session::Create(model, {.threads = 1, .statistics = true, .times = false});
  ASSERT_TRUE(untimed.ok()) << untimed.status();
  for (const int32_t token : kTokens) {
    EXPECT_EQ(Copy((*untimed)->Decode(token)), Copy(timed->Decode(token)));
  }
  EXPECT_EQ((*untimed)->statistics().BytesPerToken(), timed->statistics().BytesPerToken());
  EXPECT_EQ((*untimed)->statistics().MlpDensity(), timed->statistics().MlpDensity());
  for (const LaunchTotals& totals : (*untimed)->statistics().launches()) {
    EXPECT_EQ(totals.calls, kTokens.size());
    EXPECT_EQ(totals.nanoseconds, 0);
  }
}

TEST_F(CudaSessionTest, MemoryIsMeasuredByCopies) {
  const auto model = WriteAndLoad();
  auto meter = model->device().NewMemoryMeter(1000, 1);
  ASSERT_TRUE(meter.ok()) << meter.status();
  const auto speed = (*meter)->Copy();
  ASSERT_TRUE(speed.ok()) << speed.status();
  EXPECT_GT(*speed, 0);
  EXPECT_EQ((*meter)->Read().value(), std::nullopt);
}

TEST_F(CudaSessionTest, WeightsArriveWholeWindowByWindow) {
  ASSERT_TRUE(toy::WriteCudaArtifact(path()).ok());
  const auto artifact = ArtifactReader::Open(path());
  ASSERT_TRUE(artifact.ok()) << artifact.status();
  const Plan plan = artifact->ReadPlan("cuda").value();
  const auto weights = artifact->OpenWeights(plan, {}, HashCheck::kByCaller);
  ASSERT_TRUE(weights.ok()) << weights.status();
  std::vector<int64_t> sizes;
  for (size_t i = 0; i < weights->size(); ++i) {
    sizes.push_back(static_cast<int64_t>(weights->tensor(i).size()));
  }
  const WeightLayout layout = LayOutWeights(sizes);
  const auto device = CudaDevice::Open(*Driver::Get().value(), 0);
  ASSERT_TRUE(device.ok()) << device.status();
  const CudaDevice::Scope scope(**device);
  for (const int64_t window : {256, 512, 768, 1 << 20}) {
    const auto memory = AllocateDevice(**device, layout.bytes, "a test");
    ASSERT_TRUE(memory.ok()) << memory.status();
    int64_t seen = 0;
    const WeightOptions options = {.progress = [&](int64_t done, int64_t total) {
      EXPECT_GT(done, seen);
      EXPECT_EQ(total, layout.bytes);
      seen = done;
    }};
    const absl::Status status = UploadWeights(**device, *weights, layout, memory->get(), options, window);
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_EQ(seen, layout.bytes);
    for (size_t i = 0; i < weights->size(); ++i) {
      const auto* start = reinterpret_cast<const std::byte*>(memory->get()) + layout.offsets[i];
      EXPECT_TRUE(std::ranges::equal(weights->tensor(i), std::span(start, weights->tensor(i).size()))) << i;
    }
  }
}

Launch Planned(int64_t stream, std::vector<int64_t> waits, bool early) {
  Launch launch;
  launch.stream = stream;
  launch.waits = std::move(waits);
  launch.grids["sm_90"] = LaunchGrid{.early = early};
  launch.grids["sm_80"] = LaunchGrid{.early = false};
  return launch;
}

std::vector<LaunchEdge> EdgesOf(const PlanFunction& function, const std::string& isa, bool allow_early) {
  const absl::StatusOr<PlanGraph> graph = PlanGraph::Of(function, isa);
  EXPECT_TRUE(graph.ok()) << graph.status();
  return LaunchEdges(*graph, function.launches, isa, allow_early);
}

using Edge = LaunchEdge;

TEST(LaunchOrderTest, StreamsFollowAndWaitsJoin) {
  PlanFunction function;
  function.launches = {Planned(0, {}, true),     Planned(1, {}, true),  Planned(0, {0}, true), Planned(1, {0}, true),
                       Planned(0, {3, 1}, true), Planned(0, {}, false), Planned(2, {5}, true)};
  EXPECT_THAT(EdgesOf(function, "sm_90", true), ElementsAre(Edge{-1, 0, false}, Edge{-1, 1, false}, Edge{0, 2, true},
                                                            Edge{0, 3, false}, Edge{1, 3, false}, Edge{2, 4, false},
                                                            Edge{3, 4, false}, Edge{4, 5, false}, Edge{5, 6, false}));
  for (const Edge& edge : EdgesOf(function, "sm_90", false)) {
    EXPECT_FALSE(edge.early);
  }
  for (const Edge& edge : EdgesOf(function, "sm_80", true)) {
    EXPECT_FALSE(edge.early);
  }
}

TEST(LaunchOrderTest, JointsLeaveOneStream) {
  PlanFunction function;
  function.launches = {Planned(0, {}, true), Planned(1, {0}, true), Planned(1, {}, true),
                       Planned(0, {}, true), Planned(0, {}, true),  Planned(0, {2}, true)};
  const std::map<std::string, LaunchGrid> grids = {{"sm_90", LaunchGrid{.early = true}}};
  function.joints = {{{3, 1}, "joint_a", grids}, {{4, 2}, "joint_b", grids}};
  EXPECT_THAT(EdgesOf(function, "sm_90", true),
              ElementsAre(Edge{-1, 0, false}, Edge{0, 1, true}, Edge{1, 2, true}, Edge{2, 3, true}));
  const absl::StatusOr<PlanGraph> graph = PlanGraph::Of(function, "sm_90");
  EXPECT_THAT(EdgesToEnd(*graph), ElementsAre(Edge{3, 4, false}));
  EXPECT_THAT(graph->nodes()[1].launches, ElementsAre(1, 3));
  EXPECT_EQ(graph->NodeOf(2), 2);
  EXPECT_TRUE(graph->Follows(3, 0));
  EXPECT_FALSE(graph->Follows(0, 3));
  EXPECT_EQ(EdgesOf(function, "sm_80", true).size(), 7) << "a device without the kernels runs the launches";
}

}  // namespace
}  // namespace dejavu::cuda
