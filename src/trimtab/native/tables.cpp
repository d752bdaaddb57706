// Loops over table rows that plain PyTorch needs several passes for. Rows of equal id are found by
// hashing, added up where they lie in the cache, and multiplied there. Float32; the result does not
// depend on the number of threads, as no two of them ever add to the same number.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <omp.h>
#include <vector>

#include "lanes.h"
#include "loops.h"
#include "room.h"

namespace {

void add(float* to, const float* from, int64_t width) {
  int64_t k = 0;
  for (; k + LANES <= width; k += LANES) store(to + k, load(to + k) + load(from + k));
  for (; k < width; ++k) to[k] += from[k];
}

void add_scaled(float* to, float scale, const float* from, int64_t width) {
  int64_t k = 0;
  for (; k + LANES <= width; k += LANES) store(to + k, load(to + k) + scale * load(from + k));
  for (; k < width; ++k) to[k] += scale * from[k];
}

// c[i, :] = sum_k a[i, k] b[k, :], or that much more, for rows of c; b and c are WIDE lanes.
template <int ROWS, int WIDE>
void tile(const float* a, int64_t a_step, const float* b, int64_t b_step, float* c, int64_t c_step,
          int64_t inner, bool more) {
  Lanes sums[ROWS][WIDE] = {};
  for (int i = 0; more && i < ROWS; ++i)
    for (int j = 0; j < WIDE; ++j) sums[i][j] = load(c + i * c_step + j * LANES);
  for (int64_t k = 0; k < inner; ++k) {
    Lanes right[WIDE];
    for (int j = 0; j < WIDE; ++j) right[j] = load(b + k * b_step + j * LANES);
    for (int i = 0; i < ROWS; ++i) {
      const float left = a[i * a_step + k];
      for (int j = 0; j < WIDE; ++j) sums[i][j] += left * right[j];
    }
  }
  for (int i = 0; i < ROWS; ++i)
    for (int j = 0; j < WIDE; ++j) store(c + i * c_step + j * LANES, sums[i][j]);
}

template <int WIDE>
void strip(const float* a, int64_t a_step, const float* b, int64_t b_step, float* c, int64_t c_step,
           int64_t rows, int64_t inner, bool more) {
  constexpr int ROWS = WIDE == 1 ? 12 : 6;
  int64_t i = 0;
  for (; i + ROWS <= rows; i += ROWS)
    tile<ROWS, WIDE>(a + i * a_step, a_step, b, b_step, c + i * c_step, c_step, inner, more);
  for (; i + 4 <= rows; i += 4)
    tile<4, WIDE>(a + i * a_step, a_step, b, b_step, c + i * c_step, c_step, inner, more);
  for (; i < rows; ++i)
    tile<1, WIDE>(a + i * a_step, a_step, b, b_step, c + i * c_step, c_step, inner, more);
}

// c = a @ b, or c += a @ b, with c [rows, width]; b is small enough to stay in the cache.
void multiply(const float* a, int64_t a_step, const float* b, int64_t b_step, float* c,
              int64_t c_step, int64_t rows, int64_t inner, int64_t width, bool more) {
  int64_t j = 0;
  for (; j + 4 * LANES <= width; j += 4 * LANES)
    strip<4>(a, a_step, b + j, b_step, c + j, c_step, rows, inner, more);
  for (; j + LANES <= width; j += LANES)
    strip<1>(a, a_step, b + j, b_step, c + j, c_step, rows, inner, more);
  for (; j < width; ++j)
    for (int64_t i = 0; i < rows; ++i) {
      float sum = more ? c[i * c_step + j] : 0;
      for (int64_t k = 0; k < inner; ++k) sum += a[i * a_step + k] * b[k * b_step + j];
      c[i * c_step + j] = sum;
    }
}

// c[k, j] = sum_i a[i, k] b[i, j]: c [inner, width], eight rows of it at a time; a's last columns may
// be beyond them.
void multiply_across(const float* a, int64_t a_step, const float* b, int64_t b_step, float* c,
                     int64_t c_step, int64_t rows, int64_t inner, int64_t width) {
  int64_t k = 0;
  for (; k < inner; k += 8) {
    const int64_t some = std::min<int64_t>(8, inner - k);
    int64_t j = 0;
    for (; j + LANES <= width; j += LANES) {
      Lanes sums[8] = {};
      for (int64_t i = 0; i < rows; ++i) {
        const Lanes right = load(b + i * b_step + j);
        for (int r = 0; r < 8; ++r) sums[r] += a[i * a_step + k + r] * right;
      }
      for (int64_t r = 0; r < some; ++r) store(c + (k + r) * c_step + j, sums[r]);
    }
    for (; j < width; ++j)
      for (int64_t r = 0; r < some; ++r) {
        float sum = 0;
        for (int64_t i = 0; i < rows; ++i) sum += a[i * a_step + k + r] * b[i * b_step + j];
        c[(k + r) * c_step + j] = sum;
      }
  }
}

// to = before + the sum of a row of products a column, of which inverse tells the place: so many
// numbers, no more than WIDE lanes.
template <int WIDE>
void add_up(const float* before, const float* products, int64_t step, const int32_t* inverse,
            int64_t rows, int64_t columns, int64_t count, bool rectify, float* to) {
  float last[WIDE * LANES];
  const bool whole = count == WIDE * LANES;
  Lanes sums[WIDE];
  if (!whole) std::copy_n(before, count, last);
  for (int j = 0; j < WIDE; ++j) sums[j] = load((whole ? before : last) + j * LANES);
  for (int64_t c = 0; c < columns; ++c)
    for (int j = 0; j < WIDE; ++j)
      sums[j] += load(products + inverse[c * rows] * step + j * LANES);
  for (int j = 0; j < WIDE; ++j)
    store((whole ? to : last) + j * LANES, rectify ? rectified(sums[j]) : sums[j]);
  if (!whole) std::copy_n(last, count, to);
}
constexpr decltype(&add_up<1>) ADD_UP[] = {add_up<1>, add_up<2>, add_up<3>, add_up<4>};

// The sum of (scale a + decay b)^2.
float squared(const float* a, float scale, const float* b, float decay, int64_t width) {
  Lanes sums = {};
  float sum = 0;
  int64_t j = 0;
  for (; j + LANES <= width; j += LANES) {
    const Lanes both = scale * load(a + j) + decay * load(b + j);
    sums += both * both;
  }
  for (int k = 0; k < LANES; ++k) sum += sums[k];
  for (; j < width; ++j) sum += (scale * a[j] + decay * b[j]) * (scale * a[j] + decay * b[j]);
  return sum;
}

}  // namespace

extern "C" {

// The different values of each column of wanted [rows, columns], in the order of first sight:
// distinct (the columns' one after the other, each raised by its column's offset, where offsets is
// not null), how many of each, and inverse [columns, rows], the place in distinct of each wanted
// value. Returns how many there are.
int64_t find_distinct(const int32_t* wanted, int64_t rows, int64_t columns, const int32_t* offsets,
                      int32_t* distinct, int32_t* inverse, int64_t* counts) {
  int bits = 4;
  while ((int64_t{1} << bits) < 2 * rows) ++bits;
  const int64_t slots = int64_t{1} << bits;
  const std::unique_ptr<int32_t[]> found(new int32_t[rows * columns]);
  std::vector<int64_t> starts(columns + 1);
#pragma omp parallel
  {
    struct Slot {
      int32_t key, place;
    };
    // A thread's columns rise, and places are counted from c * rows: a lower one is of an earlier
    // column, and its slot is free.
    std::vector<Slot> table(slots, {0, -1});
#pragma omp for schedule(dynamic, 1)
    for (int64_t c = 0; c < columns; ++c) {
      int32_t* mine = found.get() + c * rows;
      const int32_t before = int32_t(c * rows);
      int32_t count = 0;
      for (int64_t r = 0; r < rows; ++r) {
        const int32_t key = wanted[r * columns + c];
        uint64_t at = (uint32_t(key) * 2654435769u) >> (32 - bits);
        while (table[at].place >= before && table[at].key != key) at = (at + 1) & (slots - 1);
        if (table[at].place < before) {
          table[at] = {key, before + count};
          mine[count++] = key;
        }
        inverse[c * rows + r] = table[at].place - before;
      }
      counts[c] = count;
    }
#pragma omp single
    for (int64_t c = 0; c < columns; ++c) starts[c + 1] = starts[c] + counts[c];
#pragma omp for schedule(static)
    for (int64_t c = 0; c < columns; ++c) {
      const int32_t offset = offsets ? offsets[c] : 0, *mine = found.get() + c * rows;
      for (int64_t i = 0; i < counts[c]; ++i) distinct[starts[c] + i] = mine[i] + offset;
      for (int64_t r = 0; r < rows; ++r) inverse[c * rows + r] += int32_t(starts[c]);
    }
  }
  return starts[columns];
}

// out[i] = table[distinct[i]]
void gather(const float* table, int64_t width, const int32_t* distinct, int64_t count, float* out) {
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < count; ++i) {
    if (i + 16 < count) __builtin_prefetch(table + distinct[i + 16] * width);
    std::memcpy(out + i * width, table + distinct[i] * width, width * sizeof(float));
  }
}

// out[r, c] = distinct[inverse[c, r]]
void spread(const float* distinct, int64_t width, const int32_t* inverse, int64_t rows,
            int64_t columns, float* out) {
#pragma omp parallel for schedule(static)
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c)
      std::memcpy(out + (r * columns + c) * width, distinct + inverse[c * rows + r] * width,
                  width * sizeof(float));
}

// out[i] = sum of gradient[r, c] over the places where inverse[c, r] = i
void collect(const float* gradient, int64_t width, const int32_t* inverse, int64_t rows,
             int64_t columns, const int64_t* counts, float* out) {
  constexpr int64_t PARTS = 8;
  std::vector<int64_t> starts(columns + 1);
  for (int64_t c = 0; c < columns; ++c) starts[c + 1] = starts[c] + counts[c];
  const int64_t parts = columns >= PARTS ? 1 : PARTS;
#pragma omp parallel for schedule(dynamic, 1)
  for (int64_t task = 0; task < columns * parts; ++task) {
    const int64_t c = task / parts, part = task % parts;
    const int64_t low = starts[c] + counts[c] * part / parts;
    const int64_t high = starts[c] + counts[c] * (part + 1) / parts;
    std::fill(out + low * width, out + high * width, 0.0f);
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t i = inverse[c * rows + r];
      if (i >= low && i < high) add(out + i * width, gradient + (r * columns + c) * width, width);
    }
  }
}

// out[b] = sum of weights[p] distinct[inverse[p]] over the places of bag b
void pool(const float* distinct, int64_t width, const int32_t* inverse, int64_t total,
          const int64_t* starts, int64_t bags, const float* weights, float* out) {
#pragma omp parallel for schedule(static)
  for (int64_t b = 0; b < bags; ++b) {
    const int64_t end = b + 1 < bags ? starts[b + 1] : total;
    std::fill(out + b * width, out + (b + 1) * width, 0.0f);
    for (int64_t p = starts[b]; p < end; ++p)
      add_scaled(out + b * width, weights[p], distinct + inverse[p] * width, width);
  }
}

// out[i] = sum of weights[p] gradient[of[p]] over the places p where inverse[p] = i
void pool_back(const float* gradient, int64_t width, const int32_t* inverse, int64_t total,
               const int64_t* of, const float* weights, int64_t count, float* out) {
#pragma omp parallel
  {
    const int64_t part = omp_get_thread_num(), parts = omp_get_num_threads();
    const int64_t low = count * part / parts, high = count * (part + 1) / parts;
    std::fill(out + low * width, out + high * width, 0.0f);
    for (int64_t p = 0; p < total; ++p)
      if (inverse[p] >= low && inverse[p] < high)
        add_scaled(out + inverse[p] * width, weights[p], gradient + of[p] * width, width);
  }
}

// out[r] = start[r] + sum_c weight[:, c] @ distinct[inverse[c, r]], with weight [wide, columns * width],
// block outputs at a time, whose products [distinct, block] stay in the cache; rectified or not.
// Returns 0 where there is no memory for them.
int64_t project(const float* distinct, int64_t width, const float* weight, int64_t weight_step,
                int64_t wide, const int32_t* inverse, int64_t rows, int64_t columns,
                const int64_t* counts, const float* start, int64_t block, int64_t rectify,
                float* out) {
  static thread_local Room room;
  std::vector<int64_t> starts(columns + 1);
  for (int64_t c = 0; c < columns; ++c) starts[c + 1] = starts[c] + counts[c];
  float* const products = room.only<float>(starts[columns] * in_lanes(std::min(block, wide)));
  if (!products) return 0;
#pragma omp parallel
  {
    std::vector<float> turned;
    for (int64_t first = 0; first < wide; first += block) {
      const int64_t some = std::min(block, wide - first), step = in_lanes(some);
#pragma omp for schedule(dynamic, 1)
      for (int64_t c = 0; c < columns; ++c) {
        turned.assign(width * step, 0.0f);
        for (int64_t k = 0; k < some; ++k)
          for (int64_t j = 0; j < width; ++j)
            turned[j * step + k] = weight[(first + k) * weight_step + c * width + j];
        multiply(distinct + starts[c] * width, width, turned.data(), step,
                 products + starts[c] * step, step, counts[c], width, step, false);
      }
#pragma omp for schedule(static)
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t k = 0; k < some; k += 4 * LANES) {
          const int64_t count = std::min(some - k, 4 * LANES), at = r * wide + first + k;
          ADD_UP[in_lanes(count) / LANES - 1](start + at, products + k, step, inverse + r, rows,
                                              columns, count, rectify, out + at);
        }
    }
  }
  return 1;
}

// The gradients of distinct and weight in project, given that of its output: some columns of it
// after another, which lie beside each other meanwhile. Returns 0 where there is no memory for them.
int64_t project_back(const float* distinct, int64_t width, const float* weight,
                     int64_t weight_step, int64_t wide, const int32_t* inverse, int64_t rows,
                     int64_t columns, const int64_t* counts, const float* gradient,
                     float* of_distinct, float* of_weight) {
  constexpr int64_t BLOCK = 256;
  static thread_local Room room;
  std::vector<int64_t> starts(columns + 1);
  for (int64_t c = 0; c < columns; ++c) starts[c + 1] = starts[c] + counts[c];
  const bool beside = wide <= BLOCK && wide % LANES == 0;
  float* const copied = room.only<float>(beside ? 0 : rows * in_lanes(std::min(wide, BLOCK)));
  if (!copied) return 0;
#pragma omp parallel
  {
    std::vector<float> sums;
    for (int64_t first = 0; first < std::max<int64_t>(wide, 1); first += BLOCK) {
      const int64_t some = std::min(BLOCK, wide - first), step = in_lanes(some);
      if (!beside) {
#pragma omp for schedule(static)
        for (int64_t r = 0; r < rows; ++r) {
          std::copy_n(gradient + r * wide + first, some, copied + r * step);
          std::fill_n(copied + r * step + some, step - some, 0.0f);
        }
      }
      const float* slopes = beside ? gradient : copied;
#pragma omp for schedule(dynamic, 1)
      for (int64_t c = 0; c < columns; ++c) {
        sums.assign(counts[c] * step, 0.0f);
        for (int64_t r = 0; r < rows; ++r)
          add(sums.data() + (inverse[c * rows + r] - starts[c]) * step, slopes + r * step, step);
        multiply(sums.data(), step, weight + first * weight_step + c * width, weight_step,
                 of_distinct + starts[c] * width, width, counts[c], some, width, first > 0);
        multiply_across(sums.data(), step, distinct + starts[c] * width, width,
                        of_weight + (first * columns + c) * width, columns * width, counts[c], some,
                        width);
      }
    }
  }
  return 1;
}

// One step of row-wise Adagrad on the distinct rows: blocks side by side, a step size each.
void adagrad(float* table, int64_t width, float* squares, const int64_t* blocks, int64_t block_count,
             const int64_t* distinct, int64_t count, const float* gradient, float rate, float decay,
             float longest, float eps) {
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < count; ++i) {
    if (i + 16 < count) {
      __builtin_prefetch(table + distinct[i + 16] * width, 1);
      __builtin_prefetch(squares + distinct[i + 16] * block_count, 1);
    }
    float* row = table + distinct[i] * width;
    const float* slope = gradient + i * width;
    const float scale =
        longest > 0 ? longest / std::max(std::sqrt(squared(slope, 1, slope, 0, width)), longest) : 1;
    for (int64_t b = 0, first = 0; b < block_count; first += blocks[b++]) {
      float& square = squares[distinct[i] * block_count + b];
      square += squared(slope + first, scale, row + first, decay, blocks[b]) / blocks[b];
      const float step = rate / (std::sqrt(square) + eps);
      float* to = row + first;
      const float* from = slope + first;
      int64_t j = 0;
      for (; j + LANES <= blocks[b]; j += LANES)
        store(to + j, load(to + j) - step * (scale * load(from + j) + decay * load(to + j)));
      for (; j < blocks[b]; ++j) to[j] -= step * (scale * from[j] + decay * to[j]);
    }
  }
}
}
