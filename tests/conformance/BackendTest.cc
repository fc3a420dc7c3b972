// The CPU target around its kernels: objects, symbols, refusals, costs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "codegen/cpu/CpuBackend.h"
#include "codegen/target/TargetRegistry.h"
#include "llvm/Object/ELFObjectFile.h"
#include "tests/conformance/Cases.h"

namespace dejavu::testing {
namespace {

// Those of the kernels that the target has.
std::vector<KernelSpec> CpuSpecs() {
  std::vector<KernelSpec> specs = AllSpecs();
  std::erase_if(specs, [](const KernelSpec& spec) { return CpuBackend().kernels().Find(spec.kernel) == nullptr; });
  return specs;
}

using ::testing::HasSubstr;

// The names of the defined dynamic symbols; a failure for an undefined one.
std::set<std::string> Symbols(const std::vector<std::byte>& object) {
  const llvm::StringRef bytes(reinterpret_cast<const char*>(object.data()), object.size());
  auto file = llvm::object::ObjectFile::createObjectFile(llvm::MemoryBufferRef(bytes, "kernels.so"));
  std::set<std::string> names;
  if (!file) {
    ADD_FAILURE() << llvm::toString(file.takeError());
    return names;
  }
  for (const auto& symbol : llvm::cast<llvm::object::ELFObjectFileBase>(**file).getDynamicSymbolIterators()) {
    const std::string name = llvm::cantFail(symbol.getName()).str();
    EXPECT_FALSE(llvm::cantFail(symbol.getFlags()) & llvm::object::SymbolRef::SF_Undefined && !name.empty()) << name;
    names.insert(name);
  }
  names.erase("");
  return names;
}

class Backend : public ::testing::TestWithParam<const CpuTarget*> {};

TEST_P(Backend, ObjectDefinesEachSymbolAndNeedsNone) {
  std::vector<KernelSpec> specs = CpuSpecs();
  std::set<std::string> expected;
  for (const KernelSpec& spec : specs) {
    expected.insert(CpuKernels().Symbol(spec).value());
  }
  specs.push_back(specs.front());
  specs.push_back(GemmSpec(64, 32, DType::kF16));
  const absl::StatusOr<std::vector<std::byte>> object = CompileCpu(specs, *GetParam());
  ASSERT_TRUE(object.ok()) << object.status();
  EXPECT_EQ(Symbols(*object), expected);
}

TEST_P(Backend, EqualInputGivesEqualBytes) {
  const std::vector<KernelSpec> specs = CpuSpecs();
  EXPECT_EQ(CompileCpu(specs, *GetParam()).value(), CompileCpu(specs, *GetParam()).value());
}

TEST_P(Backend, TextNamesTheKernelAndTheMachine) {
  const std::string text = EmitCpuLlvmText({CompactSpec(64)}, *GetParam()).value();
  EXPECT_THAT(text, HasSubstr("define void @compact_u8_n64("));
  EXPECT_THAT(text, HasSubstr(std::string("target triple = \"") + std::string(GetParam()->triple)));
}

std::vector<const CpuTarget*> AllTargets() {
  std::vector<const CpuTarget*> targets;
  for (const CpuTarget& target : CpuTargets()) {
    targets.push_back(&target);
  }
  return targets;
}

INSTANTIATE_TEST_SUITE_P(Targets, Backend, ::testing::ValuesIn(AllTargets()),
                         [](const ::testing::TestParamInfo<const CpuTarget*>& test) {
                           std::string name(test.param->name);
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(CpuTargetTest, HostRunsEveryLevelUpToItsOwn) {
  const absl::StatusOr<const CpuTarget*> host = HostCpuTarget();
  ASSERT_TRUE(host.ok()) << host.status();
  for (const CpuTarget& target : CpuTargets()) {
    EXPECT_EQ(HostRuns(target), target.x86 == (*host)->x86 && target.name <= (*host)->name) << target.name;
  }
}

TEST(CpuTargetTest, UnknownNameListsTheKnownOnes) {
  const absl::Status status = FindCpuTarget("x86-64-v9").status();
  EXPECT_EQ(ExitCode(status), 2);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("unknown instruction set 'x86-64-v9'; known: x86-64-v2, x86-64-v3, x86-64-v4, aarch64"));
}

TEST(TargetRegistryTest, FindsTheCpu) {
  const Target* target = FindTarget("cpu").value();
  EXPECT_EQ(target->name(), "cpu");
  EXPECT_EQ(target->isas(), (std::vector<std::string>{"x86-64-v2", "x86-64-v3", "x86-64-v4", "aarch64"}));
  const CompiledCode code = target->Compile({AddSpec(1, 64)}, target->HostIsa().value()).value();
  EXPECT_EQ(code.file, "cpu-" + code.isa + ".so");
  EXPECT_EQ(Symbols(code.bytes), std::set<std::string>{"add_f32_t1_h64"});
  EXPECT_THAT(std::string(FindTarget("tpu").status().message()), HasSubstr("unknown target 'tpu'; known: cpu"));
}

TEST(LinkTest, LeavesNoTemporaryFiles) {
  const std::filesystem::path folder = std::filesystem::path(::testing::TempDir()) / "dejavu_link_test";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directory(folder);
  const char* before = getenv("TMPDIR");
  const std::string saved = before == nullptr ? "" : before;
  setenv("TMPDIR", folder.c_str(), 1);
  EXPECT_TRUE(CompileCpu({AddSpec(1, 64)}, CpuTargets()[0]).ok());
  EXPECT_TRUE(std::filesystem::is_empty(folder));
  setenv("TMPDIR", (folder / "missing").c_str(), 1);
  const absl::Status status = CompileCpu({AddSpec(1, 64)}, CpuTargets()[0]).status();
  EXPECT_EQ(ExitCode(status), 1);
  EXPECT_THAT(std::string(status.message()), HasSubstr("set TMPDIR"));
  before == nullptr ? unsetenv("TMPDIR") : setenv("TMPDIR", saved.c_str(), 1);
  std::filesystem::remove_all(folder);
}

TEST(KernelTableTest, DifferentSpecsHaveDifferentSymbols) {
  std::map<std::string, KernelSpec> by_symbol;
  for (const KernelSpec& spec : CpuSpecs()) {
    const auto [entry, added] = by_symbol.emplace(CpuKernels().Symbol(spec).value(), spec);
    EXPECT_TRUE(added || entry->second == spec) << entry->first;
  }
}

TEST(KernelTableTest, SymbolsFollowTheGrammar) {
  EXPECT_EQ(CpuKernels().Symbol(LinearSpec(1, 2304, 768, DType::kF16, true, false, false)).value(),
            "linear_f16_t1_n2304_k768_b1_r0_relu0");
  EXPECT_EQ(CpuKernels().Symbol(SparseFc2Spec(3072, 768, DType::kBF16, true)).value(), "sparse_fc2_bf16_n3072_h768_r1");
  EXPECT_EQ(CpuKernels().Symbol(GemmSpec(64, 32, DType::kF16)).value(), "");
}

TEST(KernelTableTest, StatesCosts) {
  const KernelCost linear = CpuKernels().Cost(LinearSpec(1, 3072, 768, DType::kF16, true, false, true)).value();
  EXPECT_EQ(linear.bytes, 3072 * 768 * 2 + 3072 * 4 + 4 * (768 + 3072));
  EXPECT_EQ(linear.flops, 2 * 3072 * 768);
  const KernelCost attention = CpuKernels().Cost(AttentionSpec(1, 12, 64, 1024)).value();
  EXPECT_EQ(attention.bytes_per_context_token, 2 * 4 * 768);
  EXPECT_EQ(CpuKernels().Cost(SparseFc1Spec(3072, 768, DType::kF16)).value().per_active_bytes, 768 * 2 + 12);
  EXPECT_EQ(CpuKernels().Cost(SparseFc2Spec(3072, 768, DType::kF32, true)).value().per_positive_bytes, 768 * 4);
  EXPECT_EQ(CpuKernels().Cost(CertifiedTestSpec(3072, 768)).value().bytes, 3072 * (768 + 17) + 4 * 768);
}

struct Refusal {
  std::string message;
  KernelSpec spec;
};

std::vector<Refusal> Refusals() {
  const KernelSpec linear = LinearSpec(1, 16, 64, DType::kF16, true, false, false);
  std::vector<Refusal> refusals = {
      {"target 'cpu' has no kernel 'softmax'", {"softmax", {}, {}, {}}},
      {"kernel 'linear': the width must be a multiple of 8 up to 65536, not 12",
       LinearSpec(1, 16, 12, DType::kF32, false, false, false)},
      {"kernel 'linear': w must be f32 or f16 or bf16 of rank 2, not i8<16, 64>",
       LinearSpec(1, 16, 64, DType::kI8, false, false, false)},
      {"kernel 'linear': the number of tokens must be a number or 'tokens', not past",
       LinearSpec("past", 16, 64, DType::kF32, false, false, false)},
      {"kernel 'compact': the number of flags must have a known size, not active",
       {"compact", {Type{DType::kU8, {"active"}}, std::nullopt}, {Type{DType::kIndex, {"active"}}}, {}}},
      {"kernel 'certified_test': the width must be a multiple of 8 up to 65536, not 65544",
       CertifiedTestSpec(4, 65544)}};
  KernelSpec spec = linear;
  spec.operands.pop_back();
  refusals.push_back({"kernel 'linear': takes 6 operands, not 5", spec});
  spec = linear;
  spec.operands[0].reset();
  refusals.push_back({"kernel 'linear': operand x is missing", spec});
  spec = linear;
  spec.operands[2] = Type{DType::kF32, {17}};
  refusals.push_back({"kernel 'linear': bias must be f32<16>, not f32<17>", spec});
  spec = linear;
  spec.attributes["relu"] = int64_t{1};
  refusals.push_back({"kernel 'linear': attribute relu has a wrong type", spec});
  spec = linear;
  spec.attributes["transposed"] = true;
  refusals.push_back({"kernel 'linear': only gemm reads transposed weights", spec});
  spec = AttentionSpec(1, 4, 64, 32);
  spec.attributes.erase("heads");
  refusals.push_back({"kernel 'attention': attribute heads must be positive", spec});
  return refusals;
}

TEST(KernelTableTest, RefusesWithAReason) {
  for (const Refusal& refusal : Refusals()) {
    EXPECT_EQ(std::string(CpuKernels().Supports(refusal.spec).message()), refusal.message);
    EXPECT_EQ(std::string(CompileCpu({refusal.spec}, CpuTargets()[0]).status().message()), refusal.message);
  }
}

}  // namespace
}  // namespace dejavu::testing
