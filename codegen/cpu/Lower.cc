// From kernel specs to LLVM IR to object code.
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "codegen/cpu/CpuBackend.h"
#include "codegen/cpu/KernelBuilder.h"
#include "codegen/cpu/Link.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Verifier.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Target/TargetMachine.h"

namespace dejavu {
namespace {

void InitializeLlvm() {
  static const bool done = [] {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    LLVMInitializeAArch64TargetInfo();
    LLVMInitializeAArch64Target();
    LLVMInitializeAArch64TargetMC();
    LLVMInitializeAArch64AsmPrinter();
    return true;
  }();
  static_cast<void>(done);
}

absl::StatusOr<std::unique_ptr<llvm::TargetMachine>> MakeTargetMachine(const CpuTarget& isa) {
  InitializeLlvm();
  const std::string triple(isa.triple);
  std::string message;
  const llvm::Target* target = llvm::TargetRegistry::lookupTarget(triple, message);
  if (target == nullptr) {
    return BugError("LLVM has no target for ", triple, ": ", message);
  }
  std::unique_ptr<llvm::TargetMachine> machine(target->createTargetMachine(
      triple, isa.cpu, "", llvm::TargetOptions(), llvm::Reloc::PIC_, std::nullopt, llvm::CodeGenOptLevel::Default));
  if (machine == nullptr) {
    return BugError("LLVM cannot create a machine for ", triple);
  }
  return machine;
}

// Emitters already unroll and vectorise, so cleaning up is all that is left to do. Nothing here knows of library
// functions: no loop may become a call of memset or memcpy.
constexpr llvm::StringRef kPipeline =
    "function(sroa,early-cse<memssa>,instcombine<no-verify-fixpoint>,simplifycfg,"
    "loop-simplify,lcssa,loop-mssa(licm),gvn,instcombine<no-verify-fixpoint>,simplifycfg,adce)";

absl::Status Optimize(llvm::Module& module, llvm::TargetMachine& machine) {
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager components;
  llvm::ModuleAnalysisManager modules;
  llvm::TargetLibraryInfoImpl library(machine.getTargetTriple());
  library.disableAllFunctions();
  functions.registerPass([&] { return llvm::TargetLibraryAnalysis(library); });
  llvm::PassBuilder builder(&machine);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(components);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, components, modules);
  llvm::ModulePassManager passes;
  if (llvm::Error error = builder.parsePassPipeline(passes, kPipeline)) {
    return BugError("LLVM refuses the pass pipeline: ", llvm::toString(std::move(error)));
  }
  passes.run(module, modules);
  return absl::OkStatus();
}

// Fills `module` with the kernels of `specs`, optimised.
absl::Status BuildModule(absl::Span<const KernelSpec> specs, llvm::TargetMachine& machine, CpuModule& module) {
  module.module().setTargetTriple(machine.getTargetTriple().str());
  module.module().setDataLayout(machine.createDataLayout());
  std::set<std::string> symbols;
  for (const KernelSpec& spec : specs) {
    ASSIGN_OR_RETURN(const std::string symbol, CpuKernels().Symbol(spec));
    if (symbols.insert(symbol).second) {
      RETURN_IF_ERROR(CpuKernels().Emit(module, spec));
    }
  }
  std::string message;
  llvm::raw_string_ostream stream(message);
  if (llvm::verifyModule(module.module(), &stream)) {
    return BugError("the emitted LLVM IR is invalid: ", message);
  }
  return Optimize(module.module(), machine);
}

absl::StatusOr<llvm::SmallVector<char, 0>> EmitObject(llvm::Module& module, llvm::TargetMachine& machine) {
  llvm::SmallVector<char, 0> object;
  llvm::raw_svector_ostream stream(object);
  llvm::legacy::PassManager passes;
  if (machine.addPassesToEmitFile(passes, stream, nullptr, llvm::CodeGenFileType::ObjectFile)) {
    return BugError("LLVM cannot emit object files for ", machine.getTargetTriple().str());
  }
  passes.run(module);
  return object;
}

}  // namespace

absl::StatusOr<std::vector<std::byte>> CompileCpu(absl::Span<const KernelSpec> specs, const CpuTarget& isa) {
  ASSIGN_OR_RETURN(const std::unique_ptr<llvm::TargetMachine> machine, MakeTargetMachine(isa));
  CpuModule module(isa);
  RETURN_IF_ERROR(BuildModule(specs, *machine, module));
  ASSIGN_OR_RETURN(const auto object, EmitObject(module.module(), *machine));
  return LinkSharedObject({object.data(), object.size()}, isa);
}

absl::StatusOr<std::string> EmitCpuLlvmText(absl::Span<const KernelSpec> specs, const CpuTarget& isa) {
  ASSIGN_OR_RETURN(const std::unique_ptr<llvm::TargetMachine> machine, MakeTargetMachine(isa));
  CpuModule module(isa);
  RETURN_IF_ERROR(BuildModule(specs, *machine, module));
  std::string text;
  llvm::raw_string_ostream stream(text);
  module.module().print(stream, nullptr);
  return text;
}

}  // namespace dejavu
