// sparse_qkv and sparse_out: the projections around an attention of chosen heads. Of q whole rows are left out, of the
// output layer columns, head by head: it keeps the form that the prompt's matrix product reads too.
#include "codegen/cpu/CpuKernels.h"
#include "codegen/cpu/IndexList.h"
#include "codegen/cpu/KernelBuilder.h"
#include "codegen/cpu/LayerNormRow.h"
#include "codegen/cpu/RowBlock.h"
#include "codegen/target/KernelShapes.h"
#include "llvm/IR/Intrinsics.h"

namespace dejavu {
namespace {

using llvm::Value;

static_assert(kWidthMultiple % RowBlock::kRows == 0, "a block would reach into the next head");

}  // namespace

void EmitSparseQkv(EmitContext& context, const KernelSpec& spec) {
  const SparseQkvShape shape = MatchSparseQkv(spec).value();
  KernelBuilder b(context, CpuSymbol(spec));
  llvm::IRBuilder<>& ir = b.ir();
  Value* w = b.Arg(1);
  Value* heads = b.Arg(3);
  Value* x = NormedRow(b, {b.Arg(0), b.Arg(4), b.Arg(5)}, shape.width, shape.norm);
  Value* y = b.Arg(6);
  const auto blocks_of_head = b.I64(shape.head_dim() / RowBlock::kRows);
  Value* blocks_of_q = ir.CreateMul(LoadI32(b, heads, b.I64(0)), blocks_of_head);
  // First those of q, then those of k and v.
  const Range blocks = b.Share(ir.CreateAdd(blocks_of_q, b.I64(2 * shape.width / RowBlock::kRows)));
  b.For(blocks.begin, blocks.end, 1, [&](Value* block) {
    Value* is_q = ir.CreateICmpSLT(block, blocks_of_q);
    // Of k and v the entry is not used; the list's count stands in for it.
    Value* entry = ir.CreateSelect(is_q, ir.CreateUDiv(block, blocks_of_head), b.I64(-(kNumbersOffset / 4)));
    Value* head = LoadI32(b, b.At(heads, kNumbersOffset), entry);
    Value* in_head = ir.CreateURem(block, blocks_of_head);
    Value* of_q = ir.CreateAdd(ir.CreateMul(head, blocks_of_head), in_head);
    Value* of_others = ir.CreateAdd(ir.CreateSub(block, blocks_of_q), b.I64(shape.width / RowBlock::kRows));
    Value* first = ir.CreateMul(ir.CreateSelect(is_q, of_q, of_others), b.I64(RowBlock::kRows));
    const RowBlock rows(b, w, shape.bias ? b.Arg(2) : nullptr, first, {shape.width, shape.dtype});
    b.For(b.I64(0), b.I64(shape.tokens), 1, [&](Value* token) {
      rows.Multiply(b.At(x, token, 4 * shape.width), b.At(b.At(y, token, 12 * shape.width), first, 4));
    });
  });
  b.Finish();
}

void EmitSparseOut(EmitContext& context, const KernelSpec& spec) {
  const SparseOutShape shape = MatchSparseOut(spec).value();
  KernelBuilder b(context, CpuSymbol(spec));
  llvm::IRBuilder<>& ir = b.ir();
  Value* x = b.Arg(0);
  Value* w = b.Arg(1);
  Value* bias = b.Arg(2);
  Value* residual = b.Arg(3);
  Value* heads = b.Arg(4);
  Value* y = b.Arg(5);
  const RowLayout layout{shape.head_dim(), shape.dtype};  // of a head's part of a row
  const int64_t row_bytes = shape.k * layout.element_bytes();
  Value* count = LoadI32(b, heads, b.I64(0));
  const Range blocks = b.Share(b.I64((shape.n + RowBlock::kRows - 1) / RowBlock::kRows));
  b.For(blocks.begin, blocks.end, 1, [&](Value* block) {
    Values numbers;
    for (int64_t r = 0; r < RowBlock::kRows; ++r) {
      Value* number = ir.CreateAdd(ir.CreateMul(block, b.I64(RowBlock::kRows)), b.I64(r));
      if (shape.n % RowBlock::kRows != 0) {
        number = ir.CreateBinaryIntrinsic(llvm::Intrinsic::umin, number, b.I64(shape.n - 1));
      }
      numbers.push_back(number);
    }
    const Values zero = {ZeroVector(b, RowBlock::kRows)};
    b.For(b.I64(0), b.I64(shape.tokens), 1, [&](Value* token) {
      Value* x_row = b.At(x, token, 4 * shape.k);
      const Values sums = b.For(b.I64(0), count, 1, zero, [&](Value* entry, const Values& carried) {
        Value* head = LoadI32(b, b.At(heads, kNumbersOffset), entry);
        Values rows;
        for (Value* number : numbers) {
          rows.push_back(b.At(b.At(w, number, row_bytes), head, layout.bytes()));
        }
        // The same head's part of the next block.
        const auto prefetch = [&](int r, Value* offset) {
          return b.At(ir.CreateGEP(ir.getInt8Ty(), rows[static_cast<size_t>(r)], offset), RowBlock::kRows * row_bytes);
        };
        Value* part = DotFourRows(b, rows, b.At(x_row, head, 4 * shape.head_dim()), layout, prefetch);
        return Values{ir.CreateFAdd(carried[0], part)};
      });
      for (size_t r = 0; r < numbers.size(); ++r) {
        Value* sum = ir.CreateExtractElement(sums[0], r);
        Value* index = ir.CreateAdd(ir.CreateMul(token, b.I64(shape.n)), numbers[r]);
        if (shape.bias) {
          sum = ir.CreateFAdd(sum, b.LoadFloat(bias, numbers[r]));
        }
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
