// sparse_fc1 and sparse_fc2: only the rows of chosen neurons are read.
#include <algorithm>

#include "codegen/cpu/CpuKernels.h"
#include "codegen/cpu/IndexList.h"
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

void EmitSparseFc1(EmitContext& context, const KernelSpec& spec) {
  const SparseFc1Shape shape = MatchSparseFc1(spec).value();
  KernelBuilder b(context, CpuSymbol(spec));
  llvm::IRBuilder<>& ir = b.ir();
  Value* fc1 = b.Arg(1);
  Value* bias = b.Arg(2);
  Value* active = b.Arg(3);
  Value* x = NormedRow(b, {b.Arg(0), b.Arg(4), b.Arg(5)}, shape.k, shape.norm);
  Value* h = b.Arg(6);
  Value* numbers = b.At(active, kNumbersOffset);
  const RowLayout layout{shape.k, shape.dtype};
  const Range share = b.Share(LoadI32(b, active, b.I64(0)));
  Value* last = ir.CreateSub(share.end, b.I64(1));
  const int64_t rows_ahead = (RowBlock::kPrefetchBytes + layout.bytes() - 1) / layout.bytes();
  b.For(share.begin, share.end, RowBlock::kRows, [&](Value* first) {
    Values entries;
    Values neurons;
    Values rows;
    Values next_rows;  // those whose lines are asked for
    for (int64_t r = 0; r < RowBlock::kRows; ++r) {
      // Past the end the last entry is computed again, to the same value.
      entries.push_back(Smaller(b, ir.CreateAdd(first, b.I64(r)), last));
      neurons.push_back(LoadI32(b, numbers, entries.back()));
      rows.push_back(b.At(fc1, neurons.back(), layout.bytes()));
      Value* next = Smaller(b, ir.CreateAdd(first, b.I64(rows_ahead + r)), last);
      next_rows.push_back(b.At(fc1, LoadI32(b, numbers, next), layout.bytes()));
    }
    const auto prefetch = [&](int r, Value* offset) {
      return ir.CreateGEP(ir.getInt8Ty(), next_rows[static_cast<size_t>(r)], offset);
    };
    b.For(b.I64(0), b.I64(shape.tokens), 1, [&](Value* token) {
      Value* sums = DotFourRows(b, rows, b.At(x, token, 4 * shape.k), layout, prefetch);
      for (size_t r = 0; r < RowBlock::kRows; ++r) {
        Value* sum = ir.CreateFAdd(ir.CreateExtractElement(sums, r), b.LoadFloat(bias, neurons[r]));
        Value* index = ir.CreateAdd(ir.CreateMul(entries[r], b.I64(shape.tokens)), token);
        b.StoreFloat(Relu(b, sum), h, index);
      }
    });
  });
  b.Finish();
}

namespace {

// Threads share the columns, so each sum runs over the neurons in their order. Neurons are taken in blocks, of which
// first those with h = 0 are sorted out; then the rows of the others are added to y one after the other, which stays
// in the first-level cache.
class SparseFc2Emitter {
 public:
  SparseFc2Emitter(EmitContext& context, const KernelSpec& spec)
      : shape_(MatchSparseFc2(spec).value()),
        layout_{shape_.width, shape_.dtype},
        b_(context, CpuSymbol(spec)),
        ir_(b_.ir()),
        h_(b_.Arg(0)),
        active_(b_.Arg(1)),
        fc2t_(b_.Arg(2)),
        bias_(b_.Arg(3)),
        residual_(b_.Arg(4)),
        y_(b_.Arg(5)),
        block_rows_(b_.Scratch(8 * kBlock)),
        block_h_(b_.Scratch(4 * kBlock * shape_.tokens)) {}

  void Emit() {
    const Range units = b_.Share(b_.I64((shape_.width + kUnit - 1) / kUnit));
    const Range columns = {ir_.CreateMul(units.begin, b_.I64(kUnit)),
                           Smaller(b_, ir_.CreateMul(units.end, b_.I64(kUnit)), b_.I64(shape_.width))};
    ForParts(columns, [&](Value* column, int count) {
      Value* bias = LoadFloats(b_, b_.At(bias_, column, 4), DType::kF32, count);
      for (int64_t token = 0; token < shape_.tokens; ++token) {
        Value* start = bias;
        if (shape_.residual) {
          start = ir_.CreateFAdd(start, LoadFloats(b_, Of(residual_, token, column), DType::kF32, count));
        }
        StoreFloats(b_, start, Of(y_, token, column), count);
      }
    });
    Value* count = LoadI32(b_, active_, b_.I64(0));
    b_.For(b_.I64(0), count, kBlock, [&](Value* start) {
      AddRows(CollectRows(start, Smaller(b_, ir_.CreateAdd(start, b_.I64(kBlock)), count)), columns);
    });
    b_.Finish();
  }

 private:
  // Columns are shared out in units of this many: at least a cache line of weights.
  static constexpr int64_t kUnit = 32;
  // Neurons per block.
  static constexpr int64_t kBlock = 256;

  // Covers the columns with whole units, then with what the last unit has left.
  void ForParts(const Range& columns, llvm::function_ref<void(Value* column, int count)> body) {
    Value* whole = ir_.CreateSub(columns.end, ir_.CreateURem(columns.end, b_.I64(kUnit)));
    b_.For(columns.begin, whole, kUnit, [&](Value* column) {
      for (int64_t part = 0; part < kUnit; part += b_.lanes()) {
        body(ir_.CreateAdd(column, b_.I64(part)), b_.lanes());
      }
    });
    if (shape_.width % kUnit != 0) {
      b_.For(whole, columns.end, kWidthMultiple, [&](Value* column) { body(column, kWidthMultiple); });
    }
  }

  // Column `column` of a token's row.
  Value* Of(Value* rows, int64_t token, Value* column) {
    return b_.At(b_.At(rows, 4 * shape_.width * token), column, 4);
  }

  // Fills block_rows_ and block_h_ from the entries [start, end) with an h != 0; returns their number.
  Value* CollectRows(Value* start, Value* end) {
    const Values found = b_.For(start, end, 1, {b_.I64(0)}, [&](Value* i, const Values& carried) {
      Value* neuron = LoadI32(b_, b_.At(active_, kNumbersOffset), i);
      ir_.CreateAlignedStore(b_.At(fc2t_, neuron, layout_.bytes()), b_.At(block_rows_, carried[0], 8), llvm::Align(8));
      Value* used = ir_.getFalse();
      for (int64_t token = 0; token < shape_.tokens; ++token) {
        Value* h = b_.LoadFloat(h_, Index(i, token));
        b_.StoreFloat(h, block_h_, Index(carried[0], token));
        used = ir_.CreateOr(used, ir_.CreateFCmpUNE(h, b_.Float(0)));
      }
      return Values{ir_.CreateAdd(carried[0], ir_.CreateZExt(used, ir_.getInt64Ty()))};
    });
    return found[0];
  }

  // Where a neuron's h for a token is.
  Value* Index(Value* entry, int64_t token) {
    return ir_.CreateAdd(ir_.CreateMul(entry, b_.I64(shape_.tokens)), b_.I64(token));
  }

  Value* LoadRow(Value* index) {
    return ir_.CreateAlignedLoad(ir_.getPtrTy(), b_.At(block_rows_, index, 8), llvm::Align(8));
  }

  // y += h * row for the collected rows, over the columns of this thread.
  void AddRows(Value* rows, const Range& columns) {
    const int64_t size = layout_.element_bytes();
    Value* last = ir_.CreateSub(rows, b_.I64(1));
    // Of a row, this thread reads these bytes, at least one unit.
    Value* part_bytes = ir_.CreateMul(ir_.CreateSub(columns.end, columns.begin), b_.I64(size));
    part_bytes = ir_.CreateBinaryIntrinsic(llvm::Intrinsic::smax, part_bytes, b_.I64(kWidthMultiple * size));
    Value* rows_ahead = ir_.CreateAdd(ir_.CreateUDiv(b_.I64(RowBlock::kPrefetchBytes), part_bytes), b_.I64(1));
    b_.For(b_.I64(0), rows, 1, [&](Value* i) {
      Value* row = LoadRow(i);
      Values h;
      for (int64_t token = 0; token < shape_.tokens; ++token) {
        h.push_back(b_.LoadFloat(block_h_, Index(i, token)));
      }
      Value* next_row = LoadRow(Smaller(b_, ir_.CreateAdd(i, rows_ahead), last));
      int64_t prefetched = 64;
      ForParts(columns, [&](Value* column, int count) {
        if (prefetched >= 64) {
          Prefetch(b_, b_.At(next_row, column, size));
          prefetched = 0;
        }
        prefetched += count * size;
        Value* weights = LoadFloats(b_, b_.At(row, column, size), shape_.dtype, count);
        for (int64_t token = 0; token < shape_.tokens; ++token) {
          Value* address = Of(y_, token, column);
          Value* sum = LoadFloats(b_, address, DType::kF32, count);
          Value* factor = Splat(b_, h[static_cast<size_t>(token)], count);
          StoreFloats(b_, MulAdd(b_, weights, factor, sum), address, count);
        }
      });
    });
  }

  const SparseFc2Shape shape_;
  const RowLayout layout_;
  KernelBuilder b_;
  llvm::IRBuilder<>& ir_;
  Value* h_;
  Value* active_;
  Value* fc2t_;
  Value* bias_;
  Value* residual_;
  Value* y_;
  Value* block_rows_;  // pointers (kBlock)
  Value* block_h_;     // f32 (kBlock, tokens)
};

}  // namespace

void EmitSparseFc2(EmitContext& context, const KernelSpec& spec) { SparseFc2Emitter(context, spec).Emit(); }

}  // namespace dejavu
