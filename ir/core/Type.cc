#include "ir/core/Type.h"

namespace dejavu {

std::string Type::ToString() const {
  std::string text(DTypeName(dtype));
  text += "<";
  for (size_t i = 0; i < shape.size(); ++i) {
    text += (i > 0 ? ", " : "") + shape[i].ToString();
  }
  return text + ">";
}

bool Type::is_static() const {
  for (const Dim& dim : shape) {
    if (!dim.is_static()) {
      return false;
    }
  }
  return true;
}

int64_t Type::NumElements() const {
  int64_t count = 1;
  for (const Dim& dim : shape) {
    count *= dim.size();
  }
  return count;
}

}  // namespace dejavu
