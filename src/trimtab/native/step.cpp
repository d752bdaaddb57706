// A whole training step of a plain model: the loops of the other files, one after the other, with
// nothing between them for which a thread could fall asleep. To the last bit what they give alone.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <numeric>
#include <vector>

#include "loops.h"

namespace {

// Numbers that nobody has set yet.
template <class Number>
std::unique_ptr<Number[]> room(int64_t size) {
  return std::unique_ptr<Number[]>(new Number[std::max<int64_t>(size, 1)]);
}

// Where each column of a matrix [rows, width] begins.
std::vector<const float*> columns_of(const float* matrix, int64_t width) {
  std::vector<const float*> places(width);
  for (int64_t j = 0; j < width; ++j) places[j] = matrix + j;
  return places;
}

// Linear layers one behind the other: weights, the gradients that they will have, and outputs.
struct Chain {
  std::vector<int64_t> widths;
  std::vector<const float*> weights, biases;
  std::vector<float*> of_weights, of_biases, outs;
  std::vector<std::unique_ptr<float[]>> held;

  explicit Chain(int64_t in) : widths{in} {}

  void add(int64_t out, const float* weight, const float* bias, float* of_weight, float* of_bias,
           int64_t rows) {
    widths.push_back(out), weights.push_back(weight), biases.push_back(bias);
    of_weights.push_back(of_weight), of_biases.push_back(of_bias);
    held.push_back(room<float>(rows * out)), outs.push_back(held.back().get());
  }
  int64_t count() const { return int64_t(weights.size()); }
  void forward(const float* x, int64_t rows, bool rectify, bool open) {
    layers(x, rows, 1, count(), widths.data(), weights.data(), biases.data(), rectify, open,
           outs.data());
  }
  void back(const float* x, int64_t rows, bool rectify, bool open,
            const std::vector<const float*>& columns, int64_t step, float* of_x) {
    const std::vector<int64_t> steps(columns.size(), step);
    layers_back(x, rows, 1, count(), widths.data(), weights.data(), rectify, open, outs.data(),
                columns.data(), steps.data(), of_x, of_weights.data(), of_biases.data());
  }
};

}  // namespace

extern "C" {

struct Batch {
  int64_t rows;
  const int32_t* wanted;  // [rows, columns]
  const float* numbers;   // [rows, numbers]
  const float* const* labels;
  const int64_t* label_steps;
};

// Weight and bias of the first layer, of the rest of the bottom, of the tower, of each head: in this
// order they are the tensors, two a layer, that Adam updates.
struct Network {
  int64_t columns, width, numbers, bottom, tower, targets;  // Layers of bottom and tower.
  const int64_t* widths;                                    // Of the outputs of these layers.
  int64_t block;                                            // As in project.
  float *const *weights, *const *means, *const *squares, *const *steps;
  float *table, *table_squares;
  double rate, beta1, beta2, decay, eps;
  float table_rate, table_decay, table_longest, table_eps;
};

// Does a step and returns 1, or 0 with nothing changed where distinct ids repeat less than repeated
// times, or where a loss is so large that the sum of all might not be finite. by[t] is what each
// target's losses [t, row] are multiplied by when they are added up.
int64_t plain_step(const Network* n, const Batch* b, int64_t repeated, const float* by, float* losses) {
  const int64_t rows = b->rows, total = rows * n->columns, wide = n->widths[0];
  const auto distinct = room<int32_t>(total), inverse = room<int32_t>(total);
  std::vector<int64_t> counts(n->columns);
  const int64_t count =
      find_distinct(b->wanted, rows, n->columns, distinct.get(), inverse.get(), counts.data());
  if (repeated * count >= total) return 0;

  // Sizes of the tensors, and room for their gradients.
  const int64_t over_ids = n->columns * n->width, over_all = over_ids + n->numbers;
  const int64_t hidden = n->bottom + n->tower;
  std::vector<int64_t> sizes;
  for (int64_t l = 0; l < hidden + n->targets; ++l) {
    const int64_t in = l ? n->widths[std::min(l, hidden) - 1] : over_all;
    const int64_t out = l < hidden ? n->widths[l] : 1;
    sizes.push_back(in * out), sizes.push_back(out);
  }
  const auto slopes_room = room<float>(std::accumulate(sizes.begin(), sizes.end(), int64_t{0}));
  std::vector<float*> slopes;
  for (size_t t = 0; t < sizes.size(); ++t)
    slopes.push_back(t ? slopes.back() + sizes[t - 1] : slopes_room.get());

  // The first layer, the rest of the bottom, the tower with its heads side by side.
  Chain of_numbers(n->numbers), bottom(wide), tower(n->widths[n->bottom - 1]);
  const auto first_numbers = room<float>(wide * n->numbers);
  const auto of_first_numbers = room<float>(wide * n->numbers);
  for (int64_t j = 0; j < wide; ++j)
    std::copy_n(n->weights[0] + j * over_all + over_ids, n->numbers,
                first_numbers.get() + j * n->numbers);
  of_numbers.add(wide, first_numbers.get(), n->weights[1], of_first_numbers.get(), slopes[1], rows);
  for (int64_t l = 1; l < hidden; ++l)
    (l < n->bottom ? bottom : tower)
        .add(n->widths[l], n->weights[2 * l], n->weights[2 * l + 1], slopes[2 * l],
             slopes[2 * l + 1], rows);
  const int64_t last = n->widths[hidden - 1];
  const auto heads = room<float>(n->targets * (last + 1));
  float* const head_biases = heads.get() + n->targets * last;
  for (int64_t t = 0; t < n->targets; ++t) {
    std::copy_n(n->weights[2 * (hidden + t)], last, heads.get() + t * last);
    head_biases[t] = *n->weights[2 * (hidden + t) + 1];
  }
  const auto of_heads = room<float>(n->targets * (last + 1));
  float* const of_head_biases = of_heads.get() + n->targets * last;
  tower.add(n->targets, heads.get(), head_biases, of_heads.get(), of_head_biases, rows);

  // Forwards.
  const auto read = room<float>(count * n->width), first = room<float>(rows * wide);
  const auto products = room<float>(count * std::min(wide, n->block));
  gather(n->table, n->width, distinct.get(), count, read.get());
  of_numbers.forward(b->numbers, rows, false, true);
  project(read.get(), n->width, n->weights[0], over_all, wide, inverse.get(), rows, n->columns,
          counts.data(), of_numbers.outs[0], std::min(wide, n->block), products.get(), first.get());
  bottom.forward(first.get(), rows, true, false);
  tower.forward(bottom.outs.back(), rows, false, true);
  const std::vector<int64_t> logit_steps(n->targets, n->targets);
  const auto of_logits = room<float>(n->targets * rows);
  cross_entropies(n->targets, rows, columns_of(tower.outs.back(), n->targets).data(),
                  logit_steps.data(), b->labels, b->label_steps, losses, of_logits.get());
  const float most = std::numeric_limits<float>::max() / float(n->targets * rows);
  int wrong = 0;
  for (int64_t t = 0; t < n->targets; ++t) {
    const float largest = most / std::max(1.0f, by[t] * float(rows));
    for (int64_t i = 0; i < rows; ++i) wrong |= !(losses[t * rows + i] <= largest);
  }
  if (wrong) return 0;

  // Backwards.
  std::vector<const float*> of_targets;
  for (int64_t t = 0; t < n->targets; ++t) {
    float* slope = of_logits.get() + t * rows;
    for (int64_t i = 0; i < rows; ++i) slope[i] *= by[t];
    of_targets.push_back(slope);
  }
  const auto of_bottom = room<float>(rows * tower.widths[0]), of_first = room<float>(rows * wide);
  tower.back(bottom.outs.back(), rows, false, true, of_targets, 1, of_bottom.get());
  bottom.back(first.get(), rows, true, false, columns_of(of_bottom.get(), tower.widths[0]),
              tower.widths[0], of_first.get());
  const auto of_read = room<float>(count * n->width), of_ids = room<float>(wide * over_ids);
  project_back(read.get(), n->width, n->weights[0], over_all, wide, inverse.get(), rows, n->columns,
               counts.data(), of_first.get(), of_read.get(), of_ids.get());
  of_numbers.back(b->numbers, rows, false, true, columns_of(of_first.get(), wide), wide, nullptr);
  for (int64_t j = 0; j < wide; ++j) {
    float* to = slopes[0] + j * over_all;
    std::copy_n(of_ids.get() + j * over_ids, over_ids, to);
    std::copy_n(of_first_numbers.get() + j * n->numbers, n->numbers, to + over_ids);
  }
  for (int64_t t = 0; t < n->targets; ++t) {
    std::copy_n(of_heads.get() + t * last, last, slopes[2 * (hidden + t)]);
    *slopes[2 * (hidden + t) + 1] = of_head_biases[t];
  }

  // The update.
  adamw(int64_t(sizes.size()), sizes.data(), n->weights, slopes.data(), n->means, n->squares,
        n->steps, n->rate, n->beta1, n->beta2, n->decay, n->eps);
  const std::vector<int64_t> places(distinct.get(), distinct.get() + count);
  adagrad(n->table, n->width, n->table_squares, &n->width, 1, places.data(), count, of_read.get(),
          n->table_rate, n->table_decay, n->table_longest, n->table_eps);
  return 1;
}
}
