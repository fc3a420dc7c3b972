#include "codegen/cpu/KernelBuilder.h"

namespace dejavu {

using llvm::BasicBlock;
using llvm::PHINode;
using llvm::Value;

KernelBuilder::KernelBuilder(EmitContext& context, const std::string& symbol)
    : module_(static_cast<CpuModule&>(context)), ir_(module_.module().getContext()) {
  llvm::Type* pointer = ir_.getPtrTy();
  llvm::Type* i32 = ir_.getInt32Ty();
  auto* type = llvm::FunctionType::get(ir_.getVoidTy(), {pointer, pointer, i32, i32}, false);
  function_ = llvm::Function::Create(type, llvm::GlobalValue::ExternalLinkage, symbol, module());
  function_->addFnAttr("target-cpu", isa().cpu);
  function_->addFnAttr("prefer-vector-width", std::to_string(32 * lanes()));
  function_->addFnAttr("min-legal-vector-width", std::to_string(32 * lanes()));
  function_->addFnAttr(llvm::Attribute::NoUnwind);
  for (unsigned i = 0; i < 2; ++i) {
    // Pointer tables are not written while a kernel runs.
    function_->addParamAttr(i, llvm::Attribute::ReadOnly);
    function_->addParamAttr(i, llvm::Attribute::NoAlias);
  }
  ir_.SetInsertPoint(BasicBlock::Create(module().getContext(), "entry", function_));
  thread_ = ir_.CreateSExt(function_->getArg(2), ir_.getInt64Ty(), "thread");
  threads_ = ir_.CreateSExt(function_->getArg(3), ir_.getInt64Ty(), "threads");
}

Value* KernelBuilder::Arg(int index) {
  return ir_.CreateAlignedLoad(ir_.getPtrTy(), At(function_->getArg(0), int64_t{8} * index), llvm::Align(8));
}

Value* KernelBuilder::Tokens(const Dim& tokens) {
  if (tokens.is_static()) {
    return I64(tokens.size());
  }
  return ir_.CreateAlignedLoad(ir_.getInt64Ty(), function_->getArg(1), llvm::Align(8), "tokens");
}

Value* KernelBuilder::Past() {
  return ir_.CreateAlignedLoad(ir_.getInt64Ty(), At(function_->getArg(1), 8), llvm::Align(8), "past");
}

Value* KernelBuilder::PastOf(Value* sequence) {
  return ir_.CreateAlignedLoad(ir_.getInt64Ty(), At(At(function_->getArg(1), 8), sequence, 8), llvm::Align(8));
}

Range KernelBuilder::Share(Value* units) {
  Value* next = ir_.CreateAdd(thread_, I64(1));
  return {ir_.CreateUDiv(ir_.CreateMul(units, thread_), threads_, "begin"),
          ir_.CreateUDiv(ir_.CreateMul(units, next), threads_, "end")};
}

Value* KernelBuilder::At(Value* base, Value* index, int64_t bytes) {
  return ir_.CreateGEP(ir_.getInt8Ty(), base, ir_.CreateMul(index, I64(bytes)));
}

Value* KernelBuilder::At(Value* base, int64_t byte_offset) {
  return ir_.CreateGEP(ir_.getInt8Ty(), base, I64(byte_offset));
}

Value* KernelBuilder::LoadFloat(Value* base, Value* index) {
  return ir_.CreateAlignedLoad(F32(), At(base, index, 4), llvm::Align(4));
}

void KernelBuilder::StoreFloat(Value* value, Value* base, Value* index) {
  ir_.CreateAlignedStore(value, At(base, index, 4), llvm::Align(4));
}

Value* KernelBuilder::Scratch(int64_t bytes) {
  // In the entry block, so that a scratch array of a loop is allocated once.
  llvm::IRBuilder<> entry(&function_->getEntryBlock(), function_->getEntryBlock().begin());
  auto* type = llvm::ArrayType::get(entry.getInt8Ty(), static_cast<uint64_t>(bytes));
  llvm::AllocaInst* scratch = entry.CreateAlloca(type);
  scratch->setAlignment(llvm::Align(64));
  return scratch;
}

void KernelBuilder::For(Value* begin, Value* end, int64_t step, llvm::function_ref<void(Value*)> body) {
  For(begin, end, step, {}, [&](Value* i, const Values&) {
    body(i);
    return Values{};
  });
}

Values KernelBuilder::For(Value* begin, Value* end, int64_t step, const Values& initial,
                          llvm::function_ref<Values(Value*, const Values&)> body) {
  BasicBlock* before = ir_.GetInsertBlock();
  auto* loop = BasicBlock::Create(module().getContext(), "loop", function_);
  auto* after = BasicBlock::Create(module().getContext(), "after", function_);
  ir_.CreateCondBr(ir_.CreateICmpSLT(begin, end), loop, after);

  ir_.SetInsertPoint(loop);
  PHINode* i = ir_.CreatePHI(ir_.getInt64Ty(), 2, "i");
  i->addIncoming(begin, before);
  Values carried;
  for (Value* value : initial) {
    PHINode* phi = ir_.CreatePHI(value->getType(), 2);
    phi->addIncoming(value, before);
    carried.push_back(phi);
  }
  const Values next = body(i, carried);
  Value* next_i = ir_.CreateNSWAdd(i, I64(step));
  BasicBlock* latch = ir_.GetInsertBlock();
  i->addIncoming(next_i, latch);
  ir_.CreateCondBr(ir_.CreateICmpSLT(next_i, end), loop, after);

  ir_.SetInsertPoint(after);
  Values results;
  for (size_t n = 0; n < initial.size(); ++n) {
    llvm::cast<PHINode>(carried[n])->addIncoming(next[n], latch);
    PHINode* phi = ir_.CreatePHI(initial[n]->getType(), 2);
    phi->addIncoming(initial[n], before);
    phi->addIncoming(next[n], latch);
    results.push_back(phi);
  }
  return results;
}

void KernelBuilder::If(Value* condition, llvm::function_ref<void()> body) {
  auto* then = BasicBlock::Create(module().getContext(), "then", function_);
  auto* after = BasicBlock::Create(module().getContext(), "after", function_);
  ir_.CreateCondBr(condition, then, after);
  ir_.SetInsertPoint(then);
  body();
  ir_.CreateBr(after);
  ir_.SetInsertPoint(after);
}

}  // namespace dejavu
