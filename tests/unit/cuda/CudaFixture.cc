#include "tests/unit/cuda/CudaFixture.h"

#include <dlfcn.h>

namespace dejavu::cuda {
namespace {

template <typename F>
F FakeFunction(const char* name, const char* file = "libcuda.so.1") {
  // The test program's run path has the fakes' folder in front, so this is the library that the runtime gets too.
  void* library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
  auto function = library == nullptr ? nullptr : reinterpret_cast<F>(dlsym(library, name));
  if (function == nullptr) {
    abort();
  }
  return function;
}

}  // namespace

fake::State& Fake() { return *FakeFunction<fake::State* (*)()>("FakeCudaState")(); }

fake::BlasState& FakeBlas() { return *FakeFunction<fake::BlasState* (*)()>("FakeBlasState", "libcublasLt.so.13")(); }

void CudaFixture::SetUp() {
  FakeFunction<void (*)()>("FakeCudaReset")();
  FakeFunction<void (*)()>("FakeBlasReset", "libcublasLt.so.13")();
}

void CudaFixture::TearDown() {
  for (const auto& [kind, count] : Fake().live) {
    EXPECT_EQ(count, 0) << kind;
  }
  EXPECT_THAT(Fake().violations, ::testing::IsEmpty());
  EXPECT_THAT(FakeBlas().violations, ::testing::IsEmpty());
  EXPECT_EQ(FakeBlas().live, 0);
}

absl::StatusOr<std::shared_ptr<const Model>> CudaFixture::Load(const std::string& device) const {
  return Model::Load(path(), {.device = device});
}

std::shared_ptr<const Model> CudaFixture::WriteAndLoad(const Plan& plan) const {
  const absl::Status written = toy::WriteCudaArtifact(path(), plan);
  EXPECT_TRUE(written.ok()) << written;
  auto model = Load();
  EXPECT_TRUE(model.ok()) << model.status();
  return *std::move(model);
}

std::unique_ptr<Session> CudaFixture::NewSession(const std::shared_ptr<const Model>& model, bool statistics) {
  auto session = Session::Create(model, {.threads = 1, .statistics = statistics});
  EXPECT_TRUE(session.ok()) << session.status();
  return *std::move(session);
}

std::vector<float> CudaFixture::Copy(const absl::StatusOr<std::span<const float>>& logits) {
  EXPECT_TRUE(logits.ok()) << logits.status();
  return logits.ok() ? std::vector<float>(logits->begin(), logits->end()) : std::vector<float>();
}

}  // namespace dejavu::cuda
