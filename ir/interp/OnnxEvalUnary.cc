// ONNX operators that map each element on its own: functions of one number, tests, casts.
#include <algorithm>
#include <cmath>
#include <limits>

#include "ir/interp/OnnxEvalOps.h"
#include "ir/ops/OnnxTypes.h"

namespace dejavu::onnx_eval {
namespace {

/// y[i] = fn(x[i]) for a float tensor.
Results MapFloats(const Call& call, double (*fn)(double)) {
  const Tensor& x = call.input(0);
  RETURN_IF_ERROR(ExpectFloat(x));
  ASSIGN_OR_RETURN(Tensor y, call.NewResult(x.dtype, x.dims));
  if (IsDone(y)) {
    return Single(std::move(y));
  }
  std::transform(x.floats.begin(), x.floats.end(), y.floats.begin(), fn);
  return call.Rounded(std::move(y));
}

/// The same, also for integer tensors; the integer result wraps around.
Results MapNumbers(const Call& call, double (*fn)(double), int64_t (*int_fn)(int64_t)) {
  const Tensor& x = call.input(0);
  if (IsFloat(x.dtype)) {
    return MapFloats(call, fn);
  }
  if (x.dtype == DType::kBool) {
    return UserError("operand must be a tensor of numbers, but is bool");
  }
  ASSIGN_OR_RETURN(Tensor y, call.NewResult(x.dtype, x.dims));
  if (IsDone(y)) {
    return Single(std::move(y));
  }
  std::transform(x.ints.begin(), x.ints.end(), y.ints.begin(),
                 [&](int64_t value) { return WrapToDType(int_fn(value), x.dtype); });
  return Single(std::move(y));
}

/// y[i] = test(x[i]), a bool tensor, for a float tensor.
template <typename Test>
Results TestFloats(const Call& call, Test test) {
  const Tensor& x = call.input(0);
  RETURN_IF_ERROR(ExpectFloat(x));
  ASSIGN_OR_RETURN(Tensor y, call.NewResult(DType::kBool, x.dims));
  if (IsDone(y)) {
    return Single(std::move(y));
  }
  std::transform(x.floats.begin(), x.floats.end(), y.ints.begin(), [&](double value) { return test(value) ? 1 : 0; });
  return Single(std::move(y));
}

int64_t NegateWrapping(int64_t value) { return static_cast<int64_t>(-static_cast<uint64_t>(value)); }

/// ONNX leaves casts of floats that do not fit open; here they saturate, and NaN becomes 0.
int64_t FloatToInt(double value, DType dtype) {
  if (dtype == DType::kBool) {
    return value != 0 ? 1 : 0;
  }
  if (std::isnan(value)) {
    return 0;
  }
  const bool is_unsigned = dtype == DType::kU8;
  const double limit = std::ldexp(1.0, static_cast<int>(8 * DTypeSize(dtype)) - (is_unsigned ? 0 : 1));
  const double low = is_unsigned ? 0 : -limit;
  if (value >= limit) {
    return dtype == DType::kI64 ? std::numeric_limits<int64_t>::max() : static_cast<int64_t>(limit) - 1;
  }
  return value <= low ? static_cast<int64_t>(low) : static_cast<int64_t>(value);
}

Results CastTo(const Call& call, DType dtype) {
  const Tensor& x = call.input(0);
  // Only the first input's contents matter: the second input of CastLike gives nothing but its dtype.
  if (!x.known) {
    return Single(Tensor::Unknown(dtype, x.dims));
  }
  ASSIGN_OR_RETURN(Tensor y, call.Zeros(dtype, x.dims));
  const int64_t count = y.NumElements();
  for (int64_t i = 0; i < count; ++i) {
    if (!IsFloat(dtype)) {
      y.ints[i] = IsFloat(x.dtype) ? FloatToInt(x.floats[i], dtype) : WrapToDType(x.ints[i], dtype);
    } else if (IsFloat(x.dtype)) {
      y.floats[i] = x.floats[i];
    } else {
      // Straight to float where results are rounded: going through double would round twice.
      const bool to_single = call.options.round && dtype != DType::kF64;
      y.floats[i] = to_single ? static_cast<float>(x.ints[i]) : static_cast<double>(x.ints[i]);
    }
  }
  return call.Rounded(std::move(y));
}

/// The scalar bound of Clip in input `index`, or `fallback` if it is absent.
template <typename T>
absl::StatusOr<T> ClipBound(const Call& call, size_t index, T fallback) {
  const Tensor* bound = call.optional(index);
  if (bound == nullptr) {
    return fallback;
  }
  RETURN_IF_ERROR(ExpectSameDType(call.input(0), *bound));
  if (bound->NumElements() != 1) {
    return UserError("a bound must be a scalar, but has shape ", DimsToString(bound->dims));
  }
  if constexpr (std::is_same_v<T, double>) {
    return bound->floats[0];
  } else {
    return bound->ints[0];
  }
}

template <typename T>
absl::Status ClipElements(const Call& call, const std::vector<T>& x, std::vector<T>& y) {
  using Limits = std::numeric_limits<T>;
  ASSIGN_OR_RETURN(const T low, ClipBound<T>(call, 1, Limits::lowest()));
  ASSIGN_OR_RETURN(const T high, ClipBound<T>(call, 2, Limits::max()));
  for (size_t i = 0; i < x.size(); ++i) {
    const T raised = x[i] < low ? low : x[i];
    y[i] = high < raised ? high : raised;
  }
  return absl::OkStatus();
}

}  // namespace

Results EvalAbs(const Call& call) {
  return MapNumbers(
      call, [](double x) { return std::fabs(x); }, [](int64_t x) { return x < 0 ? NegateWrapping(x) : x; });
}

Results EvalNeg(const Call& call) {
  return MapNumbers(call, [](double x) { return -x; }, NegateWrapping);
}

Results EvalRelu(const Call& call) {
  return MapNumbers(call, [](double x) { return x < 0 ? 0 : x; }, [](int64_t x) { return std::max<int64_t>(x, 0); });
}

Results EvalErf(const Call& call) {
  return MapFloats(call, [](double x) { return std::erf(x); });
}

Results EvalExp(const Call& call) {
  return MapFloats(call, [](double x) { return std::exp(x); });
}

Results EvalLog(const Call& call) {
  return MapFloats(call, [](double x) { return std::log(x); });
}

Results EvalReciprocal(const Call& call) {
  return MapFloats(call, [](double x) { return 1 / x; });
}

Results EvalSigmoid(const Call& call) {
  return MapFloats(call, [](double x) { return 1 / (1 + std::exp(-x)); });
}

Results EvalSqrt(const Call& call) {
  return MapFloats(call, [](double x) { return std::sqrt(x); });
}

Results EvalTanh(const Call& call) {
  return MapFloats(call, [](double x) { return std::tanh(x); });
}

Results EvalIsNaN(const Call& call) {
  return TestFloats(call, [](double x) { return std::isnan(x); });
}

Results EvalIsInf(const Call& call) {
  ASSIGN_OR_RETURN(const int64_t negative, call.Int("detect_negative", 1));
  ASSIGN_OR_RETURN(const int64_t positive, call.Int("detect_positive", 1));
  return TestFloats(call, [=](double x) { return std::isinf(x) && (x < 0 ? negative : positive) != 0; });
}

Results EvalNot(const Call& call) {
  const Tensor& x = call.input(0);
  RETURN_IF_ERROR(ExpectDType(x, DType::kBool, "X"));
  ASSIGN_OR_RETURN(Tensor y, call.NewResult(DType::kBool, x.dims));
  if (IsDone(y)) {
    return Single(std::move(y));
  }
  std::transform(x.ints.begin(), x.ints.end(), y.ints.begin(), [](int64_t value) { return value == 0 ? 1 : 0; });
  return Single(std::move(y));
}

Results EvalIdentity(const Call& call) { return Single(call.input(0)); }

Results EvalCast(const Call& call) {
  ASSIGN_OR_RETURN(const int64_t to, call.Int("to", 0));
  const std::optional<DType> dtype = DTypeFromOnnx(to);
  if (!dtype) {
    return UserError("cannot cast to ONNX's element type number ", to);
  }
  return CastTo(call, *dtype);
}

Results EvalCastLike(const Call& call) { return CastTo(call, call.input(1).dtype); }

Results EvalClip(const Call& call) {
  const Tensor& x = call.input(0);
  ASSIGN_OR_RETURN(Tensor y, call.NewResult(x.dtype, x.dims));
  if (IsDone(y)) {
    return Single(std::move(y));
  }
  RETURN_IF_ERROR(IsFloat(x.dtype) ? ClipElements(call, x.floats, y.floats) : ClipElements(call, x.ints, y.ints));
  return Single(std::move(y));
}

/// Outside of training Dropout passes its input on; the mask then keeps everything.
Results EvalDropout(const Call& call) {
  const Tensor& x = call.input(0);
  const Tensor* training = call.optional(2);
  if (training != nullptr && (!training->known || training->NumElements() != 1 || training->At(0) != 0)) {
    return UserError("runs in training mode; export the model for inference (model.eval())");
  }
  Tensor mask = Tensor::Unknown(DType::kBool, x.dims);
  if (x.known) {
    ASSIGN_OR_RETURN(mask, call.Zeros(DType::kBool, x.dims));
    std::fill(mask.ints.begin(), mask.ints.end(), 1);
  }
  std::vector<Tensor> results = {x, std::move(mask)};
  return results;
}

}  // namespace dejavu::onnx_eval
