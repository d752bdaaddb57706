// Rows at random places of several matrices in one pass, those to come fetched ahead.
#include <cstdint>
#include <cstring>

extern "C" {

// to[m][i] = from[m][index[i]], a row of sizes[m] bytes, by so many threads.
void take_rows(int64_t matrices, const char* const* from, const int64_t* sizes,
               const int64_t* index, int64_t rows, int64_t threads, char* const* to) {
  constexpr int64_t AHEAD = 12, LINE = 64;
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t m = 0; m < matrices; ++m) {
      const int64_t size = sizes[m];
      if (i + AHEAD < rows) {
        const char* later = from[m] + index[i + AHEAD] * size;
        for (int64_t at = 0; at < size; at += LINE) __builtin_prefetch(later + at);
        __builtin_prefetch(later + size - 1);
      }
      std::memcpy(to[m] + i * size, from[m] + index[i] * size, size);
    }
}
}
