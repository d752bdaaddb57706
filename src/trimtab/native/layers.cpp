// Linear layers, each with relu behind it, and heads without: all of them over a block of rows while
// it lies in the cache, where one product after another would have each thread wait for the others.
// Float32; the result does not depend on the number of threads: gradients of weights are added up
// over PARTS stretches of rows, and these in their order.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "lanes.h"
#include "loops.h"

namespace {

constexpr int64_t BLOCK = 128, PARTS = 8;

Lanes where_active(Lanes out, Lanes gradient) { return out <= Lanes{} ? Lanes{} : gradient; }

int64_t padded(int64_t width) { return (width + LANES - 1) / LANES * LANES; }

// What a product starts from and what becomes of it, at a column and a row of it.
struct Linear {
  const float* bias;
  Lanes start(int64_t column) const { return load(bias + column); }
  Lanes end(Lanes x, int64_t, int64_t) const { return x; }
};
struct Rectified : Linear {
  Lanes end(Lanes x, int64_t, int64_t) const { return rectified(x); }
};
struct Gradient {
  Lanes start(int64_t) const { return Lanes{}; }
  Lanes end(Lanes x, int64_t, int64_t) const { return x; }
};
struct BehindRelu : Gradient {
  const float* out;
  int64_t step;
  BehindRelu(const float* out, int64_t step) : out(out), step(step) {}
  Lanes end(Lanes x, int64_t row, int64_t column) const {
    return where_active(load(out + row * step + column), x);
  }
};

struct Matrix {
  const float* at;
  int64_t step;
};

template <int ROWS, int WIDE, bool RECTIFY, class Ends>
void tile(Matrix a, Matrix b, const Ends& ends, int64_t row, int64_t column, float* c, int64_t step,
          int64_t inner) {
  Lanes sums[ROWS][WIDE];
  for (int j = 0; j < WIDE; ++j) {
    const Lanes start = ends.start(column + j * LANES);
    for (int i = 0; i < ROWS; ++i) sums[i][j] = start;
  }
  const float* from = a.at + row * a.step;
  for (int64_t k = 0; k < inner; ++k) {
    Lanes right[WIDE];
    for (int j = 0; j < WIDE; ++j) right[j] = load(b.at + k * b.step + column + j * LANES);
    for (int i = 0; i < ROWS; ++i) {
      const float left = RECTIFY ? rectified(from[i * a.step + k]) : from[i * a.step + k];
      for (int j = 0; j < WIDE; ++j) sums[i][j] += left * right[j];
    }
  }
  for (int i = 0; i < ROWS; ++i)
    for (int j = 0; j < WIDE; ++j)
      store(c + (row + i) * step + column + j * LANES,
            ends.end(sums[i][j], row + i, column + j * LANES));
}

template <int WIDE, bool RECTIFY, class Ends>
void strip(Matrix a, Matrix b, const Ends& ends, int64_t column, float* c, int64_t step,
           int64_t rows, int64_t inner) {
  constexpr int ROWS = WIDE == 1 ? 12 : WIDE == 2 ? 8 : 6;
  int64_t i = 0;
  for (; i + ROWS <= rows; i += ROWS)
    tile<ROWS, WIDE, RECTIFY>(a, b, ends, i, column, c, step, inner);
  for (; i + 4 <= rows; i += 4) tile<4, WIDE, RECTIFY>(a, b, ends, i, column, c, step, inner);
  for (; i < rows; ++i) tile<1, WIDE, RECTIFY>(a, b, ends, i, column, c, step, inner);
}

// c[i, :] = end(start + sum_k a[i, k] b[k, :]), a rectified first or not; width a multiple of LANES.
template <bool RECTIFY, class Ends>
void multiply(Matrix a, Matrix b, const Ends& ends, float* c, int64_t step, int64_t rows,
              int64_t inner, int64_t width) {
  int64_t j = 0;
  for (; j + 4 * LANES <= width; j += 4 * LANES)
    strip<4, RECTIFY>(a, b, ends, j, c, step, rows, inner);
  for (; j + 2 * LANES <= width; j += 2 * LANES)
    strip<2, RECTIFY>(a, b, ends, j, c, step, rows, inner);
  for (; j < width; j += LANES) strip<1, RECTIFY>(a, b, ends, j, c, step, rows, inner);
}

template <int COUNT, int WIDE, bool RECTIFY>
void tile_across(Matrix a, Matrix b, float* c, int64_t step, int64_t rows) {
  Lanes sums[COUNT][WIDE] = {};
  for (int64_t i = 0; i < rows; ++i) {
    Lanes right[WIDE];
    for (int j = 0; j < WIDE; ++j) {
      right[j] = load(b.at + i * b.step + j * LANES);
      if (RECTIFY) right[j] = rectified(right[j]);
    }
    for (int k = 0; k < COUNT; ++k) {
      const float left = a.at[i * a.step + k];
      for (int j = 0; j < WIDE; ++j) sums[k][j] += left * right[j];
    }
  }
  for (int k = 0; k < COUNT; ++k)
    for (int j = 0; j < WIDE; ++j) {
      float* to = c + k * step + j * LANES;
      store(to, load(to) + sums[k][j]);
    }
}

template <int WIDE, bool RECTIFY>
void strip_across(Matrix a, Matrix b, float* c, int64_t step, int64_t rows, int64_t inner) {
  constexpr int COUNT = WIDE == 1 ? 16 : WIDE == 2 ? 8 : 4;
  int64_t k = 0;
  for (; k + COUNT <= inner; k += COUNT)
    tile_across<COUNT, WIDE, RECTIFY>({a.at + k, a.step}, b, c + k * step, step, rows);
  for (; k + 4 <= inner; k += 4)
    tile_across<4, WIDE, RECTIFY>({a.at + k, a.step}, b, c + k * step, step, rows);
  for (; k < inner; ++k)
    tile_across<1, WIDE, RECTIFY>({a.at + k, a.step}, b, c + k * step, step, rows);
}

// c[k, :] += sum_i a[i, k] b[i, :], b rectified first or not; width a multiple of LANES.
template <bool RECTIFY>
void multiply_across(Matrix a, Matrix b, float* c, int64_t step, int64_t rows, int64_t inner,
                     int64_t width) {
  int64_t j = 0;
  for (; j + 4 * LANES <= width; j += 4 * LANES)
    strip_across<4, RECTIFY>(a, {b.at + j, b.step}, c + j, step, rows, inner);
  for (; j + 2 * LANES <= width; j += 2 * LANES)
    strip_across<2, RECTIFY>(a, {b.at + j, b.step}, c + j, step, rows, inner);
  for (; j < width; j += LANES)
    strip_across<1, RECTIFY>(a, {b.at + j, b.step}, c + j, step, rows, inner);
}

void copy_rows(const float* from, int64_t from_step, float* to, int64_t to_step, int64_t rows,
               int64_t width) {
  for (int64_t i = 0; i < rows; ++i) std::copy_n(from + i * from_step, width, to + i * to_step);
}

// c += the sum of the rows of a.
void add_rows(Matrix a, int64_t rows, int64_t width, float* c) {
  for (int64_t j = 0; j < width; j += LANES) {
    Lanes sum = load(c + j);
    for (int64_t i = 0; i < rows; ++i) sum += load(a.at + i * a.step + j);
    store(c + j, sum);
  }
}

}  // namespace

extern "C" {

// Layers of each of some experts, the first over x [rows, experts, widths[0]], rectified first or not.
// Weights are [out, in], those of all experts' first layers, then of their second; outs[l] becomes
// the outputs of layers l. Behind every layer is relu, but where the last one is open.
void layers(const float* x, int64_t rows, int64_t experts, int64_t count, const int64_t* widths,
            const float* const* weights, const float* const* biases, int64_t rectify, int64_t open,
            float* const* outs) {
  int64_t widest = 0, size = 0;
  for (int64_t l = 0; l < count; ++l) {
    widest = std::max(widest, padded(widths[l + 1]));
    size += experts * (widths[l] + 1) * padded(widths[l + 1]);
  }
  std::vector<float> turned(size, 0.0f);  // Each layer's weights [in, out], then its biases.
  std::vector<const float*> starts;
  float* to = turned.data();
  for (int64_t at = 0; at < count * experts; ++at) {
    const int64_t in = widths[at / experts], out = widths[at / experts + 1], wide = padded(out);
    starts.push_back(to);
    for (int64_t j = 0; j < out; ++j)
      for (int64_t k = 0; k < in; ++k) to[k * wide + j] = weights[at][j * in + k];
    std::copy_n(biases[at], out, to + in * wide);
    to += (in + 1) * wide;
  }
#pragma omp parallel
  {
    std::vector<float> narrow(BLOCK * widest);
#pragma omp for schedule(static)
    for (int64_t first = 0; first < rows; first += BLOCK) {
      const int64_t some = std::min(BLOCK, rows - first);
      for (int64_t at = 0; at < experts * count; ++at) {
        const int64_t e = at / count, l = at % count;
        const int64_t in = widths[l], out = widths[l + 1], wide = padded(out);
        const float* start = starts[l * experts + e];
        const Matrix weight = {start, wide};
        const Matrix from = {(l ? outs[l - 1] : x) + (first * experts + e) * in, experts * in};
        const Linear linear = {start + in * wide};
        float* whole = outs[l] + (first * experts + e) * out;
        float* c = wide == out ? whole : narrow.data();
        const int64_t step = wide == out ? experts * out : wide;
        if (open && l + 1 == count) {
          if (rectify && !l) multiply<true>(from, weight, linear, c, step, some, in, wide);
          else multiply<false>(from, weight, linear, c, step, some, in, wide);
        } else {
          const Rectified relu = {linear};
          if (rectify && !l) multiply<true>(from, weight, relu, c, step, some, in, wide);
          else multiply<false>(from, weight, relu, c, step, some, in, wide);
        }
        if (wide != out) copy_rows(c, wide, whole, experts * out, some, out);
      }
    }
  }
}

// The gradients of x (unless null), weights and biases in layers, given that of each column of the
// last outputs: where it begins and how far apart its rows are.
void layers_back(const float* x, int64_t rows, int64_t experts, int64_t count,
                 const int64_t* widths, const float* const* weights, int64_t rectify, int64_t open,
                 const float* const* outs, const float* const* columns, const int64_t* steps,
                 float* of_x, float* const* of_weights, float* const* of_biases) {
  int64_t widest = 0, size = 0;
  for (int64_t l = 0; l <= count; ++l) widest = std::max(widest, padded(widths[l]));
  for (int64_t l = 0; l < count; ++l)
    size += experts * (widths[l + 1] * padded(widths[l]) + padded(widths[l + 1]));
  // Of each part: weights, then biases, layer by layer of one expert after the other.
  std::vector<float> sums(PARTS * size, 0.0f);
  std::vector<std::vector<float>> wider(count * experts);
  for (int64_t at = 0; at < count * experts; ++at) {
    const int64_t in = widths[at / experts], out = widths[at / experts + 1], wide = padded(in);
    if (wide == in) continue;
    wider[at].assign(out * wide, 0.0f);
    copy_rows(weights[at], in, wider[at].data(), wide, out, in);
  }
  bool side_by_side = true;
  for (int64_t j = 0; j < experts * widths[count]; ++j)
    side_by_side &= columns[j] == columns[0] + j && steps[j] == steps[0];
  // Whether the gradient of a layer's weights is added up as [in, out], where fewer lanes are empty.
  const auto turned = [&](int64_t l) {
    return 2 * widths[l] <= LANES && widths[l + 1] >= LANES && (l || !rectify);
  };
  const int64_t blocks = (rows + BLOCK - 1) / BLOCK;
#pragma omp parallel
  {
    std::vector<float> one(BLOCK * widest), other(BLOCK * widest), inputs(BLOCK * widest, 0.0f);
#pragma omp for schedule(static)
    for (int64_t part = 0; part < PARTS; ++part)
      for (int64_t block = blocks * part / PARTS; block < blocks * (part + 1) / PARTS; ++block) {
        const int64_t first = block * BLOCK, some = std::min(BLOCK, rows - first);
        const int64_t last = widths[count], wide = padded(last);
        float* sum = sums.data() + (part + 1) * size;
        for (int64_t e = experts; e-- > 0;) {
          float *gradient = one.data(), *next = other.data();
          Matrix by = {gradient, wide};
          const bool as_it_is = open && side_by_side && wide == last;
          if (as_it_is) by = {columns[e * last] + first * steps[0], steps[0]};
          else std::fill_n(gradient, some * wide, 0.0f);
          const float* out = outs[count - 1] + (first * experts + e) * last;
          for (int64_t i = 0; i < some && side_by_side && !as_it_is; ++i) {
            const float* from = columns[e * last] + (first + i) * steps[0];
            for (int64_t j = 0; j < last; ++j)
              gradient[i * wide + j] = open || !(out[i * experts * last + j] <= 0) ? from[j] : 0;
          }
          for (int64_t j = 0; j < last && !side_by_side; ++j)
            for (int64_t i = 0; i < some; ++i)
              if (open || !(out[i * experts * last + j] <= 0))
                gradient[i * wide + j] =
                    columns[e * last + j][(first + i) * steps[e * last + j]];
          for (int64_t l = count; l-- > 0;) {
            const int64_t in = widths[l], wide_in = padded(in), wide_out = padded(widths[l + 1]);
            sum -= widths[l + 1] * wide_in + wide_out;
            Matrix from = {(l ? outs[l - 1] : x) + (first * experts + e) * in, experts * in};
            if (wide_in != in) {
              copy_rows(from.at, from.step, inputs.data(), wide_in, some, in);
              from = {inputs.data(), wide_in};
            }
            if (turned(l))
              multiply_across<false>(from, by, sum, wide_out, some, in, wide_out);
            else if (rectify && !l)
              multiply_across<true>(by, from, sum, wide_in, some, widths[l + 1], wide_in);
            else
              multiply_across<false>(by, from, sum, wide_in, some, widths[l + 1], wide_in);
            add_rows(by, some, wide_out, sum + widths[l + 1] * wide_in);
            if (!l && !of_x) continue;
            const int64_t at = l * experts + e;
            const Matrix weight = {wider[at].empty() ? weights[at] : wider[at].data(), wide_in};
            const bool inside = l || wide_in != in;
            float* whole = of_x + (first * experts + e) * in;
            float* to = inside ? next : whole;
            const int64_t step = inside ? wide_in : experts * in;
            if (l || rectify)
              multiply<false>(by, weight, BehindRelu(from.at, from.step), to, step, some,
                              widths[l + 1], wide_in);
            else
              multiply<false>(by, weight, Gradient(), to, step, some, widths[l + 1], wide_in);
            if (!l && inside) copy_rows(next, wide_in, whole, experts * in, some, in);
            by = {next, wide_in};
            std::swap(gradient, next);
          }
        }
      }
  }
  const float* sum = sums.data();
  for (int64_t order = 0; order < experts * count; ++order) {
    const int64_t e = order / count, l = order % count, at = l * experts + e;
    const int64_t in = widths[l], out = widths[l + 1], wide = padded(in);
    const int64_t down = turned(l) ? 1 : wide, right = turned(l) ? padded(out) : 1;
    for (int64_t j = 0; j < out; ++j) {
      float* to = of_weights[at] + j * in;
      for (int64_t k = 0; k < in; ++k) to[k] = sum[j * down + k * right];
      float& bias = of_biases[at][j] = sum[out * wide + j];
      for (int64_t part = 1; part < PARTS; ++part) {
        const float* more = sum + part * size;
        for (int64_t k = 0; k < in; ++k) to[k] += more[j * down + k * right];
        bias += more[out * wide + j];
      }
    }
    sum += out * wide + padded(out);
  }
}
}
