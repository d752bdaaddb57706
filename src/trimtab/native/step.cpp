// A whole training step of a plain model: the loops of the other files, one after the other, with
// nothing between them for which a thread could fall asleep. To the last bit what they give alone.
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <new>
#include <memory>
#include <numeric>
#include <vector>

#include "loops.h"

namespace {

// Numbers that nobody has set yet, kept for the thread's next step: what is given back to the system
// costs a page fault for every 4 KB when it is asked for again. They lie in huge pages where there
// are such: rows of products are read at random places, and a place is found faster in a huge page.
class Room {
 public:
  void again() {
    more_.clear();
    if (used_ > size_) {
      const int64_t wanted = (used_ + used_ / 8 + HUGE - 1) / HUGE * HUGE;
      size_ = used_ = 0;  // Nothing is there while more is asked for.
      block_.reset();
      block_.reset(static_cast<char*>(std::aligned_alloc(HUGE, wanted)));
      if (!block_) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
      madvise(block_.get(), wanted, MADV_HUGEPAGE);
#endif
      size_ = wanted;
    }
    used_ = 0;
  }
  template <class Number>
  Number* of(int64_t count) {
    const int64_t bytes = (int64_t(sizeof(Number)) * count + 63) / 64 * 64, at = used_;
    used_ += bytes;
    if (used_ <= size_) return reinterpret_cast<Number*>(block_.get() + at);
    more_.emplace_back(new char[bytes + 1]);
    return reinterpret_cast<Number*>(more_.back().get());
  }

 private:
  static constexpr int64_t HUGE = 2 << 20;
  struct Free {
    void operator()(char* block) const { std::free(block); }
  };
  std::unique_ptr<char, Free> block_;
  std::vector<std::unique_ptr<char[]>> more_;
  int64_t size_ = 0, used_ = 0;
};
thread_local Room room;

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

  explicit Chain(int64_t in) : widths{in} {}

  void add(int64_t out, const float* weight, const float* bias, float* of_weight, float* of_bias,
           float* to) {
    widths.push_back(out), weights.push_back(weight), biases.push_back(bias);
    of_weights.push_back(of_weight), of_biases.push_back(of_bias), outs.push_back(to);
  }
  int64_t count() const { return int64_t(weights.size()); }
  void forward(const float* x, int64_t rows, bool open) {
    layers(x, rows, 1, count(), widths.data(), weights.data(), biases.data(), false, open,
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
  const int32_t* wanted;  // [rows, columns], each column counted within its own table
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
  const int32_t* offsets;       // Of each column's table within the one that holds them all.
  const float* target_weights;  // What each target's loss, a mean over rows, is multiplied by.
  float *table, *table_squares;
  double rate, beta1, beta2, decay, eps;
  float table_rate, table_decay, table_longest, table_eps;
};

// Does a step and returns 1, or 0 with nothing changed where distinct ids repeat less than repeated
// times, or where a loss [target, row] is so large that the sum of all might not be finite.
int64_t plain_step(const Network* n, const Batch* b, int64_t repeated, float* losses) {
  room.again();
  const int64_t rows = b->rows, total = rows * n->columns, wide = n->widths[0];
  int32_t *const distinct = room.of<int32_t>(total), *const inverse = room.of<int32_t>(total);
  std::vector<int64_t> counts(n->columns);
  const int64_t count =
      find_distinct(b->wanted, rows, n->columns, n->offsets, distinct, inverse, counts.data());
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
  float* const slopes_room = room.of<float>(std::accumulate(sizes.begin(), sizes.end(), int64_t{0}));
  std::vector<float*> slopes;
  for (size_t t = 0; t < sizes.size(); ++t)
    slopes.push_back(t ? slopes.back() + sizes[t - 1] : slopes_room);

  // The first layer, the rest of the bottom, the tower with its heads side by side.
  Chain of_numbers(n->numbers), bottom(wide), tower(n->widths[n->bottom - 1]);
  float* const first = room.of<float>(rows * wide);  // The numbers' part, then with the ids'.
  float* const first_numbers = room.of<float>(wide * n->numbers);
  float* const of_first_numbers = room.of<float>(wide * n->numbers);
  for (int64_t j = 0; j < wide; ++j)
    std::copy_n(n->weights[0] + j * over_all + over_ids, n->numbers,
                first_numbers + j * n->numbers);
  of_numbers.add(wide, first_numbers, n->weights[1], of_first_numbers, slopes[1], first);
  for (int64_t l = 1; l < hidden; ++l)
    (l < n->bottom ? bottom : tower)
        .add(n->widths[l], n->weights[2 * l], n->weights[2 * l + 1], slopes[2 * l],
             slopes[2 * l + 1], room.of<float>(rows * n->widths[l]));
  const int64_t last = n->widths[hidden - 1];
  float* const heads = room.of<float>(n->targets * (last + 1));
  float* const head_biases = heads + n->targets * last;
  for (int64_t t = 0; t < n->targets; ++t) {
    std::copy_n(n->weights[2 * (hidden + t)], last, heads + t * last);
    head_biases[t] = *n->weights[2 * (hidden + t) + 1];
  }
  float* const of_heads = room.of<float>(n->targets * (last + 1));
  float* const of_head_biases = of_heads + n->targets * last;
  tower.add(n->targets, heads, head_biases, of_heads, of_head_biases,
            room.of<float>(rows * n->targets));

  // Forwards.
  float* const read = room.of<float>(count * n->width);
  float* const products = room.of<float>(count * std::min(wide, n->block));
  gather(n->table, n->width, distinct, count, read);
  of_numbers.forward(b->numbers, rows, true);
  project(read, n->width, n->weights[0], over_all, wide, inverse, rows, n->columns,
          counts.data(), first, std::min(wide, n->block), products, true, first);
  bottom.forward(first, rows, false);
  tower.forward(bottom.outs.back(), rows, true);
  const std::vector<int64_t> logit_steps(n->targets, n->targets);
  float* const of_logits = room.of<float>(n->targets * rows);
  cross_entropies(n->targets, rows, columns_of(tower.outs.back(), n->targets).data(),
                  logit_steps.data(), b->labels, b->label_steps, losses, of_logits);
  const float most = std::numeric_limits<float>::max() / float(n->targets * rows);
  int wrong = 0;
  for (int64_t t = 0; t < n->targets; ++t) {
    const float largest = most / std::max(1.0f, n->target_weights[t]);
    for (int64_t i = 0; i < rows; ++i) wrong |= !(losses[t * rows + i] <= largest);
  }
  if (wrong) return 0;

  // Backwards.
  std::vector<const float*> of_targets;
  for (int64_t t = 0; t < n->targets; ++t) {
    float* slope = of_logits + t * rows;
    const float by = n->target_weights[t] / float(rows);
    for (int64_t i = 0; i < rows; ++i) slope[i] *= by;
    of_targets.push_back(slope);
  }
  float* const of_bottom = room.of<float>(rows * tower.widths[0]);
  float* const of_first = room.of<float>(rows * wide);
  tower.back(bottom.outs.back(), rows, false, true, of_targets, 1, of_bottom);
  bottom.back(first, rows, true, false, columns_of(of_bottom, tower.widths[0]),
              tower.widths[0], of_first);
  float* const of_read = room.of<float>(count * n->width);
  float* const of_ids = room.of<float>(wide * over_ids);
  project_back(read, n->width, n->weights[0], over_all, wide, inverse, rows, n->columns,
               counts.data(), of_first, of_read, of_ids);
  of_numbers.back(b->numbers, rows, false, true, columns_of(of_first, wide), wide, nullptr);
  for (int64_t j = 0; j < wide; ++j) {
    float* to = slopes[0] + j * over_all;
    std::copy_n(of_ids + j * over_ids, over_ids, to);
    std::copy_n(of_first_numbers + j * n->numbers, n->numbers, to + over_ids);
  }
  for (int64_t t = 0; t < n->targets; ++t) {
    std::copy_n(of_heads + t * last, last, slopes[2 * (hidden + t)]);
    *slopes[2 * (hidden + t) + 1] = of_head_biases[t];
  }

  // The update.
  adamw(int64_t(sizes.size()), sizes.data(), n->weights, slopes.data(), n->means, n->squares,
        n->steps, n->rate, n->beta1, n->beta2, n->decay, n->eps);
  int64_t* const places = room.of<int64_t>(count);
  std::copy_n(distinct, count, places);
  adagrad(n->table, n->width, n->table_squares, &n->width, 1, places, count, of_read,
          n->table_rate, n->table_decay, n->table_longest, n->table_eps);
  return 1;
}
}
