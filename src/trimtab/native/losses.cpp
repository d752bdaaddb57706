// Binary cross-entropies of several targets and their slopes, in one pass. Float32; every number is
// computed in the same way, whatever stands beside it.
#include <algorithm>
#include <cstdint>

#include "lanes.h"
#include "loops.h"

namespace {

typedef int32_t Ints __attribute__((vector_size(64), aligned(4)));

// exp(x) for x from -87 to 0, to the last bit but one: 2^n e^r with |r| <= log(2) / 2.
Lanes exponential(Lanes x) {
  const float high = 0.693359375f, low = -2.12194440e-4f, magic = 12582912.0f;
  const Lanes least = Lanes{} - 87.0f;
  x = x < least ? least : x;
  const Lanes n = (x * 1.44269504f + magic) - magic;  // Rounded: the magic number has no fraction.
  const Lanes r = (x - n * high) - n * low;
  Lanes p = r * (1.0f / 5040) + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r * r + r + 1.0f;
  const Ints power = (__builtin_convertvector(n, Ints) + 127) << 23;
  return p * (Lanes)power;  // The same bits, read as numbers.
}

// log(1 + e) for e from 0 to 1: twice the inverse hyperbolic tangent of e / (2 + e).
Lanes log_of_one_and(Lanes e) {
  const Lanes s = e / (e + 2.0f), t = s * s;
  Lanes p = Lanes{} + 1.0f / 15;
  for (int k = 13; k > 0; k -= 2) p = p * t + 1.0f / k;
  return 2.0f * s * p;
}

}  // namespace

extern "C" {

// losses[t, i] = -log P(label) and slopes[t, i], its derivative by the logit; both 0 where the label
// is missing. A target's logits and labels are any distance apart.
void cross_entropies(int64_t targets, int64_t rows, const float* const* logits,
                     const int64_t* logit_steps, const float* const* labels,
                     const int64_t* label_steps, float* losses, float* slopes) {
  const int64_t blocks = (rows + LANES - 1) / LANES;
#pragma omp parallel for schedule(static)
  for (int64_t block = 0; block < blocks; ++block)
    for (int64_t t = 0; t < targets; ++t) {
      const int64_t first = block * LANES, some = std::min(LANES, rows - first);
      Lanes logit = {}, label = {};
      for (int64_t i = 0; i < some; ++i) {
        logit[i] = logits[t][(first + i) * logit_steps[t]];
        label[i] = labels[t][(first + i) * label_steps[t]];
      }
      const Lanes wrong = label == 1.0f ? -logit : logit;  // Large and positive where it errs.
      const Lanes e = exponential(wrong > 0.0f ? -wrong : wrong), whole = 1.0f / (1.0f + e);
      Lanes loss = (wrong > 0.0f ? wrong : Lanes{}) + log_of_one_and(e);
      loss = wrong == wrong ? loss : wrong;  // No NaN is lost.
      Lanes slope = wrong > 0.0f ? whole : e * whole;
      slope = label == 1.0f ? -slope : slope;
      loss = label == label ? loss : Lanes{};
      slope = label == label ? slope : Lanes{};
      float* to[] = {losses + t * rows + first, slopes + t * rows + first};
      for (int64_t i = 0; i < some; ++i) to[0][i] = loss[i], to[1][i] = slope[i];
    }
}
}
