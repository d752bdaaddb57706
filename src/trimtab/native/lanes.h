// Sixteen float32 numbers that are computed with at once.
#pragma once
#include <cstdint>

typedef float Lanes __attribute__((vector_size(64), aligned(4)));
constexpr int64_t LANES = 16;

inline Lanes load(const float* from) { return *reinterpret_cast<const Lanes*>(from); }
inline void store(float* to, Lanes lanes) { *reinterpret_cast<Lanes*>(to) = lanes; }

inline Lanes rectified(Lanes x) { return x < Lanes{} ? Lanes{} : x; }
inline float rectified(float x) { return x < 0 ? 0 : x; }

// So many numbers as whole lanes hold.
inline int64_t in_lanes(int64_t count) { return (count + LANES - 1) / LANES * LANES; }
