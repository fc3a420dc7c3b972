// One head of causal attention, forwards and backwards, in f32.
#ifndef DEJAVU_PASSES_SPARSITY_TRAINING_CAUSALHEAD_H_
#define DEJAVU_PASSES_SPARSITY_TRAINING_CAUSALHEAD_H_

#include <cstdint>
#include <vector>

namespace dejavu {

/// The columns of head `number` of `heads` in a matrix (rows, heads * dim), and their replacement.
[[nodiscard]] std::vector<float> ColumnsOf(const std::vector<float>& all, int64_t rows, int64_t number, int64_t heads);
void SetColumnsOf(const std::vector<float>& part, int64_t rows, int64_t number, int64_t heads, std::vector<float>& all);

class CausalHead {
 public:
  using Floats = std::vector<float>;
  struct Gradients {
    Floats q;
    Floats k;
    Floats v;
  };

  /// q, k and v are (rows, dim); `scale` multiplies every score q.k.
  CausalHead(Floats q, Floats k, Floats v, int64_t rows, float scale, int threads);

  /// (rows, dim)
  [[nodiscard]] Floats Output() const;
  /// From the gradient of the output, (rows, dim).
  [[nodiscard]] Gradients Back(const Floats& g) const;

 private:
  struct Factor {
    const Floats& values;
    bool transposed = false;
  };
  /// a b, (rows, columns); `inner` columns of a, as it is multiplied, meet as many rows of b.
  [[nodiscard]] Floats Product(const Factor& a, int64_t inner, const Factor& b, int64_t columns) const;

  Floats q_;
  Floats k_;
  Floats v_;
  int64_t rows_;
  int64_t dim_;
  float scale_;
  int threads_;
  Floats shares_;  // (rows, rows): the softmax of scores
};

}  // namespace dejavu

#endif  // DEJAVU_PASSES_SPARSITY_TRAINING_CAUSALHEAD_H_
