// lazy_qkv and keep_inputs: heads that get their keys and values when they are listed. A block of rows stays in the
// caches while it is multiplied with this token's input and with those that the head slept through.
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

void CopyRow(KernelBuilder& b, Value* from, Value* to, int64_t width) {
  ForColumns(b, width, [&](Value* column, int count) {
    StoreFloats(b, LoadFloats(b, b.At(from, column, 4), DType::kF32, count), b.At(to, column, 4), count);
  });
}

}  // namespace

void EmitLazyQkv(EmitContext& context, const KernelSpec& spec) {
  const LazyQkvShape shape = MatchLazyQkv(spec).value();
  KernelBuilder b(context, CpuSymbol(spec));
  llvm::IRBuilder<>& ir = b.ir();
  Value* w = b.Arg(1);
  Value* heads = b.Arg(3);
  Value* cache = b.Arg(4);
  Value* inputs = b.Arg(5);
  Value* filled = b.Arg(6);
  Value* x = NormedRow(b, {b.Arg(0), b.Arg(7), b.Arg(8)}, shape.width, shape.norm);
  Value* y = b.Arg(9);
  Value* past = b.Past();
  const int64_t dim = shape.head_dim();
  const auto input_at = [&](Value* position) { return b.At(inputs, position, 4 * shape.width); };
  b.If(ir.CreateICmpEQ(b.thread(), b.I64(0)), [&] { CopyRow(b, x, input_at(past), shape.width); });
  const auto blocks_of_head = b.I64(dim / RowBlock::kRows);
  const auto blocks_of_entry = b.I64(3 * dim / RowBlock::kRows);
  const Range blocks = b.Share(ir.CreateMul(LoadI32(b, heads, b.I64(0)), blocks_of_entry));
  b.For(blocks.begin, blocks.end, 1, [&](Value* block) {
    Value* head = LoadI32(b, b.At(heads, kNumbersOffset), ir.CreateUDiv(block, blocks_of_entry));
    Value* in_entry = ir.CreateURem(block, blocks_of_entry);
    Value* part = ir.CreateUDiv(in_entry, blocks_of_head);  // q, k or v
    Value* column = ir.CreateMul(ir.CreateURem(in_entry, blocks_of_head), b.I64(RowBlock::kRows));
    Value* first =
        ir.CreateAdd(ir.CreateMul(part, b.I64(shape.width)), ir.CreateAdd(ir.CreateMul(head, b.I64(dim)), column));
    const RowBlock rows(b, w, shape.bias ? b.Arg(2) : nullptr, first, {shape.width, shape.dtype});
    rows.Multiply(x, b.At(y, first, 4));
    Value* is_q = ir.CreateICmpEQ(part, b.I64(0));
    Value* known = ir.CreateBinaryIntrinsic(llvm::Intrinsic::umin, LoadI32(b, filled, head), past);
    // Keys and values of a head lie position by position; of q there are none.
    Value* of_part = ir.CreateSelect(is_q, b.I64(0), ir.CreateSub(part, b.I64(1)));
    Value* kept_head = ir.CreateAdd(ir.CreateMul(of_part, b.I64(shape.heads)), head);
    Value* kept = b.At(b.At(cache, kept_head, 4 * shape.positions * dim), column, 4);
    b.For(ir.CreateSelect(is_q, past, known), past, 1,
          [&](Value* position) { rows.Multiply(input_at(position), b.At(kept, position, 4 * dim)); });
  });
  b.Finish();
}

void EmitKeepInputs(EmitContext& context, const KernelSpec& spec) {
  const KeepInputsShape shape = MatchKeepInputs(spec).value();
  KernelBuilder b(context, CpuSymbol(spec));
  llvm::IRBuilder<>& ir = b.ir();
  Value* x = b.Arg(0);
  Value* inputs = b.Arg(1);
  Value* filled = b.Arg(2);
  Value* past = b.Past();
  Value* tokens = b.Tokens(shape.tokens);
  const Range share = b.Share(tokens);
  b.For(share.begin, share.end, 1, [&](Value* token) {
    CopyRow(b, b.At(x, token, 4 * shape.width), b.At(inputs, ir.CreateAdd(past, token), 4 * shape.width), shape.width);
  });
  b.If(ir.CreateICmpEQ(b.thread(), b.I64(0)), [&] {
    b.For(b.I64(0), b.I64(shape.heads), 1, [&](Value* head) { StoreI32(b, ir.CreateAdd(past, tokens), filled, head); });
  });
  b.Finish();
}

}  // namespace dejavu
