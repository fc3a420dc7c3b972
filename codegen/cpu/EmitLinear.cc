// linear: y = act(w x + bias) + residual for a few tokens; batch 1 runs at the speed of memory.
#include "codegen/cpu/CpuKernels.h"
#include "codegen/cpu/KernelBuilder.h"
#include "codegen/cpu/LayerNormRow.h"
#include "codegen/cpu/RowBlock.h"
#include "codegen/cpu/VectorOps.h"
#include "codegen/target/KernelShapes.h"
#include "llvm/IR/Intrinsics.h"

namespace dejavu {
namespace {

using llvm::Value;

}  // namespace

void EmitLinear(EmitContext& context, const KernelSpec& spec) {
  const LinearShape shape = MatchLinear(spec).value();
  KernelBuilder b(context, CpuSymbol(spec));
  llvm::IRBuilder<>& ir = b.ir();
  Value* w = b.Arg(1);
  Value* bias = b.Arg(2);
  Value* residual = b.Arg(3);
  Value* x = NormedRow(b, {b.Arg(0), b.Arg(4), b.Arg(5)}, shape.k, shape.norm);
  Value* y = b.Arg(6);
  Value* tokens = b.Tokens(shape.tokens);
  const RowLayout layout{shape.k, shape.dtype};

  // Blocks of a fixed size make each sum's order independent of the number of threads. The last block repeats the last
  // row where n is not a multiple of the block; it is computed and stored again with the same value.
  const Range blocks = b.Share(b.I64((shape.n + RowBlock::kRows - 1) / RowBlock::kRows));
  b.For(blocks.begin, blocks.end, 1, [&](Value* block) {
    Values numbers;
    Values rows;
    for (int64_t r = 0; r < RowBlock::kRows; ++r) {
      Value* number = ir.CreateAdd(ir.CreateMul(block, b.I64(RowBlock::kRows)), b.I64(r));
      if (shape.n % RowBlock::kRows != 0) {
        number = ir.CreateBinaryIntrinsic(llvm::Intrinsic::umin, number, b.I64(shape.n - 1));
      }
      numbers.push_back(number);
      rows.push_back(b.At(w, number, layout.bytes()));
    }
    b.For(b.I64(0), tokens, 1, [&](Value* token) {
      const auto prefetch = [&](int r, Value* offset) {
        return b.At(ir.CreateGEP(ir.getInt8Ty(), rows[static_cast<size_t>(r)], offset), RowBlock::kPrefetchBytes);
      };
      Value* sums = DotFourRows(b, rows, b.At(x, token, 4 * shape.k), layout, prefetch);
      for (int64_t r = 0; r < RowBlock::kRows; ++r) {
        Value* number = numbers[static_cast<size_t>(r)];
        Value* sum = ir.CreateExtractElement(sums, static_cast<uint64_t>(r));
        if (shape.bias) {
          sum = ir.CreateFAdd(sum, b.LoadFloat(bias, number));
        }
        if (shape.relu) {
          sum = Relu(b, sum);
        }
        Value* index = ir.CreateAdd(ir.CreateMul(token, b.I64(shape.n)), number);
        if (shape.residual) {
          sum = ir.CreateFAdd(sum, b.LoadFloat(residual, index));
        }
        b.StoreFloat(sum, y, index);
      }
    });
  });
  b.Finish();
}

}  // namespace dejavu
