// Safetensors::Parse: any bytes give tensors inside the file or an error.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "ir/base/Safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const absl::StatusOr<dejavu::Safetensors> file = dejavu::Safetensors::Parse(bytes, "fuzz.safetensors");
  if (!file.ok()) {
    return 0;
  }
  for (const dejavu::TensorView& tensor : file->tensors()) {
    const bool inside = tensor.data >= bytes.data() && tensor.bytes <= size &&
                        tensor.data + tensor.bytes <= bytes.data() + size && file->Find(tensor.name) == &tensor;
    if (!inside) {
      std::abort();
    }
  }
  return 0;
}
