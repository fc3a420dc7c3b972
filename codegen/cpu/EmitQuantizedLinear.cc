// quantized_linear: y = ((scale step) (q8 . n)) up + bias, in f32 and with every rounding as SparseOps.h has it.
#include <limits>

#include "codegen/cpu/CpuKernels.h"
#include "codegen/cpu/Int8Rows.h"
#include "codegen/cpu/KernelBuilder.h"
#include "codegen/cpu/LayerNormRow.h"
#include "codegen/target/KernelShapes.h"

namespace dejavu {

using llvm::Value;

void EmitQuantizedLinear(EmitContext& context, const KernelSpec& spec) {
  const QuantizedLinearShape shape = MatchQuantizedLinear(spec).value();
  KernelBuilder b(context, CpuSymbol(spec));
  llvm::IRBuilder<>& ir = b.ir();
  Value* q8 = b.Arg(1);
  Value* scales = b.Arg(2);
  Value* bias = b.Arg(3);
  Value* x = NormedRow(b, {b.Arg(0), b.Arg(4), b.Arg(5)}, shape.k, shape.norm);
  Value* y = b.Arg(6);
  Int8Rows products(b, shape.k, shape.bits);
  const Range all = b.Share(b.I64((shape.n + Int8Rows::kRows - 1) / Int8Rows::kRows));
  products.ForTokens(all, shape.tokens, [&](const Range& blocks, Value* token) {
    Value* x_row = b.At(x, token, 4 * shape.k);
    Value* y_row = b.At(y, token, 4 * shape.n);
    Value* largest = products.LargestBits(x_row);
    Value* finite = products.IsFinite(largest);
    b.If(ir.CreateNot(finite), [&] {
      b.For(blocks.begin, blocks.end, 1, [&](Value* block) {
        for (Value* row : products.RowsOf(block, shape.n)) {
          b.StoreFloat(b.Float(std::numeric_limits<double>::quiet_NaN()), y_row, row);
        }
      });
    });
    b.If(finite, [&] {
      const Int8Rows::Input input = products.Quantize(x_row, largest);
      b.For(blocks.begin, blocks.end, 1, [&](Value* block) {
        const Values rows = products.RowsOf(block, shape.n);
        Value* dots = ir.CreateSIToFP(products.DotFour(q8, rows), b.FloatVector(4));
        for (size_t r = 0; r < rows.size(); ++r) {
          Value* scale = ir.CreateFMul(b.LoadFloat(scales, rows[r]), input.step);
          Value* sum = ir.CreateFMul(ir.CreateFMul(scale, ir.CreateExtractElement(dots, r)), input.up);
          b.StoreFloat(shape.bias ? ir.CreateFAdd(sum, b.LoadFloat(bias, rows[r])) : sum, y_row, rows[r]);
        }
      });
    });
  });
  b.Finish();
}

}  // namespace dejavu
