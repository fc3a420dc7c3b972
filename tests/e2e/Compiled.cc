#include "tests/e2e/Compiled.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <sstream>

#include "codegen/cpu/CpuTarget.h"
#include "ir/import/HuggingFaceReader.h"
#include "ir/import/OnnxReader.h"
#include "ir/import/SyntheticReader.h"
#include "passes/Pipelines.h"
#include "passes/manager/PassManager.h"
#include "tools/driver/Compile.h"

namespace dejavu {
namespace {

absl::StatusOr<std::unique_ptr<Module>> Read(const std::string& input, WeightStore* store) {
  if (input.ends_with(".onnx")) {
    return ReadOnnx(input, store);
  }
  return input.starts_with("opt-") ? ReadSynthetic(input) : ReadHuggingFace(input, store);
}

/// Compiles `input` in process and returns the artifact's path.
absl::StatusOr<std::string> Compile(const std::string& input, const std::string& sparsity, const std::string& isa,
                                    const std::string& name, const std::vector<int64_t>& batch,
                                    const Budgets& budgets) {
  WeightStore store;
  ASSIGN_OR_RETURN(const std::unique_ptr<Module> module, Read(input, &store));
  ASSIGN_OR_RETURN(const std::string text, PipelineBetween(*module, "sched", sparsity, budgets, batch));
  ASSIGN_OR_RETURN(const Pipeline pipeline, ParsePipeline(text));
  std::ostringstream log;
  RETURN_IF_ERROR(RunPipeline(*module, store, pipeline, {}, log));
  ArtifactOptions options;
  options.path = absl::StrCat(testing::TempDir(), "/e2e-", getpid(), "-", name, ".dejavu");
  ASSIGN_OR_RETURN(options.targets, ParseTargets(absl::StrCat("cpu:", isa)));
  RETURN_IF_ERROR(WriteArtifact(*module, store, options));
  return options.path;
}

}  // namespace

Compiled::Compiled(const std::string& input, const std::string& sparsity, const std::string& isa,
                   const std::string& name, int threads, const std::vector<int64_t>& batch, const Budgets& budgets) {
  absl::StatusOr<std::string> path = Compile(input, sparsity, isa, name, batch, budgets);
  EXPECT_TRUE(path.ok()) << path.status();
  if (!path.ok()) {
    return;
  }
  path_ = *path;
  absl::StatusOr<std::shared_ptr<const Model>> model = Model::Load(path_, {});
  EXPECT_TRUE(model.ok()) << model.status();
  if (model.ok()) {
    model_ = *model;
    absl::StatusOr<std::unique_ptr<Session>> session = Session::Create(*model, {.threads = threads});
    EXPECT_TRUE(session.ok()) << session.status();
    session_ = session.ok() ? *std::move(session) : nullptr;
  }
}

Compiled::~Compiled() { std::filesystem::remove_all(path_); }

std::string BestIsa() { return std::string((*HostCpuTarget())->name); }

double RelativeError(std::span<const float> actual, const double* expected) {
  double difference = 0;
  double norm = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    difference += (static_cast<double>(actual[i]) - expected[i]) * (static_cast<double>(actual[i]) - expected[i]);
    norm += expected[i] * expected[i];
  }
  return std::sqrt(difference / norm);
}

absl::StatusOr<std::unique_ptr<Session>> LoadSession(const Module& module, WeightStore& store,
                                                     const SessionOptions& options) {
  static int number = 0;
  ArtifactOptions artifact;
  artifact.path = absl::StrCat(testing::TempDir(), "/module-", getpid(), "-", number++, ".dejavu");
  ASSIGN_OR_RETURN(artifact.targets, ParseTargets("cpu:" + BestIsa()));
  RETURN_IF_ERROR(WriteArtifact(module, store, artifact));
  absl::StatusOr<std::shared_ptr<const Model>> model = Model::Load(artifact.path, {});
  std::filesystem::remove_all(artifact.path);
  RETURN_IF_ERROR(model.status());
  return Session::Create(*model, options);
}

}  // namespace dejavu
