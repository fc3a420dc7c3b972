// attention: stores the new K and V in the cache, then softmax(scale q K) V, block by block over the positions. The
// running maximum and sum make one pass over the cache enough, with scratch for one block only.
#include <algorithm>
#include <limits>

#include "codegen/cpu/CpuKernels.h"
#include "codegen/cpu/IndexList.h"
#include "codegen/cpu/KernelBuilder.h"
#include "codegen/cpu/VectorOps.h"
#include "codegen/target/KernelShapes.h"
#include "llvm/IR/Intrinsics.h"

namespace dejavu {
namespace {

using llvm::Value;

// Positions whose scores are held at a time; a multiple of every vector width.
constexpr int64_t kBlock = 64;
// How far ahead lines of K and V are asked for, in bytes; the rows of a head lie side by side.
constexpr int64_t kPrefetchBytes = 2048;

class AttentionEmitter {
 public:
  AttentionEmitter(EmitContext& context, const KernelSpec& spec)
      : shape_(MatchAttention(spec).value()),
        b_(context, CpuSymbol(spec)),
        ir_(b_.ir()),
        row_bytes_(4 * shape_.head_dim),
        scores_(b_.Scratch(8 * kBlock)),
        weights_(b_.Scratch(4 * kBlock)),
        sums_(b_.Scratch(4 * shape_.head_dim)) {}

  void Emit() {
    Value* qkv = b_.Arg(0);
    Value* cache = b_.Arg(1);
    Value* list = b_.Arg(2);
    Value* y = b_.Arg(shape_.lazy ? 4 : 3);
    Value* tokens = b_.Tokens(shape_.tokens);
    Value* past = shape_.batch ? nullptr : b_.Past();
    const int64_t width_bytes = shape_.heads * row_bytes_;
    const int64_t head_bytes = shape_.positions * row_bytes_;
    // Of a batch each token is of another sequence, which has its own past and its own part of the cache.
    const auto position_of = [&](Value* token) { return shape_.batch ? b_.PastOf(token) : ir_.CreateAdd(past, token); };
    const auto keys_of = [&](Value* head, Value* token) {
      Value* keys = b_.At(cache, head, head_bytes);
      return shape_.batch ? b_.At(keys, token, 2 * shape_.heads * head_bytes) : keys;
    };
    const auto store = [&](Value* head) {
      b_.For(b_.I64(0), tokens, 1, [&](Value* token) {
        Value* keys = keys_of(head, token);
        Value* values = b_.At(keys, shape_.heads * head_bytes);
        Value* query = b_.At(b_.At(qkv, head, row_bytes_), token, 3 * width_bytes);
        Value* position = position_of(token);
        CopyRow(b_.At(query, width_bytes), b_.At(keys, position, row_bytes_));
        CopyRow(b_.At(query, 2 * width_bytes), b_.At(values, position, row_bytes_));
      });
    };
    const auto attend = [&](Value* head) {
      b_.For(b_.I64(0), tokens, 1, [&](Value* token) {
        Value* keys = keys_of(head, token);
        Value* values = b_.At(keys, shape_.heads * head_bytes);
        Value* context = ir_.CreateAdd(position_of(token), b_.I64(1));
        Attend(b_.At(b_.At(qkv, head, row_bytes_), token, 3 * width_bytes), keys, values, context,
               b_.At(b_.At(y, head, row_bytes_), token, width_bytes));
      });
    };
    if (shape_.lazy) {
      Count(list, b_.Arg(3), past);
      const Range entries = b_.Share(LoadI32(b_, list, b_.I64(0)));
      b_.For(entries.begin, entries.end, 1, [&](Value* entry) {
        Value* head = LoadI32(b_, b_.At(list, kNumbersOffset), entry);
        store(head);
        attend(head);
      });
    } else if (shape_.listed) {
      ForListed(list, store, attend);
    } else {
      const Range heads = b_.Share(b_.I64(shape_.heads));
      b_.For(heads.begin, heads.end, 1, [&](Value* head) {
        store(head);
        attend(head);
      });
    }
    b_.Finish();
  }

 private:
  using HeadFn = llvm::function_ref<void(Value* head)>;

  // How many keys and values each head has after this token: listed ones all, others no more than there were.
  void Count(Value* list, Value* filled, Value* past) {
    b_.If(ir_.CreateICmpEQ(b_.thread(), b_.I64(0)), [&] {
      b_.For(b_.I64(0), b_.I64(shape_.heads), 1, [&](Value* head) {
        Value* known = ir_.CreateBinaryIntrinsic(llvm::Intrinsic::umin, LoadI32(b_, filled, head), past);
        StoreI32(b_, known, filled, head);
      });
      b_.For(b_.I64(0), LoadI32(b_, list, b_.I64(0)), 1, [&](Value* entry) {
        Value* head = LoadI32(b_, b_.At(list, kNumbersOffset), entry);
        StoreI32(b_, ir_.CreateAdd(past, b_.I64(1)), filled, head);
      });
    });
  }

  // Calls `store` for every head and `attend` for those in the list. Threads share the list, as attending is the work.
  // Each also stores the heads from its first entry to that of the next thread, the first one those before it too, so
  // that it attends to what it stored itself.
  void ForListed(Value* list, HeadFn store, HeadFn attend) {
    Value* numbers = b_.At(list, kNumbersOffset);
    Value* count = LoadI32(b_, list, b_.I64(0));
    const Range entries = b_.Share(count);
    // The list has room for every head, so entry `count` is there, with any number, unless all are listed.
    const auto start_of = [&](Value* entry) {
      Value* safe = Smaller(b_, entry, b_.I64(shape_.heads - 1));
      Value* start = ir_.CreateSelect(ir_.CreateICmpEQ(entry, count), b_.I64(shape_.heads), LoadI32(b_, numbers, safe));
      return ir_.CreateSelect(ir_.CreateICmpEQ(entry, b_.I64(0)), b_.I64(0), start);
    };
    Value* has_entries = ir_.CreateICmpSLT(entries.begin, entries.end);
    // Without a list's entry the first thread stores all.
    Value* stores_all = ir_.CreateAnd(ir_.CreateICmpEQ(count, b_.I64(0)), ir_.CreateICmpEQ(b_.thread(), b_.I64(0)));
    Value* begin = ir_.CreateSelect(has_entries, start_of(entries.begin), b_.I64(0));
    Value* end = ir_.CreateSelect(has_entries, start_of(entries.end),
                                  ir_.CreateSelect(stores_all, b_.I64(shape_.heads), b_.I64(0)));
    b_.For(begin, end, 1, store);
    b_.For(entries.begin, entries.end, 1, [&](Value* entry) { attend(LoadI32(b_, numbers, entry)); });
  }

  void CopyRow(Value* from, Value* to) {
    ForColumns(b_, shape_.head_dim, [&](Value* column, int count) {
      StoreFloats(b_, LoadFloats(b_, b_.At(from, column, 4), DType::kF32, count), b_.At(to, column, 4), count);
    });
  }

  // y = softmax(scale * query . keys[0..context)) values[0..context)
  void Attend(Value* query, Value* keys, Value* values, Value* context, Value* y) {
    ForColumns(b_, shape_.head_dim, [&](Value* column, int count) {
      StoreFloats(b_, ZeroVector(b_, count), b_.At(sums_, column, 4), count);
    });
    const Values initial = {llvm::ConstantFP::get(ir_.getDoubleTy(), -std::numeric_limits<double>::infinity()),
                            b_.Float(0)};
    const Values state = b_.For(b_.I64(0), context, kBlock, initial, [&](Value* start, const Values& carried) {
      Value* count = ir_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, ir_.CreateSub(context, start), b_.I64(kBlock));
      Scores(query, b_.At(keys, start, row_bytes_), count);
      Value* maximum = Maximum(carried[0]);
      Value* correction = ExpOfNegative(b_, ir_.CreateFPTrunc(ir_.CreateFSub(carried[0], maximum), ir_.getFloatTy()));
      Value* total = MulAdd(b_, carried[1], correction, Exponentiate(maximum));
      AddValues(b_.At(values, start, row_bytes_), count, correction);
      return Values{maximum, total};
    });
    Value* inverse = ir_.CreateFDiv(b_.Float(1), state[1]);
    ForColumns(b_, shape_.head_dim, [&](Value* column, int count) {
      Value* sum = LoadFloats(b_, b_.At(sums_, column, 4), DType::kF32, count);
      StoreFloats(b_, ir_.CreateFMul(sum, Splat(b_, inverse, count)), b_.At(y, column, 4), count);
    });
  }

  llvm::FixedVectorType* Doubles(int count) {
    return llvm::FixedVectorType::get(ir_.getDoubleTy(), static_cast<unsigned>(count));
  }

  Value* LoadScores(Value* first, int count) {
    return ir_.CreateAlignedLoad(Doubles(count), b_.At(scores_, first, 8), llvm::Align(8));
  }

  void StoreScores(Value* scores, Value* first) {
    ir_.CreateAlignedStore(scores, b_.At(scores_, first, 8), llvm::Align(8));
  }

  // scores_[i] = scale * query . keys[i] for i < count, minus infinity up to kBlock. Trained models have heads whose
  // scores are in the hundreds, where exp makes a rounding to f32 the largest error of a forward pass; so scores are
  // double until the maximum is subtracted. That costs no time, as reading the keys takes longer.
  void Scores(Value* query, Value* keys, Value* count) {
    ForColumns(b_, kBlock, [&](Value* column, int lanes) { StoreScores(Absent(lanes), column); });
    Value* last = ir_.CreateSub(count, b_.I64(1));
    const RowLayout layout{shape_.head_dim, DType::kF32, /*in_double=*/true};
    b_.For(b_.I64(0), count, 4, [&](Value* first) {
      Values rows;
      Value* valid = llvm::PoisonValue::get(llvm::FixedVectorType::get(ir_.getInt1Ty(), 4));
      for (int64_t r = 0; r < 4; ++r) {
        Value* number = ir_.CreateAdd(first, b_.I64(r));
        valid = ir_.CreateInsertElement(valid, ir_.CreateICmpSLE(number, last), static_cast<uint64_t>(r));
        number = ir_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, number, last);
        rows.push_back(b_.At(keys, number, row_bytes_));
      }
      const auto prefetch = [&](int r, Value* offset) {
        return b_.At(ir_.CreateGEP(ir_.getInt8Ty(), rows[static_cast<size_t>(r)], offset), kPrefetchBytes);
      };
      Value* dots = DotFourRows(b_, rows, query, layout, prefetch);
      Value* scaled = ir_.CreateFMul(dots, llvm::ConstantFP::get(dots->getType(), double{shape_.scale}));
      StoreScores(ir_.CreateSelect(valid, scaled, Absent(4)), first);
    });
  }

  // What positions without a score have.
  llvm::Constant* Absent(int count) {
    return llvm::ConstantFP::get(Doubles(count), -std::numeric_limits<double>::infinity());
  }

  // The largest of the scores and `before`.
  Value* Maximum(Value* before) {
    const Values initial = {Splat(b_, before, b_.lanes())};
    const Values largest = ForColumns(b_, kBlock, initial, [&](Value* column, int lanes, const Values& carried) {
      return Values{Max(b_, LoadScores(column, lanes), carried[0])};
    });
    return FoldLanes(b_, largest[0], [&](Value* x, Value* y) { return Max(b_, x, y); });
  }

  // weights_ = exp(scores_ - maximum); returns their sum.
  Value* Exponentiate(Value* maximum) {
    const Values zero = {ZeroVector(b_, b_.lanes())};
    const Values sum = ForColumns(b_, kBlock, zero, [&](Value* column, int lanes, const Values& carried) {
      Value* below = ir_.CreateFSub(LoadScores(column, lanes), Splat(b_, maximum, lanes));
      Value* weight = ExpOfNegative(b_, ir_.CreateFPTrunc(below, b_.FloatVector(lanes)));
      StoreFloats(b_, weight, b_.At(weights_, column, 4), lanes);
      return Values{ir_.CreateFAdd(carried[0], weight)};
    });
    return SumLanes(b_, sum[0]);
  }

  // sums_ = sums_ * correction + sum over i < count of weights_[i] * values[i].
  void AddValues(Value* values, Value* count, Value* correction) {
    const int64_t most = b_.isa().registers / 2;
    int64_t column = 0;
    while (column < shape_.head_dim) {
      // As many columns as there are registers for their sums.
      llvm::SmallVector<int, 16> widths;
      Values addresses;
      Values sums;
      for (int64_t at = column; at < shape_.head_dim && static_cast<int64_t>(widths.size()) < most; at += b_.lanes()) {
        widths.push_back(static_cast<int>(std::min<int64_t>(b_.lanes(), shape_.head_dim - at)));
        addresses.push_back(b_.At(sums_, 4 * at));
        Value* sum = LoadFloats(b_, addresses.back(), DType::kF32, widths.back());
        sums.push_back(ir_.CreateFMul(sum, Splat(b_, correction, widths.back())));
      }
      sums = b_.For(b_.I64(0), count, 1, sums, [&](Value* i, const Values& carried) {
        Value* weight = b_.LoadFloat(weights_, i);
        Value* row = b_.At(b_.At(values, i, row_bytes_), 4 * column);
        Values next;
        for (size_t v = 0; v < widths.size(); ++v) {
          Value* address = b_.At(row, int64_t{4} * b_.lanes() * static_cast<int64_t>(v));
          if (v * static_cast<size_t>(b_.lanes()) % 16 == 0) {
            Prefetch(b_, b_.At(address, kPrefetchBytes));
          }
          Value* value = LoadFloats(b_, address, DType::kF32, widths[v]);
          next.push_back(MulAdd(b_, Splat(b_, weight, widths[v]), value, carried[v]));
        }
        return next;
      });
      for (size_t v = 0; v < widths.size(); ++v) {
        StoreFloats(b_, sums[v], addresses[v], widths[v]);
      }
      column += b_.lanes() * static_cast<int64_t>(widths.size());
    }
  }

  const AttentionShape shape_;
  KernelBuilder b_;
  llvm::IRBuilder<>& ir_;
  const int64_t row_bytes_;
  Value* scores_;   // f64 (kBlock)
  Value* weights_;  // f32 (kBlock)
  Value* sums_;     // f32 (head_dim)
};

}  // namespace

void EmitAttention(EmitContext& context, const KernelSpec& spec) { AttentionEmitter(context, spec).Emit(); }

}  // namespace dejavu
