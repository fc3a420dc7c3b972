// ONNX operators that combine elements of several tensors under numpy's broadcasting.
#include <algorithm>
#include <cmath>
#include <limits>

#include "ir/interp/OnnxEvalOps.h"

namespace dejavu::onnx_eval {
namespace {

uint64_t Bits(int64_t value) { return static_cast<uint64_t>(value); }

/// y = fn(a, b) element by element; `A` and `B` are vectors of elements.
template <typename A, typename B, typename Y, typename Fn>
void Combine(const Tensor& a, const A& a_elements, const Tensor& b, const B& b_elements, const Tensor& y, Y& y_elements,
             Fn fn) {
  int64_t next = 0;
  ForEachIndex<2>(
      y.dims, {BroadcastStrides(a.dims, y.dims), BroadcastStrides(b.dims, y.dims)},
      [&](const std::array<int64_t, 2>& at) { y_elements[next++] = fn(a_elements[at[0]], b_elements[at[1]]); });
}

/// Float operands give `fn`, integer operands `int_fn`, of the operands' common dtype.
template <typename Fn, typename IntFn>
Results Arithmetic(const Call& call, const Tensor& a, const Tensor& b, Fn fn, IntFn int_fn) {
  RETURN_IF_ERROR(ExpectSameDType(a, b));
  if (a.dtype == DType::kBool) {
    return UserError("operands must be tensors of numbers, but are bool");
  }
  ASSIGN_OR_RETURN(std::vector<int64_t> dims, BroadcastDims(a.dims, b.dims));
  ASSIGN_OR_RETURN(Tensor y, call.NewResult(a.dtype, std::move(dims)));
  if (IsDone(y)) {
    return Single(std::move(y));
  }
  if (IsFloat(a.dtype)) {
    Combine(a, a.floats, b, b.floats, y, y.floats, fn);
    return call.Rounded(std::move(y));
  }
  Combine(a, a.ints, b, b.ints, y, y.ints,
          [&](int64_t left, int64_t right) { return WrapToDType(int_fn(left, right), a.dtype); });
  return Single(std::move(y));
}

template <typename Fn, typename IntFn>
Results Arithmetic(const Call& call, Fn fn, IntFn int_fn) {
  return Arithmetic(call, call.input(0), call.input(1), fn, int_fn);
}

/// An error if the known integer tensor `divisor` contains a zero.
absl::Status ExpectNoZero(const Tensor& divisor) {
  for (const int64_t value : divisor.ints) {
    if (value == 0) {
      return UserError("integer division by zero");
    }
  }
  return absl::OkStatus();
}

/// A bool result; `test` compares two doubles or two integers.
template <typename Test>
Results Compare(const Call& call, Test test) {
  const Tensor& a = call.input(0);
  const Tensor& b = call.input(1);
  RETURN_IF_ERROR(ExpectSameDType(a, b));
  ASSIGN_OR_RETURN(std::vector<int64_t> dims, BroadcastDims(a.dims, b.dims));
  ASSIGN_OR_RETURN(Tensor y, call.NewResult(DType::kBool, std::move(dims)));
  if (IsDone(y)) {
    return Single(std::move(y));
  }
  if (IsFloat(a.dtype)) {
    Combine(a, a.floats, b, b.floats, y, y.ints, test);
  } else {
    Combine(a, a.ints, b, b.ints, y, y.ints, test);
  }
  return Single(std::move(y));
}

template <typename Fn>
Results Logic(const Call& call, Fn fn) {
  RETURN_IF_ERROR(ExpectDType(call.input(0), DType::kBool, "A"));
  RETURN_IF_ERROR(ExpectDType(call.input(1), DType::kBool, "B"));
  return Compare(call, fn);
}

/// Folds all inputs from the left, as Max and Min do.
template <typename Fn, typename IntFn>
Results Fold(const Call& call, Fn fn, IntFn int_fn) {
  Tensor result = call.input(0);
  for (size_t i = 1; i < call.inputs.size(); ++i) {
    ASSIGN_OR_RETURN(std::vector<Tensor> next, Arithmetic(call, result, call.input(i), fn, int_fn));
    result = std::move(next[0]);
  }
  return Single(std::move(result));
}

int64_t DivideWrapping(int64_t a, int64_t b) {
  return b == -1 ? static_cast<int64_t>(-Bits(a)) : a / b;  // the lowest number / -1 would trap
}

/// The sign follows the divisor, as Python's % has it, or the dividend with fmod = 1.
int64_t ModWrapping(int64_t a, int64_t b, bool like_dividend) {
  const int64_t rest = b == -1 ? 0 : a % b;
  return !like_dividend && rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

/// base^exponent for integers, by squaring, modulo 2^64; a negative exponent truncates towards zero.
int64_t PowerWrapping(int64_t base, int64_t exponent) {
  if (exponent < 0) {
    return base == 1 ? 1 : base == -1 ? (exponent % 2 == 0 ? 1 : -1) : 0;
  }
  uint64_t result = 1;
  for (uint64_t square = Bits(base), rest = Bits(exponent); rest != 0; rest >>= 1U, square *= square) {
    result = (rest & 1U) != 0 ? result * square : result;
  }
  return static_cast<int64_t>(result);
}

/// An integer raised to a fraction: computed in double, truncated; what does not fit saturates, NaN becomes 0.
int64_t PowerOfInteger(int64_t base, double exponent) {
  const double value = std::pow(static_cast<double>(base), exponent);
  if (std::isnan(value)) {
    return 0;
  }
  if (value >= 0x1p63 || value <= -0x1p63) {
    return value > 0 ? std::numeric_limits<int64_t>::max() : std::numeric_limits<int64_t>::min();
  }
  return static_cast<int64_t>(value);
}

double MaxOrNaN(double a, double b) { return std::isnan(a) || std::isnan(b) ? a + b : std::fmax(a, b); }
double MinOrNaN(double a, double b) { return std::isnan(a) || std::isnan(b) ? a + b : std::fmin(a, b); }

}  // namespace

Results EvalAdd(const Call& call) {
  return Arithmetic(
      call, [](double a, double b) { return a + b; },
      [](int64_t a, int64_t b) { return static_cast<int64_t>(Bits(a) + Bits(b)); });
}

Results EvalSub(const Call& call) {
  return Arithmetic(
      call, [](double a, double b) { return a - b; },
      [](int64_t a, int64_t b) { return static_cast<int64_t>(Bits(a) - Bits(b)); });
}

Results EvalMul(const Call& call) {
  return Arithmetic(
      call, [](double a, double b) { return a * b; },
      [](int64_t a, int64_t b) { return static_cast<int64_t>(Bits(a) * Bits(b)); });
}

Results EvalDiv(const Call& call) {
  RETURN_IF_ERROR(ExpectNoZero(call.input(1)));
  return Arithmetic(call, [](double a, double b) { return a / b; }, DivideWrapping);
}

Results EvalMod(const Call& call) {
  ASSIGN_OR_RETURN(const int64_t fmod, call.Int("fmod", 0));
  if (fmod == 0 && IsFloat(call.input(0).dtype)) {
    return UserError("needs fmod = 1 for float operands");
  }
  RETURN_IF_ERROR(ExpectNoZero(call.input(1)));
  return Arithmetic(
      call, [](double a, double b) { return std::fmod(a, b); },
      [=](int64_t a, int64_t b) { return ModWrapping(a, b, fmod != 0); });
}

/// The exponent may have another dtype than the base, whose dtype the result has.
Results EvalPow(const Call& call) {
  const Tensor& base = call.input(0);
  const Tensor& exponent = call.input(1);
  ASSIGN_OR_RETURN(std::vector<int64_t> dims, BroadcastDims(base.dims, exponent.dims));
  ASSIGN_OR_RETURN(Tensor y, call.NewResult(base.dtype, std::move(dims)));
  if (IsDone(y)) {
    return Single(std::move(y));
  }
  const auto power = [](double a, double b) { return std::pow(a, b); };
  if (IsFloat(base.dtype) && IsFloat(exponent.dtype)) {
    Combine(base, base.floats, exponent, exponent.floats, y, y.floats, power);
  } else if (IsFloat(base.dtype)) {
    Combine(base, base.floats, exponent, exponent.ints, y, y.floats, power);
  } else if (IsFloat(exponent.dtype)) {
    Combine(base, base.ints, exponent, exponent.floats, y, y.ints,
            [&](int64_t a, double b) { return WrapToDType(PowerOfInteger(a, b), base.dtype); });
  } else {
    Combine(base, base.ints, exponent, exponent.ints, y, y.ints,
            [&](int64_t a, int64_t b) { return WrapToDType(PowerWrapping(a, b), base.dtype); });
  }
  return call.Rounded(std::move(y));
}

Results EvalMax(const Call& call) {
  return Fold(call, MaxOrNaN, [](int64_t a, int64_t b) { return std::max(a, b); });
}

Results EvalMin(const Call& call) {
  return Fold(call, MinOrNaN, [](int64_t a, int64_t b) { return std::min(a, b); });
}

Results EvalEqual(const Call& call) {
  return Compare(call, [](auto a, auto b) { return a == b; });
}

Results EvalLess(const Call& call) {
  return Compare(call, [](auto a, auto b) { return a < b; });
}

Results EvalLessOrEqual(const Call& call) {
  return Compare(call, [](auto a, auto b) { return a <= b; });
}

Results EvalGreater(const Call& call) {
  return Compare(call, [](auto a, auto b) { return a > b; });
}

Results EvalGreaterOrEqual(const Call& call) {
  return Compare(call, [](auto a, auto b) { return a >= b; });
}

Results EvalAnd(const Call& call) {
  return Logic(call, [](auto a, auto b) { return a != 0 && b != 0; });
}

Results EvalOr(const Call& call) {
  return Logic(call, [](auto a, auto b) { return a != 0 || b != 0; });
}

Results EvalXor(const Call& call) {
  return Logic(call, [](auto a, auto b) { return (a != 0) != (b != 0); });
}

Results EvalWhere(const Call& call) {
  const Tensor& condition = call.input(0);
  const Tensor& x = call.input(1);
  const Tensor& y = call.input(2);
  RETURN_IF_ERROR(ExpectDType(condition, DType::kBool, "condition"));
  RETURN_IF_ERROR(ExpectSameDType(x, y));
  ASSIGN_OR_RETURN(const std::vector<int64_t> branches, BroadcastDims(x.dims, y.dims));
  ASSIGN_OR_RETURN(std::vector<int64_t> dims, BroadcastDims(condition.dims, branches));
  ASSIGN_OR_RETURN(Tensor result, call.NewResult(x.dtype, std::move(dims)));
  if (IsDone(result)) {
    return Single(std::move(result));
  }
  const std::array<std::vector<int64_t>, 3> strides = {BroadcastStrides(condition.dims, result.dims),
                                                       BroadcastStrides(x.dims, result.dims),
                                                       BroadcastStrides(y.dims, result.dims)};
  int64_t next = 0;
  ForEachIndex<3>(result.dims, strides, [&](const std::array<int64_t, 3>& at) {
    const Tensor& source = condition.ints[at[0]] != 0 ? x : y;
    const int64_t from = condition.ints[at[0]] != 0 ? at[1] : at[2];
    WithElements(source, result, [&](const auto& in, auto& out) { out[next] = in[from]; });
    ++next;
  });
  return Single(std::move(result));
}

}  // namespace dejavu::onnx_eval
