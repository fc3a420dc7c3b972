#include "codegen/cpu/LayerNormRow.h"

#include "codegen/cpu/VectorOps.h"
#include "llvm/IR/Intrinsics.h"

namespace dejavu {
namespace {

using llvm::Value;

}  // namespace

void NormaliseRow(KernelBuilder& b, const NormOperands& operands, int64_t width, float epsilon, Value* y) {
  llvm::IRBuilder<>& ir = b.ir();
  llvm::Constant* divisor = b.Float(static_cast<double>(width));
  const Values zero = {ZeroVector(b, b.lanes())};
  const Values sum = ForColumns(b, width, zero, [&](Value* column, int count, const Values& carried) {
    return Values{ir.CreateFAdd(carried[0], Pad(b, LoadColumns(b, operands.x, column, count)))};
  });
  Value* mean = ir.CreateFDiv(SumLanes(b, sum[0]), divisor);
  const Values squares = ForColumns(b, width, zero, [&](Value* column, int count, const Values& carried) {
    Value* centred = Pad(b, ir.CreateFSub(LoadColumns(b, operands.x, column, count), Splat(b, mean, count)));
    return Values{MulAdd(b, centred, centred, carried[0])};
  });
  Value* variance = ir.CreateFAdd(ir.CreateFDiv(SumLanes(b, squares[0]), divisor), b.Float(epsilon));
  Value* inverse = ir.CreateFDiv(b.Float(1), ir.CreateUnaryIntrinsic(llvm::Intrinsic::sqrt, variance));
  ForColumns(b, width, [&](Value* column, int count) {
    Value* centred = ir.CreateFSub(LoadColumns(b, operands.x, column, count), Splat(b, mean, count));
    Value* normal = ir.CreateFMul(centred, Splat(b, inverse, count));
    Value* scaled =
        MulAdd(b, normal, LoadColumns(b, operands.gamma, column, count), LoadColumns(b, operands.beta, column, count));
    StoreFloats(b, scaled, b.At(y, column, 4), count);
  });
}

Value* NormedRow(KernelBuilder& b, const NormOperands& operands, int64_t width, const Norm& norm) {
  if (!norm.on) {
    return operands.x;
  }
  Value* row = b.Scratch(4 * width);
  NormaliseRow(b, operands, width, norm.epsilon, row);
  return row;
}

}  // namespace dejavu
