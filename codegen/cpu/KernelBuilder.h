// Builds the LLVM function of one kernel: its arguments, loops and share of the work.
#ifndef DEJAVU_CODEGEN_CPU_KERNELBUILDER_H_
#define DEJAVU_CODEGEN_CPU_KERNELBUILDER_H_

#include <string>

#include "codegen/cpu/CpuTarget.h"
#include "codegen/target/KernelTable.h"
#include "ir/core/Type.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/Module.h"

namespace dejavu {

/// The module that the kernels of one shared object go into.
class CpuModule final : public EmitContext {
 public:
  /// `isa` must outlive the module.
  explicit CpuModule(const CpuTarget& isa) : isa_(isa), module_("kernels", context_) {}
  [[nodiscard]] const CpuTarget& isa() const { return isa_; }
  [[nodiscard]] llvm::Module& module() { return module_; }

 private:
  const CpuTarget& isa_;
  llvm::LLVMContext context_;
  llvm::Module module_;
};

using Values = llvm::SmallVector<llvm::Value*, 16>;

/// [begin, end), both i64.
struct Range {
  llvm::Value* begin;
  llvm::Value* end;
};

/// An emitter creates one, writes the body through ir() and the structured control flow below, and calls Finish.
class KernelBuilder {
 public:
  KernelBuilder(EmitContext& context, const std::string& symbol);

  [[nodiscard]] const CpuTarget& isa() const { return module_.isa(); }
  [[nodiscard]] int lanes() const { return isa().vector_floats; }
  [[nodiscard]] llvm::IRBuilder<>& ir() { return ir_; }
  [[nodiscard]] llvm::Module& module() { return module_.module(); }

  /// The pointer args[index].
  [[nodiscard]] llvm::Value* Arg(int index);
  /// The number of tokens of this call, i64: static, or dims[0].
  [[nodiscard]] llvm::Value* Tokens(const Dim& tokens);
  /// The number of tokens in the cache before this call, i64: dims[1].
  [[nodiscard]] llvm::Value* Past();
  /// The same of sequence number `sequence` (i64) of a batch: dims[1 + sequence].
  [[nodiscard]] llvm::Value* PastOf(llvm::Value* sequence);
  [[nodiscard]] llvm::Value* thread() { return thread_; }
  /// This thread's contiguous part of `units` (i64) equal pieces of work.
  [[nodiscard]] Range Share(llvm::Value* units);

  [[nodiscard]] llvm::Type* F32() { return ir_.getFloatTy(); }
  [[nodiscard]] llvm::FixedVectorType* FloatVector(int count) { return llvm::FixedVectorType::get(F32(), count); }
  [[nodiscard]] llvm::Value* I64(int64_t value) { return ir_.getInt64(static_cast<uint64_t>(value)); }
  [[nodiscard]] llvm::Constant* Float(double value) { return llvm::ConstantFP::get(F32(), value); }
  /// `base` moved by `index` (i64) elements of `bytes` bytes. The address may lie outside of the buffer: prefetches do.
  [[nodiscard]] llvm::Value* At(llvm::Value* base, llvm::Value* index, int64_t bytes);
  [[nodiscard]] llvm::Value* At(llvm::Value* base, int64_t byte_offset);
  [[nodiscard]] llvm::Value* LoadFloat(llvm::Value* base, llvm::Value* index);
  void StoreFloat(llvm::Value* value, llvm::Value* base, llvm::Value* index);
  /// A local array of `bytes` bytes, aligned to 64.
  [[nodiscard]] llvm::Value* Scratch(int64_t bytes);

  /// for (i = begin; i < end; i += step) body(i).
  void For(llvm::Value* begin, llvm::Value* end, int64_t step, llvm::function_ref<void(llvm::Value*)> body);
  /// The same with values that each pass replaces; returns those after the last pass.
  Values For(llvm::Value* begin, llvm::Value* end, int64_t step, const Values& initial,
             llvm::function_ref<Values(llvm::Value*, const Values&)> body);
  void If(llvm::Value* condition, llvm::function_ref<void()> body);

  /// Ends the function.
  void Finish() { ir_.CreateRetVoid(); }

 private:
  CpuModule& module_;
  llvm::IRBuilder<> ir_;
  llvm::Function* function_;
  llvm::Value* thread_;   // i64
  llvm::Value* threads_;  // i64
};

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CPU_KERNELBUILDER_H_
