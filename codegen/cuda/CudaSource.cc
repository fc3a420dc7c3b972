#include "codegen/cuda/CudaSource.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "absl/strings/str_cat.h"

namespace dejavu {
namespace {

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

std::string_view TypeName(DType dtype) {
  return dtype == DType::kF16 ? "DType::kF16" : dtype == DType::kBF16 ? "DType::kBF16" : "DType::kF32";
}

}  // namespace

ShapeText::ShapeText(std::string_view type) : text_(absl::StrCat(View(type), "{")) {}

ShapeText& ShapeText::Field(std::string_view field, std::string_view value) {
  absl::StrAppend(&text_, empty_ ? "." : ", .", View(field), " = ", View(value));
  empty_ = false;
  return *this;
}

ShapeText& ShapeText::Int(std::string_view field, int64_t value) { return Field(field, std::to_string(value)); }

ShapeText& ShapeText::Bool(std::string_view field, bool value) { return Field(field, value ? "true" : "false"); }

ShapeText& ShapeText::Float(std::string_view field, float value) {
  // The shortest decimal that reads as the same float; scientific, so that it is a floating literal.
  std::array<char, 32> digits = {};
  const auto end = std::to_chars(digits.begin(), digits.end(), value, std::chars_format::scientific).ptr;
  return Field(field, std::string(digits.begin(), end) + "F");
}

ShapeText& ShapeText::Type(std::string_view field, DType value) { return Field(field, TypeName(value)); }

ShapeText& ShapeText::Nested(std::string_view field, const ShapeText& value) { return Field(field, value.Text()); }

void CudaSource::Add(std::string_view symbol, const CudaKernel& kernel) {
  if (!symbols_.insert(std::string(symbol)).second) {
    return;
  }
  headers_.insert(std::string(kernel.header));
  std::string parameters;
  std::string arguments;
  for (const std::string_view arg : kernel.args) {
    absl::StrAppend(&parameters, "void* ", View(arg), ", ");
    absl::StrAppend(&arguments, View(arg), ", ");
  }
  AddFunction(symbol, kernel.grid, parameters,
              absl::StrCat(kernel.lets_next_start_first ? "  LetNextStart();\n" : "", "  ", View(kernel.function), "<",
                           kernel.shape.Text(), ">(\n      ", arguments, "dims",
                           kernel.grid.scratch > 0 ? ", Grid(), scratch" : "", ");\n"));
}

void CudaSource::AddJoint(std::string_view symbol, const std::vector<CudaKernel>& parts, const LaunchGrid& grid,
                          std::string_view header, std::string_view body) {
  if (!symbols_.insert(std::string(symbol)).second) {
    return;
  }
  headers_.insert(std::string(header));
  std::string parameters;
  for (size_t i = 0; i < parts.size(); ++i) {
    headers_.insert(std::string(parts[i].header));
    for (const std::string_view arg : parts[i].args) {
      absl::StrAppend(&parameters, "void* ", View(arg), i, ", ");
    }
  }
  AddFunction(symbol, grid, parameters, body);
}

void CudaSource::AddFunction(std::string_view symbol, const LaunchGrid& grid, std::string_view parameters,
                             std::string_view body) {
  const int64_t per_sm = std::max<int64_t>(1, grid.per_sm);
  absl::StrAppend(&kernels_, "\nextern \"C\" __global__ void __launch_bounds__(", grid.threads, ", ", per_sm, ")\n",
                  View(symbol), "(", View(parameters), "const Dims* dims", grid.scratch > 0 ? ", void* scratch" : "",
                  ") {\n", View(body), "}\n");
}

void CudaSource::AddText(std::string_view header, std::string_view text) {
  if (headers_.insert(std::string(header)).second) {
    absl::StrAppend(&kernels_, "\n", View(text));
  }
}

std::string CudaSource::Text() const {
  std::string text = "// Kernels of one model. The headers are in codegen/cuda/kernels.\n";
  for (const std::string& header : headers_) {
    absl::StrAppend(&text, "#include \"", header, "\"\n");
  }
  return absl::StrCat(text, "\nusing namespace dejavu;\n", kernels_);
}

}  // namespace dejavu
