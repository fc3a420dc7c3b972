// quantized_test: flags the neurons that a copy of fc1 of few bits finds active, in f32 and with every rounding as
// SparseOps.h has it.
#include "codegen/cpu/CopyRows.h"
#include "codegen/cpu/CpuKernels.h"
#include "codegen/cpu/Int8Rows.h"
#include "codegen/cpu/KernelBuilder.h"
#include "codegen/cpu/LayerNormRow.h"
#include "codegen/target/KernelShapes.h"

namespace dejavu {

using llvm::Value;

void EmitQuantizedTest(EmitContext& context, const KernelSpec& spec) {
  const QuantizedTestShape shape = MatchQuantizedTest(spec).value();
  KernelBuilder b(context, CpuSymbol(spec));
  llvm::IRBuilder<>& ir = b.ir();
  Value* copy = b.Arg(1);
  Value* scales = b.Arg(2);
  Value* rows = b.Arg(3);
  Value* x = NormedRow(b, {b.Arg(0), b.Arg(4), b.Arg(5)}, shape.k, shape.norm);
  Value* flags = b.Arg(6);
  Int8Rows floats(b, shape.k);
  CopyRows products(b, shape.k, shape.bits, shape.group);
  const Range blocks = b.Share(b.I64((shape.n + Int8Rows::kRows - 1) / Int8Rows::kRows));
  const auto store = [&](Value* flag, Value* neuron) {
    ir.CreateAlignedStore(ir.CreateZExt(flag, ir.getInt8Ty()), b.At(flags, neuron, 1), llvm::Align(1));
  };
  Value* largest = floats.LargestBits(x);
  Value* finite = floats.IsFinite(largest);
  b.If(ir.CreateNot(finite), [&] {
    b.For(blocks.begin, blocks.end, 1, [&](Value* block) {
      for (Value* neuron : floats.RowsOf(block, shape.n)) {
        store(ir.getTrue(), neuron);
      }
    });
  });
  b.If(finite, [&] {
    const CopyRows::Rounding rounding = products.Round(x, largest);
    b.For(blocks.begin, blocks.end, 1, [&](Value* block) {
      const Values neurons = floats.RowsOf(block, shape.n);
      Value* dots = ir.CreateSIToFP(products.DotFour(copy, scales, neurons), b.FloatVector(4));
      for (size_t r = 0; r < neurons.size(); ++r) {
        Value* row = b.At(rows, neurons[r], 12);
        const auto column = [&](int64_t index) { return b.LoadFloat(row, b.I64(index)); };
        Value* sum = ir.CreateFMul(ir.CreateFMul(column(0), rounding.step), ir.CreateExtractElement(dots, r));
        Value* margin = ir.CreateFMul(b.Float(static_cast<double>(shape.margin)), column(2));
        Value* score = ir.CreateFAdd(ir.CreateFMul(sum, rounding.up), ir.CreateFAdd(column(1), margin));
        store(ir.CreateFCmpUGT(score, b.Float(0)), neurons[r]);
      }
    });
  });
  b.Finish();
}

}  // namespace dejavu
