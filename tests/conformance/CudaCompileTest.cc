// The CUDA target without a GPU: every case compiles for every architecture, and grids are what devices can launch.
// What the kernels compute is checked where a GPU is.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "codegen/cuda/CudaBackend.h"
#include "codegen/cuda/Nvrtc.h"
#include "codegen/target/TargetRegistry.h"
#include "llvm/Object/ELFObjectFile.h"
#include "tests/conformance/Cases.h"

namespace dejavu::testing {
namespace {

using ::testing::HasSubstr;

// Shared memory that a block may have, beside what kernels keep for themselves.
int64_t MostShared(std::string_view isa) { return isa == "sm_80" ? 163 * 1024 - 4096 : 227 * 1024; }

std::vector<KernelSpec> SpecsOf(std::string_view kernel) {
  std::vector<KernelSpec> specs;
  if (IsRuntimeKernel(kernel)) {
    specs.push_back({std::string(kernel), {}, {}, {}});
  }
  for (const Case& test_case : Cases()) {
    if (test_case.spec.kernel == kernel) {
      specs.push_back(test_case.spec);
    }
  }
  return specs;
}

std::set<std::string> SymbolsOf(const std::vector<KernelSpec>& specs, const std::string& isa) {
  std::set<std::string> symbols;
  for (const KernelSpec& spec : specs) {
    if (IsRuntimeKernel(spec.kernel) || CudaKernels().Grid(spec, isa)->has_value()) {
      symbols.insert(CudaKernels().Symbol(spec).value());
    }
  }
  return symbols;
}

// The kernels in a cubin: each has a section of its own.
std::set<std::string> KernelsIn(const std::vector<std::byte>& cubin) {
  const llvm::StringRef bytes(reinterpret_cast<const char*>(cubin.data()), cubin.size());
  auto file = llvm::object::ObjectFile::createObjectFile(llvm::MemoryBufferRef(bytes, "kernels.cubin"));
  std::set<std::string> names;
  if (!file) {
    ADD_FAILURE() << llvm::toString(file.takeError());
    return names;
  }
  for (const llvm::object::SectionRef& section : (*file)->sections()) {
    llvm::StringRef name = llvm::cantFail(section.getName());
    if (name.consume_front(".text.")) {
      names.insert(name.str());
    }
  }
  return names;
}

class CudaCompile : public ::testing::TestWithParam<std::tuple<std::string, std::string>> {
 protected:
  void SetUp() override {
    if (!CheckNvrtc().ok()) {
      GTEST_SKIP() << "no NVRTC";
    }
  }
};

TEST_P(CudaCompile, EveryCaseCompiles) {
  const auto& [kernel, isa] = GetParam();
  std::vector<KernelSpec> specs = SpecsOf(kernel);
  ASSERT_FALSE(specs.empty()) << "the kernel has no case";
  specs.push_back(specs.front());
  const absl::StatusOr<CompiledCode> code = CudaBackend().Compile(specs, isa);
  ASSERT_TRUE(code.ok()) << code.status();
  EXPECT_EQ(code->file, isa + ".cubin");
  EXPECT_EQ(KernelsIn(code->bytes), SymbolsOf(specs, isa));
}

std::vector<std::string> EmittedKernels() {
  std::vector<std::string> names;
  for (const KernelEntry& entry : CudaKernels().entries()) {
    if (!entry.builtin()) {
      names.emplace_back(entry.name());
    }
  }
  return names;
}

std::string TestName(const ::testing::TestParamInfo<CudaCompile::ParamType>& test) {
  return std::get<0>(test.param) + "_for_" + std::get<1>(test.param);
}

INSTANTIATE_TEST_SUITE_P(Kernels, CudaCompile,
                         ::testing::Combine(::testing::ValuesIn(EmittedKernels()),
                                            ::testing::ValuesIn(CudaBackend().isas())),
                         TestName);

TEST(CudaBackendTest, EqualInputGivesEqualBytes) {
  if (!CheckNvrtc().ok()) {
    GTEST_SKIP() << "no NVRTC";
  }
  const std::vector<KernelSpec> specs = {AddSpec(1, 64), CompactSpec(130)};
  EXPECT_EQ(CudaBackend().Compile(specs, "sm_90")->bytes, CudaBackend().Compile(specs, "sm_90")->bytes);
  EXPECT_EQ(CudaBackend().EmitText(specs, "sm_80", "ptx").value(),
            CudaBackend().EmitText(specs, "sm_80", "ptx").value());
}

TEST(CudaBackendTest, RefusedSourceIsABugWithTheCompilersMessages) {
  if (!CheckNvrtc().ok()) {
    GTEST_SKIP() << "no NVRTC";
  }
  const absl::Status status = CompileCuda("#include \"Rows.cuh\"\nint x = y;\n", "sm_90", CudaOutput::kCubin).status();
  EXPECT_EQ(ExitCode(status), 70);
  EXPECT_THAT(std::string(status.message()), HasSubstr("kernels.cu(2): error: identifier \"y\" is undefined"));
}

TEST(CudaBackendTest, HasTheKernelsOfTheCpu) {
  for (const KernelDefinition& definition : KernelDefinitions()) {
    EXPECT_NE(CudaKernels().Find(definition.name), nullptr) << definition.name;
  }
}

TEST(CudaBackendTest, GridsFitEveryDevice) {
  for (const std::string& isa : CudaBackend().isas()) {
    for (const Case& test_case : Cases()) {
      SCOPED_TRACE(absl::StrCat(CaseName(test_case), " for ", isa));
      const std::optional<LaunchGrid> has_grid = CudaKernels().Grid(test_case.spec, isa).value();
      if (!has_grid.has_value()) {
        EXPECT_EQ(test_case.spec.kernel, kJointKernel);
        continue;
      }
      const LaunchGrid grid = *has_grid;
      EXPECT_GE(grid.blocks, 1);
      EXPECT_TRUE(grid.threads % 32 == 0 && grid.threads >= 32 && grid.threads <= 1024) << grid.threads;
      EXPECT_LE(grid.threads * std::max<int64_t>(1, grid.per_sm), 1024);
      EXPECT_LE(grid.shared, MostShared(isa));
      EXPECT_TRUE(grid.scratch == 0 || grid.scratch > kScratchCounterBytes);
      EXPECT_TRUE(grid.early);
    }
  }
}

TEST(CudaBackendTest, WideRowsFitSharedMemory) {
  for (const int64_t width : {16384, 20480, 49152, 65536, 65528}) {
    for (const DType dtype : {DType::kF32, DType::kF16}) {
      const KernelSpec linear = LinearSpec(1, 4096, width, dtype, true, false, false);
      EXPECT_LE(CudaKernels().Grid(linear, "sm_80").value()->shared, 64 * 1024) << width;
      EXPECT_LE(CudaKernels().Grid(linear, "sm_90").value()->shared, MostShared("sm_90")) << width;
    }
    for (const std::string& isa : CudaBackend().isas()) {
      const KernelSpec test = CertifiedTestSpec(4096, width);
      EXPECT_LE(CudaKernels().Grid(test, isa).value()->shared, MostShared(isa)) << width;
    }
  }
}

// A ring takes so much shared memory that a multiprocessor has one block of it, and leaves some for small launches.
TEST(CudaBackendTest, RowsOfOneTokenComeThroughRingsOnHopper) {
  for (const int64_t width : {768, 1024, 2048, 2560, 4096, 5120, 7168, 8192, 9216, 12288}) {
    for (const int64_t k : {width, 4 * width}) {
      KernelSpec spec = LinearSpec(1, 8 * width, k, DType::kF16, true, false, false);
      spec = k == width ? Normed(spec, 1e-5) : spec;
      const LaunchGrid ring = *CudaKernels().Grid(spec, "sm_90").value();
      EXPECT_EQ(ring.per_sm, 1) << k;
      EXPECT_GT(ring.shared, 180 * 1024) << k;
      EXPECT_LE(ring.shared, 227 * 1024 - 8 * 1024) << k;
      EXPECT_LE(ring.threads, 544) << k;
      EXPECT_GT(CudaKernels().Grid(spec, "sm_80").value()->per_sm, 1) << k;
    }
  }
  const KernelSpec prompt = LinearSpec("tokens", 4096, 4096, DType::kF16, true, false, false);
  EXPECT_GT(CudaKernels().Grid(prompt, "sm_90").value()->per_sm, 1);
}

TEST(CudaBackendTest, BuiltinsAndTheCpuHaveNoGrid) {
  EXPECT_FALSE(CudaKernels().Grid(GemmSpec(64, 32, DType::kF16), "sm_90").value().has_value());
  EXPECT_FALSE(FindTarget("cpu").value()->kernels().Grid(AddSpec(1, 64), "x86-64-v3").value().has_value());
  EXPECT_FALSE(CudaKernels().Grid(LinearSpec(1, 16, 12, DType::kF32, false, false, false), "sm_90").ok());
}

TEST(CudaBackendTest, RefusesWithAReason) {
  EXPECT_EQ(std::string(CudaKernels().Supports(AttentionSpec(1, 2, 1032, 8)).message()),
            "kernel 'attention': the head width must be at most 1024 on cuda, not 1032");
  EXPECT_EQ(std::string(
                CudaKernels().Supports(LinearSpec(1, int64_t{1} << 31, 8, DType::kF16, false, false, false)).message()),
            "kernel 'linear': dimensions must be at most 2^30 on cuda, not 2147483648");
  EXPECT_EQ(ExitCode(CudaBackend().Compile({AddSpec(1, 64)}, "sm_70").status()), 2);
  EXPECT_EQ(ExitCode(CudaBackend().HostIsa().status()), 2);
}

TEST(CudaBackendTest, TextInstantiatesEachSymbolOnce) {
  const std::string text = EmitCudaSource({CompactSpec(64), AddSpec(1, 64), CompactSpec(64)}, "sm_90").value();
  const std::string name = "\ncompact_u8_n64(";
  EXPECT_THAT(text, HasSubstr(name));
  EXPECT_EQ(text.find(name), text.rfind(name));
  EXPECT_LT(text.find("#include \"Compact.cuh\""), text.find("#include \"Rows.cuh\""));
}

}  // namespace
}  // namespace dejavu::testing
