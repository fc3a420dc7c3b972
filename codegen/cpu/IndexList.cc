#include "codegen/cpu/IndexList.h"

#include "llvm/IR/Intrinsics.h"

namespace dejavu {

using llvm::Value;

namespace {

// Appends to `numbers` the numbers of the chosen ones in [start, start + size); returns the new count.
Value* AppendBlock(KernelBuilder& b, ChosenFn chosen, Value* start, int size, Value* numbers, Value* count) {
  llvm::IRBuilder<>& ir = b.ir();
  Value* bits = ir.CreateBitCast(chosen(start, size), ir.getIntNTy(static_cast<unsigned>(size)));
  Value* mask = ir.CreateZExt(bits, ir.getInt64Ty());
  Value* found = ir.CreateUnaryIntrinsic(llvm::Intrinsic::ctpop, mask);
  b.For(b.I64(0), found, 1, {mask}, [&](Value* i, const Values& left) {
    Value* lowest = ir.CreateIntrinsic(llvm::Intrinsic::cttz, {ir.getInt64Ty()}, {left[0], ir.getTrue()});
    StoreI32(b, ir.CreateAdd(start, lowest), numbers, ir.CreateAdd(count, i));
    return Values{ir.CreateAnd(left[0], ir.CreateSub(left[0], b.I64(1)))};
  });
  return ir.CreateAdd(count, found);
}

}  // namespace

Value* LoadI32(KernelBuilder& b, Value* base, Value* index) {
  llvm::IRBuilder<>& ir = b.ir();
  Value* value = ir.CreateAlignedLoad(ir.getInt32Ty(), b.At(base, index, 4), llvm::Align(4));
  return ir.CreateZExt(value, ir.getInt64Ty());
}

void StoreI32(KernelBuilder& b, Value* value, Value* base, Value* index) {
  Value* narrow = b.ir().CreateTrunc(value, b.ir().getInt32Ty());
  b.ir().CreateAlignedStore(narrow, b.At(base, index, 4), llvm::Align(4));
}

Value* Smaller(KernelBuilder& b, Value* x, Value* y) {
  return b.ir().CreateBinaryIntrinsic(llvm::Intrinsic::smin, x, y);
}

void EmitList(KernelBuilder& b, int64_t n, Value* list, ChosenFn chosen) {
  llvm::IRBuilder<>& ir = b.ir();
  Value* numbers = b.At(list, kNumbersOffset);
  const int block = 4 * b.lanes();
  const int64_t main = n / block * block;
  const Values zero = {b.I64(0)};
  Values count = b.For(b.I64(0), b.I64(main), block, zero, [&](Value* start, const Values& carried) {
    return Values{AppendBlock(b, chosen, start, block, numbers, carried[0])};
  });
  // The count never passes i, so the store that is only kept for a chosen one stays inside the list.
  count = b.For(b.I64(main), b.I64(n), 1, count, [&](Value* i, const Values& carried) {
    StoreI32(b, i, numbers, carried[0]);
    Value* one = ir.CreateExtractElement(chosen(i, 1), uint64_t{0});
    return Values{ir.CreateAdd(carried[0], ir.CreateZExt(one, ir.getInt64Ty()))};
  });
  StoreI32(b, count[0], list, b.I64(0));
}

}  // namespace dejavu
