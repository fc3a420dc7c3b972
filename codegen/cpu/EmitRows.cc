// Kernels that treat each token's row by itself: embeddings, layer_norm, add, last_row. Threads share the tokens.
#include "codegen/cpu/CpuKernels.h"
#include "codegen/cpu/KernelBuilder.h"
#include "codegen/cpu/LayerNormRow.h"
#include "codegen/cpu/VectorOps.h"
#include "codegen/target/KernelShapes.h"

namespace dejavu {
namespace {

using llvm::Value;

void ForTokens(KernelBuilder& b, const Dim& tokens, llvm::function_ref<void(Value*)> body) {
  const Range share = b.Share(b.Tokens(tokens));
  b.For(share.begin, share.end, 1, body);
}

void CopyRow(KernelBuilder& b, Value* from, DType dtype, Value* to, int64_t width) {
  ForColumns(b, width, [&](Value* column, int count) {
    StoreFloats(b, LoadColumns(b, from, column, count, dtype), b.At(to, column, 4), count);
  });
}

}  // namespace

void EmitEmbedTokens(EmitContext& context, const KernelSpec& spec) {
  const EmbedTokensShape shape = MatchEmbedTokens(spec).value();
  KernelBuilder b(context, CpuSymbol(spec));
  llvm::IRBuilder<>& ir = b.ir();
  Value* tokens = b.Arg(0);
  Value* table = b.Arg(1);
  Value* y = b.Arg(2);
  const RowLayout layout{shape.width, shape.dtype};
  ForTokens(b, shape.tokens, [&](Value* token) {
    Value* number = ir.CreateAlignedLoad(ir.getInt32Ty(), b.At(tokens, token, 4), llvm::Align(4));
    Value* row = b.At(table, ir.CreateSExt(number, ir.getInt64Ty()), layout.bytes());
    CopyRow(b, row, shape.dtype, b.At(y, token, 4 * shape.width), shape.width);
  });
  b.Finish();
}

void EmitEmbedPositions(EmitContext& context, const KernelSpec& spec) {
  const EmbedPositionsShape shape = MatchEmbedPositions(spec).value();
  KernelBuilder b(context, CpuSymbol(spec));
  llvm::IRBuilder<>& ir = b.ir();
  Value* x = b.Arg(0);
  Value* table = b.Arg(1);
  Value* y = b.Arg(2);
  // Of a batch each token has its own position.
  Value* past = shape.batch ? nullptr : b.Past();
  const RowLayout layout{shape.width, shape.dtype};
  ForTokens(b, shape.tokens, [&](Value* token) {
    Value* x_row = b.At(x, token, 4 * shape.width);
    Value* y_row = b.At(y, token, 4 * shape.width);
    Value* position = shape.batch ? b.PastOf(token) : ir.CreateAdd(past, token);
    Value* table_row = b.At(table, ir.CreateAdd(position, b.I64(shape.offset)), layout.bytes());
    ForColumns(b, shape.width, [&](Value* column, int count) {
      Value* embedding = LoadColumns(b, table_row, column, count, shape.dtype);
      Value* sum = ir.CreateFAdd(LoadColumns(b, x_row, column, count), embedding);
      StoreFloats(b, sum, b.At(y_row, column, 4), count);
    });
  });
  b.Finish();
}

void EmitLayerNorm(EmitContext& context, const KernelSpec& spec) {
  const LayerNormShape shape = MatchLayerNorm(spec).value();
  KernelBuilder b(context, CpuSymbol(spec));
  Value* x = b.Arg(0);
  Value* gamma = b.Arg(1);
  Value* beta = b.Arg(2);
  Value* y = b.Arg(3);
  ForTokens(b, shape.tokens, [&](Value* token) {
    NormaliseRow(b, {b.At(x, token, 4 * shape.width), gamma, beta}, shape.width, shape.epsilon,
                 b.At(y, token, 4 * shape.width));
  });
  b.Finish();
}

void EmitAdd(EmitContext& context, const KernelSpec& spec) {
  const RowsShape shape = MatchAdd(spec).value();
  KernelBuilder b(context, CpuSymbol(spec));
  Value* left = b.Arg(0);
  Value* right = b.Arg(1);
  Value* y = b.Arg(2);
  ForTokens(b, shape.tokens, [&](Value* token) {
    Value* left_row = b.At(left, token, 4 * shape.width);
    Value* right_row = b.At(right, token, 4 * shape.width);
    Value* y_row = b.At(y, token, 4 * shape.width);
    ForColumns(b, shape.width, [&](Value* column, int count) {
      Value* sum = b.ir().CreateFAdd(LoadColumns(b, left_row, column, count), LoadColumns(b, right_row, column, count));
      StoreFloats(b, sum, b.At(y_row, column, 4), count);
    });
  });
  b.Finish();
}

void EmitLastRow(EmitContext& context, const KernelSpec& spec) {
  const RowsShape shape = MatchLastRow(spec).value();
  KernelBuilder b(context, CpuSymbol(spec));
  Value* x = b.Arg(0);
  Value* y = b.Arg(1);
  Value* last = b.ir().CreateSub(b.Tokens(shape.tokens), b.I64(1));
  b.If(b.ir().CreateICmpEQ(b.thread(), b.I64(0)),
       [&] { CopyRow(b, b.At(x, last, 4 * shape.width), DType::kF32, y, shape.width); });
  b.Finish();
}

}  // namespace dejavu
