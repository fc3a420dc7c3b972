// quantized_test: flags the neurons that a copy of fc1 of few bits finds active, in f32 and with every rounding as
// SparseOps.h has it.
#include "codegen/cpu/CopyRows.h"
#include "codegen/cpu/CpuKernels.h"
#include "codegen/cpu/IndexList.h"
#include "codegen/cpu/Int8Rows.h"
#include "codegen/cpu/KernelBuilder.h"
#include "codegen/cpu/LayerNormRow.h"
#include "codegen/cpu/VectorOps.h"
#include "codegen/target/KernelShapes.h"

namespace dejavu {

using llvm::Value;

namespace {

// How far ahead the entries of a list are whose rows are asked for.
int64_t BlocksAhead(const QuantizedTestShape& shape) {
  const int64_t bytes = Int8Rows::kRows * CopyRowBytes(shape.bits, shape.k);
  return (kCopyPrefetchBytes + bytes - 1) / bytes;
}

}  // namespace

void EmitQuantizedTest(EmitContext& context, const KernelSpec& spec) {
  const QuantizedTestShape shape = MatchQuantizedTest(spec).value();
  KernelBuilder b(context, CpuSymbol(spec));
  llvm::IRBuilder<>& ir = b.ir();
  Value* copy = b.Arg(1);
  Value* scales = b.Arg(2);
  Value* rows = b.Arg(3);
  Value* x = NormedRow(b, {b.Arg(0), b.Arg(5), b.Arg(6)}, shape.k, shape.norm);
  Value* flags = b.Arg(7);
  Int8Rows floats(b, shape.k);
  CopyRows products(b, shape.k, shape.bits, shape.group);
  // Entries of a list are numbers of flags too; past the end the last one is tested again, with the same result.
  Value* among = b.Arg(4);
  Value* count = shape.among ? LoadI32(b, among, b.I64(0)) : b.I64(shape.n);
  Value* numbers = b.At(among, kNumbersOffset);
  const auto entries_of = [&](Value* block) {
    return shape.among ? floats.RowsOf(block, count) : floats.RowsOf(block, shape.n);
  };
  const auto neurons_of = [&](Values entries) {
    for (Value*& entry : entries) {
      entry = shape.among ? LoadI32(b, numbers, entry) : entry;
    }
    return entries;
  };
  const Range blocks = b.Share(ir.CreateUDiv(ir.CreateAdd(count, b.I64(Int8Rows::kRows - 1)), b.I64(Int8Rows::kRows)));
  const auto store = [&](Value* flag, Value* entry) {
    ir.CreateAlignedStore(ir.CreateZExt(flag, ir.getInt8Ty()), b.At(flags, entry, 1), llvm::Align(1));
  };
  Value* largest = floats.LargestBits(x);
  Value* finite = floats.IsFinite(largest);
  b.If(ir.CreateNot(finite), [&] {
    b.For(blocks.begin, blocks.end, 1, [&](Value* block) {
      for (Value* entry : entries_of(block)) {
        store(ir.getTrue(), entry);
      }
    });
  });
  b.If(finite, [&] {
    const CopyRows::Rounding rounding = products.Round(x, largest);
    b.For(blocks.begin, blocks.end, 1, [&](Value* block) {
      const Values entries = entries_of(block);
      const Values neurons = neurons_of(entries);
      const Values next =
          shape.among ? neurons_of(entries_of(ir.CreateAdd(block, b.I64(BlocksAhead(shape))))) : Values{};
      for (Value* neuron : next) {
        Prefetch(b, b.At(rows, neuron, 12));
      }
      Value* dots = ir.CreateSIToFP(products.DotFour(copy, scales, neurons, next), b.FloatVector(4));
      for (size_t r = 0; r < neurons.size(); ++r) {
        Value* row = b.At(rows, neurons[r], 12);
        const auto column = [&](int64_t index) { return b.LoadFloat(row, b.I64(index)); };
        Value* sum = ir.CreateFMul(ir.CreateFMul(column(0), rounding.step), ir.CreateExtractElement(dots, r));
        Value* margin = ir.CreateFMul(b.Float(static_cast<double>(shape.margin)), column(2));
        Value* score = ir.CreateFAdd(ir.CreateFMul(sum, rounding.up), ir.CreateFAdd(column(1), margin));
        store(ir.CreateFCmpUGT(score, b.Float(0)), entries[r]);
      }
    });
  });
  b.Finish();
}

}  // namespace dejavu
