// One step of Adam with decoupled weight decay, as PyTorch's fused kernel has it, for many tensors.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "loops.h"

namespace {

constexpr int64_t STRETCH = 1 << 14;

struct Stretch {
  int64_t tensor, first, last;
};

}  // namespace

extern "C" {

// steps[t] is how often tensor t was updated before, and becomes one more.
void adamw(int64_t tensors, const int64_t* sizes, float* const* weights,
           const float* const* gradients, float* const* means, float* const* squares,
           float* const* steps, double rate, double beta1, double beta2, double decay, double eps) {
  std::vector<Stretch> stretches;
  for (int64_t t = 0; t < tensors; ++t) {
    *steps[t] += 1;
    for (int64_t first = 0; first < sizes[t]; first += STRETCH)
      stretches.push_back({t, first, std::min(first + STRETCH, sizes[t])});
  }
  const float kept = 1 - rate * decay, least = eps;
  const float mean_share = 1 - beta1, square_kept = beta2, square_share = 1 - beta2;
#pragma omp parallel for schedule(static)
  for (size_t s = 0; s < stretches.size(); ++s) {
    const auto [t, first, last] = stretches[s];
    const float by = rate / (1 - std::pow(beta1, double(*steps[t])));
    const float root = std::sqrt(1 - std::pow(beta2, double(*steps[t])));
    float *__restrict weight = weights[t], *__restrict mean = means[t];
    float* __restrict square = squares[t];
    const float* __restrict gradient = gradients[t];
    for (int64_t i = first; i < last; ++i) {
      mean[i] += mean_share * (gradient[i] - mean[i]);
      square[i] = square_kept * square[i] + square_share * gradient[i] * gradient[i];
      weight[i] = kept * weight[i] - by * mean[i] / (std::sqrt(square[i]) / root + least);
    }
  }
}
}
