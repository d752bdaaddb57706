// What the files of this folder compute, each where it is written down. All matrices are row by row.
#pragma once
#include <cstdint>

extern "C" {

// tables.cpp
int64_t find_distinct(const int32_t* wanted, int64_t rows, int64_t columns, const int32_t* offsets,
                      int32_t* distinct, int32_t* inverse, int64_t* counts);
void gather(const float* table, int64_t width, const int32_t* distinct, int64_t count, float* out);
int64_t project(const float* distinct, int64_t width, const float* weight, int64_t weight_step,
                int64_t wide, const int32_t* inverse, int64_t rows, int64_t columns,
                const int64_t* counts, const float* start, int64_t block, int64_t rectify,
                float* out);
int64_t project_back(const float* distinct, int64_t width, const float* weight,
                     int64_t weight_step, int64_t wide, const int32_t* inverse, int64_t rows,
                     int64_t columns, const int64_t* counts, const float* gradient,
                     float* of_distinct, float* of_weight);
void adagrad(float* table, int64_t width, float* squares, const int64_t* blocks, int64_t block_count,
             const int64_t* distinct, int64_t count, const float* gradient, float rate, float decay,
             float longest, float eps);

// layers.cpp
void layers(const float* x, int64_t rows, int64_t experts, int64_t count, const int64_t* widths,
            const float* const* weights, const float* const* biases, int64_t rectify, int64_t open,
            float* const* outs);
void layers_back(const float* x, int64_t rows, int64_t experts, int64_t count,
                 const int64_t* widths, const float* const* weights, int64_t rectify, int64_t open,
                 const float* const* outs, const float* const* columns, const int64_t* steps,
                 float* of_x, float* const* of_weights, float* const* of_biases);

// losses.cpp
void cross_entropies(int64_t targets, int64_t rows, const float* const* logits,
                     const int64_t* logit_steps, const float* const* labels,
                     const int64_t* label_steps, float* losses, float* slopes);

// adam.cpp
void adamw(int64_t tensors, const int64_t* sizes, float* const* weights,
           const float* const* gradients, float* const* means, float* const* squares,
           float* const* steps, double rate, double beta1, double beta2, double decay, double eps);
}
