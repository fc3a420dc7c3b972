#include "codegen/cpu/RowBlock.h"

namespace dejavu {

using llvm::Value;

RowBlock::RowBlock(KernelBuilder& b, Value* w, Value* bias, Value* first, const RowLayout& layout)
    : b_(b),
      layout_(layout),
      bias_(bias == nullptr ? nullptr : LoadFloats(b, b.At(bias, first, 4), DType::kF32, kRows)) {
  for (int64_t r = 0; r < kRows; ++r) {
    rows_.push_back(b.At(w, b.ir().CreateAdd(first, b.I64(r)), layout.bytes()));
  }
}

void RowBlock::Multiply(Value* x, Value* y) const {
  const auto prefetch = [&](int r, Value* offset) {
    Value* at = b_.ir().CreateGEP(b_.ir().getInt8Ty(), rows_[static_cast<size_t>(r)], offset);
    return b_.At(at, kPrefetchBytes);
  };
  Value* sums = DotFourRows(b_, rows_, x, layout_, prefetch);
  StoreFloats(b_, bias_ == nullptr ? sums : b_.ir().CreateFAdd(sums, bias_), y, kRows);
}

}  // namespace dejavu
