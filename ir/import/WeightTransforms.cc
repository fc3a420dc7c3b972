#include "ir/import/WeightTransforms.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "ir/base/PredictorRows.h"
#include "ir/import/CopyTransforms.h"

namespace dejavu {
namespace {

WeightData Allocate(DType dtype, std::vector<int64_t> dims) {
  WeightData data;
  data.dtype = dtype;
  data.dims = std::move(dims);
  size_t count = 1;
  for (int64_t dim : data.dims) {
    count *= static_cast<size_t>(dim);
  }
  data.bytes = count * DTypeSize(dtype);
  auto buffer = std::make_shared<std::vector<std::byte>>(data.bytes);
  data.data = buffer->data();
  data.owner = std::move(buffer);
  return data;
}

std::byte* Bytes(WeightData& data) { return const_cast<std::byte*>(data.data); }  // NOLINT: ours until it is returned

absl::StatusOr<Type> InferTranspose(const std::vector<Type>& sources) {
  if (sources[0].rank() != 2) {
    return UserError("transpose needs a matrix, but the source is ", sources[0].ToString());
  }
  return Type{sources[0].dtype, {sources[0].shape[1], sources[0].shape[0]}};
}

absl::StatusOr<WeightData> Transpose(const std::vector<WeightData>& sources) {
  const WeightData& from = sources[0];
  const auto rows = static_cast<size_t>(from.dims[0]);
  const auto columns = static_cast<size_t>(from.dims[1]);
  const size_t size = DTypeSize(from.dtype);
  WeightData to = Allocate(from.dtype, {from.dims[1], from.dims[0]});
  // Square tiles keep both sides in the cache.
  constexpr size_t kTile = 32;
  for (size_t r0 = 0; r0 < rows; r0 += kTile) {
    for (size_t c0 = 0; c0 < columns; c0 += kTile) {
      for (size_t r = r0; r < std::min(rows, r0 + kTile); ++r) {
        for (size_t c = c0; c < std::min(columns, c0 + kTile); ++c) {
          std::memcpy(Bytes(to) + (c * rows + r) * size, from.data + (r * columns + c) * size, size);
        }
      }
    }
  }
  return to;
}

absl::StatusOr<Type> InferConcat(const std::vector<Type>& sources) {
  Type type = sources[0];
  for (size_t i = 1; i < sources.size(); ++i) {
    if (sources[i].rank() != type.rank() || type.rank() == 0 || sources[i].dtype != type.dtype ||
        !std::equal(type.shape.begin() + 1, type.shape.end(), sources[i].shape.begin() + 1)) {
      return UserError("concat needs equal types but for the first dimension, but gets ", type.ToString(), " and ",
                       sources[i].ToString());
    }
    type.shape[0] = Dim(type.shape[0].size() + sources[i].shape[0].size());
  }
  return type;
}

absl::StatusOr<WeightData> Concat(const std::vector<WeightData>& sources) {
  std::vector<int64_t> dims = sources[0].dims;
  for (size_t i = 1; i < sources.size(); ++i) {
    dims[0] += sources[i].dims[0];
  }
  WeightData to = Allocate(sources[0].dtype, std::move(dims));
  std::byte* out = Bytes(to);
  for (const WeightData& from : sources) {
    std::memcpy(out, from.data, from.bytes);
    out += from.bytes;
  }
  return to;
}

absl::StatusOr<Type> InferWiden(const std::vector<Type>& sources) {
  if (!IsFloat(sources[0].dtype)) {
    return UserError("widen needs a float tensor, but the source is ", sources[0].ToString());
  }
  return Type{DType::kF32, sources[0].shape};
}

absl::StatusOr<WeightData> Widen(const std::vector<WeightData>& sources) {
  const WeightData& from = sources[0];
  if (from.dtype == DType::kF32) {
    return from;
  }
  WeightData to = Allocate(DType::kF32, from.dims);
  for (size_t i = 0; i < to.bytes / sizeof(float); ++i) {
    const auto value = static_cast<float>(LoadAsDouble(from.dtype, from.data, i));
    std::memcpy(Bytes(to) + i * sizeof(float), &value, sizeof(float));
  }
  return to;
}

absl::StatusOr<Type> InferZeros(const std::vector<Type>& sources) {
  if (sources[0].rank() != 2) {
    return UserError("zeros needs a matrix, but the source is ", sources[0].ToString());
  }
  return Type{DType::kF32, {sources[0].shape[0]}};
}

absl::StatusOr<WeightData> Zeros(const std::vector<WeightData>& sources) {
  return Allocate(DType::kF32, {sources[0].dims[0]});
}

absl::StatusOr<Type> InferQuantize(const std::vector<Type>& sources) {
  if (sources[0].rank() != 2 || !IsFloat(sources[0].dtype)) {
    return UserError("quantize needs a float matrix, but the source is ", sources[0].ToString());
  }
  return Type{DType::kI8, sources[0].shape};
}

absl::StatusOr<Type> InferRowScales(const std::vector<Type>& sources) {
  RETURN_IF_ERROR(InferQuantize(sources).status());
  return Type{DType::kF32, {sources[0].shape[0]}};
}

absl::StatusOr<Type> InferQuantizedRows(const std::vector<Type>& sources) {
  RETURN_IF_ERROR(InferQuantize({sources[0]}).status());
  if (sources[1].rank() != 1 || sources[1].shape[0] != sources[0].shape[0] || !IsFloat(sources[1].dtype)) {
    return UserError("quantized_rows needs one bias a row, but gets ", sources[0].ToString(), " and ",
                     sources[1].ToString());
  }
  return Type{DType::kF32, {sources[0].shape[0], Dim(int64_t{4})}};
}

using Row = std::vector<double>;

Row ReadRow(const WeightData& w, size_t number) {
  Row row(static_cast<size_t>(w.dims[1]));
  for (size_t j = 0; j < row.size(); ++j) {
    row[j] = LoadAsDouble(w.dtype, w.data, number * row.size() + j);
  }
  return row;
}

/// The scale of a row: its largest magnitude becomes 127. A row of zeros, of subnormals too small for a scale, or with
/// infinities or NaNs has scale 0, and so a residual that says nothing is known.
float RowScale(const Row& row) {
  double top = 0;
  for (const double value : row) {
    const double magnitude = std::abs(value);
    top = magnitude > top || std::isnan(magnitude) ? magnitude : top;
    if (!std::isfinite(top)) {
      return 0;
    }
  }
  const auto scale = static_cast<float>(top / 127.0);
  return scale >= std::numeric_limits<float>::min() ? scale : 0;
}

int QuantizeOne(double value, float scale) {
  if (scale == 0) {
    return 0;
  }
  return static_cast<int>(std::clamp(std::nearbyint(value / static_cast<double>(scale)), -127.0, 127.0));
}

absl::StatusOr<WeightData> Quantize(const std::vector<WeightData>& sources) {
  const WeightData& w = sources[0];
  WeightData to = Allocate(DType::kI8, w.dims);
  std::byte* out = Bytes(to);
  for (size_t i = 0; i < static_cast<size_t>(w.dims[0]); ++i) {
    const Row row = ReadRow(w, i);
    const float scale = RowScale(row);
    for (const double value : row) {
      *out++ = static_cast<std::byte>(QuantizeOne(value, scale));
    }
  }
  return to;
}

template <float (*kScale)(const Row& row)>
absl::StatusOr<WeightData> RowScales(const std::vector<WeightData>& sources) {
  const WeightData& w = sources[0];
  WeightData to = Allocate(DType::kF32, {w.dims[0]});
  for (size_t i = 0; i < static_cast<size_t>(w.dims[0]); ++i) {
    const float scale = kScale(ReadRow(w, i));
    std::memcpy(Bytes(to) + i * sizeof(float), &scale, sizeof(float));
  }
  return to;
}

absl::StatusOr<Type> InferPack(const std::vector<Type>& sources) {
  RETURN_IF_ERROR(InferQuantize(sources).status());
  const Dim& columns = sources[0].shape[1];
  if (!columns.is_static() || columns.size() % kPackedColumns != 0) {
    return UserError("quantize4 needs a multiple of ", kPackedColumns, " columns, but the source is ",
                     sources[0].ToString());
  }
  return Type{DType::kI8, {sources[0].shape[0], Dim(PredictorRowBytes(4, columns.size()))}};
}

/// The half of a byte, as a number from -8 to 7, that stands for `value` at the int8 scale `scale`.
int PackOne(double value, float scale) {
  return scale == 0
             ? 0
             : static_cast<int>(std::clamp(std::nearbyint(value / (16 * static_cast<double>(scale))), -8.0, 7.0));
}

/// The scale of a packed row, that of the int8 that its halves stand for: of those that cut off nothing or some of the
/// largest magnitudes, the one that leaves the smallest sum of squared errors.
float PackedScale(const Row& row) {
  constexpr int kScales = 12;
  const float whole = RowScale(row) * (127.0F / 112.0F);  // so that the largest becomes 7 times 16
  float best = whole;
  double least = std::numeric_limits<double>::infinity();
  for (int i = 0; i < kScales && whole > 0; ++i) {
    const float scale = whole * (1 - 0.05F * static_cast<float>(i));
    double error = 0;
    for (const double value : row) {
      const double rest = value - 16 * static_cast<double>(scale) * PackOne(value, scale);
      error += rest * rest;
    }
    if (error < least) {
      least = error;
      best = scale;
    }
  }
  return best;
}

absl::StatusOr<WeightData> Pack(const std::vector<WeightData>& sources) {
  const WeightData& w = sources[0];
  const auto columns = static_cast<size_t>(w.dims[1]);
  WeightData to = Allocate(DType::kI8, {w.dims[0], w.dims[1] / 2});
  std::fill_n(Bytes(to), to.bytes, std::byte{0});
  for (size_t i = 0; i < static_cast<size_t>(w.dims[0]); ++i) {
    const Row row = ReadRow(w, i);
    const float scale = PackedScale(row);
    for (size_t j = 0; j < columns; ++j) {
      const PackedPlace place = PackedPlaceOf(static_cast<int64_t>(j));
      const auto half = static_cast<unsigned>(PackOne(row[j], scale)) & 0xFU;
      Bytes(to)[i * columns / 2 + static_cast<size_t>(place.byte)] |=
          static_cast<std::byte>(half << (place.upper ? 4U : 0U));
    }
  }
  return to;
}

/// `value`, a sum of K rounded doubles, as a float that is certainly not below the exact sum.
float RoundUp(double value) {
  const double padded = value * (1 + 1e-9);
  auto rounded = static_cast<float>(padded);
  if (static_cast<double>(rounded) < padded) {
    rounded = std::nextafter(rounded, std::numeric_limits<float>::infinity());
  }
  return rounded;
}

absl::StatusOr<WeightData> QuantizedRows(const std::vector<WeightData>& sources) {
  const WeightData& w = sources[0];
  const WeightData& bias = sources[1];
  WeightData to = Allocate(DType::kF32, {w.dims[0], 4});
  for (size_t i = 0; i < static_cast<size_t>(w.dims[0]); ++i) {
    const Row row = ReadRow(w, i);
    const float scale = RowScale(row);
    double residual = 0;
    double norm = 0;
    for (const double value : row) {
      const double rest = value - static_cast<double>(scale) * QuantizeOne(value, scale);
      residual += rest * rest;
      norm += value * value;
    }
    const std::array<float, 4> known = {scale, RoundUp(std::sqrt(residual)), RoundUp(std::sqrt(norm)),
                                        static_cast<float>(LoadAsDouble(bias.dtype, bias.data, i))};
    std::memcpy(Bytes(to) + i * sizeof(known), known.data(), sizeof(known));
  }
  return to;
}

constexpr std::array kTransforms = std::to_array<WeightTransform>({
    {"concat", "The sources below each other.", 1, 3, InferConcat, Concat},
    {"quantize", "int8, one scale a row: round(w / scale).", 1, 1, InferQuantize, Quantize},
    {"quantize4", "The same in 4 bits, two columns in a byte as PredictorRows.h has them.", 1, 1, InferPack, Pack},
    {"quantized_rows", "Of each row of a matrix and its bias: scale, residual's norm, norm, bias; norms rounded up.", 2,
     2, InferQuantizedRows, QuantizedRows},
    {"row_scales", "What quantize divides each row of a matrix by, f32.", 1, 1, InferRowScales, RowScales<RowScale>},
    {"row_scales4", "Those of quantize4: of the int8 that its halves of bytes stand for.", 1, 1, InferRowScales,
     RowScales<PackedScale>},
    {"transpose", "Rows become columns.", 1, 1, InferTranspose, Transpose},
    {"widen", "The same numbers as f32.", 1, 1, InferWiden, Widen},
    {"zeros", "One f32 zero for each row of a matrix.", 1, 1, InferZeros, Zeros},
});

}  // namespace

const WeightTransform* FindWeightTransform(std::string_view name) {
  for (const absl::Span<const WeightTransform> transforms : {absl::MakeConstSpan(kTransforms), CopyTransforms()}) {
    const auto* it = std::find_if(transforms.begin(), transforms.end(),
                                  [name](const WeightTransform& transform) { return transform.name == name; });
    if (it != transforms.end()) {
      return it;
    }
  }
  return nullptr;
}

absl::StatusOr<std::vector<float>> ReadFloats(const Weight& weight, WeightStore& store) {
  ASSIGN_OR_RETURN(const WeightData data, store.Read(weight));
  if (!IsFloat(data.dtype)) {
    return BugError("weight '", weight.name, "' has no floats to read");
  }
  std::vector<float> floats(data.bytes / DTypeSize(data.dtype));
  for (size_t i = 0; i < floats.size(); ++i) {
    floats[i] = static_cast<float>(LoadAsDouble(data.dtype, data.data, i));
  }
  return floats;
}

absl::Status VerifyDerivedWeights(const Module& module) {
  for (const auto& weight : module.weights()) {
    if (!weight->is_derived()) {
      continue;
    }
    const WeightTransform* transform = FindWeightTransform(weight->transform);
    if (transform == nullptr) {
      return UserError("weight '", weight->name, "': there is no transform '", weight->transform, "'");
    }
    std::vector<Type> types;
    for (const Weight* source : weight->sources) {
      types.push_back(source->type);
    }
    if (types.size() < transform->min_sources || types.size() > transform->max_sources) {
      return UserError("weight '", weight->name, "': '", weight->transform, "' cannot take ", types.size(), " sources");
    }
    absl::StatusOr<Type> type = transform->infer(types);
    RETURN_IF_ERROR(WithContext(type.status(), absl::StrCat("weight '", weight->name, "'")));
    if (*type != weight->type) {
      return UserError("weight '", weight->name, "' is said to be ", weight->type.ToString(), ", but '",
                       weight->transform, "' gives ", type->ToString());
    }
  }
  return absl::OkStatus();
}

Weight* AddDerivedWeight(Module& module, const std::string& name, std::string_view transform,
                         std::vector<const Weight*> sources) {
  if (transform == "transpose" && sources[0]->transform == "transpose") {
    return module.FindWeight(sources[0]->sources[0]->name);
  }
  std::vector<Type> types;
  types.reserve(sources.size());
  for (const Weight* source : sources) {
    types.push_back(source->type);
  }
  const WeightTransform* spec = FindWeightTransform(transform);
  absl::StatusOr<Type> type =
      spec == nullptr ? BugError("no transform '", std::string(transform), "'") : spec->infer(types);
  if (!type.ok()) {
    std::fprintf(stderr, "dejavu: internal error: weight '%s': %s\nThis is a bug in DejaVu; please report it.\n",
                 name.c_str(), std::string(type.status().message()).c_str());
    std::abort();
  }
  Weight weight;
  weight.name = name;
  for (int suffix = 1; const Weight* taken = module.FindWeight(weight.name); ++suffix) {
    if (taken->transform == transform && taken->sources == sources) {
      return module.FindWeight(weight.name);
    }
    weight.name = absl::StrCat(name, "_", suffix);
  }
  weight.type = *std::move(type);
  weight.transform = transform;
  weight.sources = std::move(sources);
  return module.AddWeight(std::move(weight));
}

}  // namespace dejavu
