// compact, sparse_fc1 and sparse_fc2: only the rows of chosen neurons are read.
#include <algorithm>

#include "codegen/cpu/CpuKernels.h"
#include "codegen/cpu/KernelBuilder.h"
#include "codegen/cpu/VectorOps.h"
#include "codegen/target/KernelShapes.h"
#include "llvm/IR/Intrinsics.h"

namespace dejavu {
namespace {

using llvm::Value;

// Where the numbers of an index list begin, after the count and its padding.
constexpr int64_t kNumbersOffset = 64;
// Rows of sparse_fc1 in work at a time.
constexpr int64_t kRows = 4;
// Bytes of rows that are asked for ahead of the row in work.
constexpr int64_t kPrefetchBytes = 4096;

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

// Appends to `numbers` the numbers of the set flags in [start, start + size); returns the new count.
Value* CompactBlock(KernelBuilder& b, Value* flags, Value* start, int size, Value* numbers, Value* count) {
  llvm::IRBuilder<>& ir = b.ir();
  auto* type = llvm::FixedVectorType::get(ir.getInt8Ty(), static_cast<unsigned>(size));
  Value* block = ir.CreateAlignedLoad(type, b.At(flags, start, 1), llvm::Align(1));
  Value* set = ir.CreateICmpNE(block, llvm::Constant::getNullValue(type));
  Value* bits = ir.CreateBitCast(set, ir.getIntNTy(static_cast<unsigned>(size)));
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

void EmitCompact(EmitContext& context, const KernelSpec& spec) {
  const CompactShape shape = MatchCompact(spec).value();
  KernelBuilder b(context, CpuSymbol(spec));
  llvm::IRBuilder<>& ir = b.ir();
  Value* flags = b.Arg(0);
  Value* active = b.Arg(1);
  Value* numbers = b.At(active, kNumbersOffset);
  const int block = 4 * b.lanes();
  const int64_t main = shape.n / block * block;
  b.If(ir.CreateICmpEQ(b.thread(), b.I64(0)), [&] {
    const Values zero = {b.I64(0)};
    Values count = b.For(b.I64(0), b.I64(main), block, zero, [&](Value* start, const Values& carried) {
      return Values{CompactBlock(b, flags, start, block, numbers, carried[0])};
    });
    // The count never passes i, so the store that is only kept for a set flag stays inside the list.
    count = b.For(b.I64(main), b.I64(shape.n), 1, count, [&](Value* i, const Values& carried) {
      StoreI32(b, i, numbers, carried[0]);
      Value* flag = ir.CreateAlignedLoad(ir.getInt8Ty(), b.At(flags, i, 1), llvm::Align(1));
      Value* set = ir.CreateICmpNE(flag, ir.getInt8(0));
      return Values{ir.CreateAdd(carried[0], ir.CreateZExt(set, ir.getInt64Ty()))};
    });
    StoreI32(b, count[0], active, b.I64(0));
  });
  b.Finish();
}

void EmitSparseFc1(EmitContext& context, const KernelSpec& spec) {
  const SparseFc1Shape shape = MatchSparseFc1(spec).value();
  KernelBuilder b(context, CpuSymbol(spec));
  llvm::IRBuilder<>& ir = b.ir();
  Value* x = b.Arg(0);
  Value* fc1 = b.Arg(1);
  Value* bias = b.Arg(2);
  Value* active = b.Arg(3);
  Value* h = b.Arg(4);
  Value* numbers = b.At(active, kNumbersOffset);
  const RowLayout layout{shape.k, shape.dtype};
  const Range share = b.Share(LoadI32(b, active, b.I64(0)));
  Value* last = ir.CreateSub(share.end, b.I64(1));
  const int64_t rows_ahead = (kPrefetchBytes + layout.bytes() - 1) / layout.bytes();
  const int64_t ahead_in_row = layout.bytes() > kPrefetchBytes ? kPrefetchBytes : 0;
  b.For(share.begin, share.end, kRows, [&](Value* first) {
    Values entries;
    Values neurons;
    Values rows;
    Values next_rows;  // those whose lines are asked for
    for (int64_t r = 0; r < kRows; ++r) {
      // Past the end the last entry is computed again, to the same value.
      entries.push_back(Smaller(b, ir.CreateAdd(first, b.I64(r)), last));
      neurons.push_back(LoadI32(b, numbers, entries.back()));
      rows.push_back(b.At(fc1, neurons.back(), layout.bytes()));
      Value* next = Smaller(b, ir.CreateAdd(first, b.I64(rows_ahead + r)), last);
      next_rows.push_back(b.At(fc1, LoadI32(b, numbers, next), layout.bytes()));
    }
    // The line that is kPrefetchBytes ahead, were the chosen rows side by side: for long rows mostly the same row's.
    const auto prefetch = [&](int r, Value* offset) {
      Value* row = next_rows[static_cast<size_t>(r)];
      if (ahead_in_row == 0) {
        return ir.CreateGEP(ir.getInt8Ty(), row, offset);
      }
      Value* inside = ir.CreateICmpSLT(offset, b.I64(layout.bytes() - ahead_in_row));
      Value* wrapped = ir.CreateGEP(ir.getInt8Ty(), row, b.I64(-layout.bytes()));
      row = ir.CreateSelect(inside, rows[static_cast<size_t>(r)], wrapped);
      return b.At(ir.CreateGEP(ir.getInt8Ty(), row, offset), ahead_in_row);
    };
    Value* sums = DotFourRows(b, rows, x, layout, prefetch);
    for (size_t r = 0; r < kRows; ++r) {
      Value* sum = ir.CreateFAdd(ir.CreateExtractElement(sums, r), b.LoadFloat(bias, neurons[r]));
      b.StoreFloat(Relu(b, sum), h, entries[r]);
    }
  });
  b.Finish();
}

namespace {

// Threads share the columns, so each sum runs over the neurons in their order. Neurons are taken in blocks, of which
// first those with h = 0 are sorted out; then for as many columns as fit into registers, their rows are added up.
class SparseFc2Emitter {
 public:
  SparseFc2Emitter(EmitContext& context, const KernelSpec& spec)
      : shape_(MatchSparseFc2(spec).value()),
        b_(context, CpuSymbol(spec)),
        ir_(b_.ir()),
        h_(b_.Arg(0)),
        active_(b_.Arg(1)),
        fc2t_(b_.Arg(2)),
        bias_(b_.Arg(3)),
        residual_(b_.Arg(4)),
        y_(b_.Arg(5)),
        block_rows_(b_.Scratch(8 * kBlock)),
        block_h_(b_.Scratch(4 * kBlock)) {}

  void Emit() {
    const Range units = b_.Share(b_.I64((shape_.width + kUnit - 1) / kUnit));
    const Range columns = {ir_.CreateMul(units.begin, b_.I64(kUnit)),
                           Smaller(b_, ir_.CreateMul(units.end, b_.I64(kUnit)), b_.I64(shape_.width))};
    ForTiles(columns, [&](Value* column, const Tile& tile) { StartTile(column, tile); });
    Value* count = LoadI32(b_, active_, b_.I64(0));
    b_.For(b_.I64(0), count, kBlock, [&](Value* start) {
      Value* rows = CollectRows(start, Smaller(b_, ir_.CreateAdd(start, b_.I64(kBlock)), count));
      ForTiles(columns, [&](Value* column, const Tile& tile) { AddRows(rows, column, tile); });
    });
    b_.Finish();
  }

 private:
  // Columns are shared out in units of this many.
  static constexpr int64_t kUnit = 32;
  // Neurons per block.
  static constexpr int64_t kBlock = 256;

  // Columns whose sums stand in registers together.
  struct Tile {
    int vectors;
    int lanes;
    [[nodiscard]] int64_t columns() const { return static_cast<int64_t>(vectors) * lanes; }
  };

  // Covers the columns with tiles, the largest first.
  void ForTiles(const Range& columns, llvm::function_ref<void(Value*, const Tile&)> body) {
    const int lanes = b_.lanes();
    Value* column = columns.begin;
    for (const Tile tile : {Tile{b_.isa().registers * 3 / 4, lanes}, Tile{b_.isa().registers / 4, lanes},
                            Tile{1, lanes}, Tile{1, std::min<int>(lanes, kWidthMultiple)}}) {
      const bool wanted = tile.columns() <= shape_.width && (tile.vectors > 1 || tile.lanes == lanes ||
                                                             shape_.width % lanes != 0);
      if (!wanted) {
        continue;
      }
      Value* left = ir_.CreateSub(columns.end, column);
      Value* in_tiles = ir_.CreateSub(left, ir_.CreateURem(left, b_.I64(tile.columns())));
      Value* end = ir_.CreateAdd(column, in_tiles);
      b_.For(column, end, tile.columns(), [&](Value* start) { body(start, tile); });
      column = end;
    }
  }

  [[nodiscard]] Value* LoadPart(Value* base, Value* column, const Tile& tile, int part, DType dtype = DType::kF32) {
    const auto bytes = static_cast<int64_t>(DTypeSize(dtype));
    return LoadFloats(b_, b_.At(b_.At(base, column, bytes), part * tile.lanes * bytes), dtype, tile.lanes);
  }

  void StorePart(Value* value, Value* column, const Tile& tile, int part) {
    StoreFloats(b_, value, b_.At(b_.At(y_, column, 4), 4 * part * tile.lanes), tile.lanes);
  }

  void StartTile(Value* column, const Tile& tile) {
    for (int part = 0; part < tile.vectors; ++part) {
      Value* start = LoadPart(bias_, column, tile, part);
      if (shape_.residual) {
        start = ir_.CreateFAdd(start, LoadPart(residual_, column, tile, part));
      }
      StorePart(start, column, tile, part);
    }
  }

  // Fills block_rows_ and block_h_ from the entries [start, end) with h != 0; returns their number.
  Value* CollectRows(Value* start, Value* end) {
    const Values found = b_.For(start, end, 1, {b_.I64(0)}, [&](Value* i, const Values& carried) {
      Value* neuron = LoadI32(b_, b_.At(active_, kNumbersOffset), i);
      Value* h = b_.LoadFloat(h_, i);
      const RowLayout layout{shape_.width, shape_.dtype};
      ir_.CreateAlignedStore(b_.At(fc2t_, neuron, layout.bytes()), b_.At(block_rows_, carried[0], 8), llvm::Align(8));
      b_.StoreFloat(h, block_h_, carried[0]);
      Value* used = ir_.CreateFCmpUNE(h, b_.Float(0));
      return Values{ir_.CreateAdd(carried[0], ir_.CreateZExt(used, ir_.getInt64Ty()))};
    });
    return found[0];
  }

  Value* LoadRow(Value* index) {
    return ir_.CreateAlignedLoad(ir_.getPtrTy(), b_.At(block_rows_, index, 8), llvm::Align(8));
  }

  void AddRows(Value* rows, Value* column, const Tile& tile) {
    const auto element_bytes = static_cast<int64_t>(DTypeSize(shape_.dtype));
    const int64_t tile_bytes = tile.columns() * element_bytes;
    const int64_t ahead = std::clamp<int64_t>(kPrefetchBytes / tile_bytes, 1, 16);
    Value* last = ir_.CreateSub(rows, b_.I64(1));
    Values sums;
    for (int part = 0; part < tile.vectors; ++part) {
      sums.push_back(LoadPart(y_, column, tile, part));
    }
    sums = b_.For(b_.I64(0), rows, 1, sums, [&](Value* i, const Values& carried) {
      Value* next_row = LoadRow(Smaller(b_, ir_.CreateAdd(i, b_.I64(ahead)), last));
      Value* next_address = b_.At(next_row, column, element_bytes);
      for (int64_t line = 0; line < tile_bytes; line += 64) {
        Prefetch(b_, b_.At(next_address, line));
      }
      Value* row = LoadRow(i);
      Value* h = Splat(b_, b_.LoadFloat(block_h_, i), tile.lanes);
      Values next;
      for (int part = 0; part < tile.vectors; ++part) {
        Value* weights = LoadPart(row, column, tile, part, shape_.dtype);
        next.push_back(MulAdd(b_, weights, h, carried[static_cast<size_t>(part)]));
      }
      return next;
    });
    for (int part = 0; part < tile.vectors; ++part) {
      StorePart(sums[static_cast<size_t>(part)], column, tile, part);
    }
  }

  const SparseFc2Shape shape_;
  KernelBuilder b_;
  llvm::IRBuilder<>& ir_;
  Value* h_;
  Value* active_;
  Value* fc2t_;
  Value* bias_;
  Value* residual_;
  Value* y_;
  Value* block_rows_;  // pointers (kBlock)
  Value* block_h_;     // f32 (kBlock)
};

}  // namespace

void EmitSparseFc2(EmitContext& context, const KernelSpec& spec) { SparseFc2Emitter(context, spec).Emit(); }

}  // namespace dejavu
