// Whole training steps of a plain model: the loops of the other files, one after the other, with
// nothing between them for which a thread could fall asleep. To the last bit what they give alone.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "loops.h"
#include "room.h"

namespace {

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

struct Batch {  // Or several, one behind the other.
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
}

namespace {

void enough(int64_t memory) {
  if (!memory) throw std::bad_alloc();
}

// What the parts of a step hand to each other; all matrices lie in the thread's room.
class Step {
 public:
  Step(const Network& network, const Batch& batch) : n(network), b(batch) {}

  // Finds the distinct ids; says whether they are fewer than the ids by more than so many times.
  bool find(int64_t repeated) {
    distinct = room.of<int32_t>(rows * n.columns), inverse = room.of<int32_t>(rows * n.columns);
    count = find_distinct(b.wanted, rows, n.columns, n.offsets, distinct, inverse, counts.data());
    return repeated * count < rows * n.columns;
  }

  // Finds room for gradients and outputs, and puts each layer's parts where the loops want them:
  // the first one's weights for numbers apart from those for ids, heads side by side.
  void lay_out() {
    for (int64_t l = 0; l < hidden + n.targets; ++l) {
      const int64_t in = l ? n.widths[std::min(l, hidden) - 1] : over_all;
      const int64_t out = l < hidden ? n.widths[l] : 1;
      for (const int64_t size : {in * out, out})
        sizes.push_back(size), slopes.push_back(room.of<float>(size));
    }
    for (int64_t j = 0; j < wide; ++j)
      std::copy_n(n.weights[0] + j * over_all + over_ids, n.numbers,
                  first_numbers + j * n.numbers);
    of_numbers.add(wide, first_numbers, n.weights[1], of_first_numbers, slopes[1], first);
    for (int64_t l = 1; l < hidden; ++l)
      (l < n.bottom ? bottom : tower)
          .add(n.widths[l], n.weights[2 * l], n.weights[2 * l + 1], slopes[2 * l],
               slopes[2 * l + 1], room.of<float>(rows * n.widths[l]));
    for (int64_t t = 0; t < n.targets; ++t) {
      std::copy_n(n.weights[2 * (hidden + t)], last, heads + t * last);
      head_biases[t] = *n.weights[2 * (hidden + t) + 1];
    }
    tower.add(n.targets, heads, head_biases, of_heads, of_head_biases,
              room.of<float>(rows * n.targets));
  }

  // Computes each target's mean loss; says whether the weighted sum of all is finite for certain.
  bool forward(float* means) {
    read = room.of<float>(count * n.width);
    gather(n.table, n.width, distinct, count, read);
    of_numbers.forward(b.numbers, rows, true);
    enough(project(read, n.width, n.weights[0], over_all, wide, inverse, rows, n.columns,
                   counts.data(), first, n.block, true, first));
    bottom.forward(first, rows, false);
    tower.forward(bottom.outs.back(), rows, true);
    const std::vector<int64_t> logit_steps(n.targets, n.targets);
    cross_entropies(n.targets, rows, columns_of(tower.outs.back(), n.targets).data(),
                    logit_steps.data(), b.labels, b.label_steps, losses, of_logits);
    const float most = std::numeric_limits<float>::max() / float(n.targets * rows);
    int wrong = 0;
    for (int64_t t = 0; t < n.targets; ++t) {
      const float largest = most / std::max(1.0f, n.target_weights[t]);
      double sum = 0;
#pragma omp simd reduction(+ : sum) reduction(| : wrong)
      for (int64_t i = 0; i < rows; ++i) {
        const float loss = losses[t * rows + i];
        sum += loss, wrong |= !(loss <= largest);
      }
      means[t] = float(sum / double(rows));
    }
    return !wrong;
  }

  void backward() {
    std::vector<const float*> of_targets;
    for (int64_t t = 0; t < n.targets; ++t) {
      float* slope = of_logits + t * rows;
      const float by = n.target_weights[t] / float(rows);
      for (int64_t i = 0; i < rows; ++i) slope[i] *= by;
      of_targets.push_back(slope);
    }
    float* const of_bottom = room.of<float>(rows * tower.widths[0]);
    float* const of_first = room.of<float>(rows * wide);
    // The first layer's outputs are rectified already: to do so again only says where relu is open.
    tower.back(bottom.outs.back(), rows, false, true, of_targets, 1, of_bottom);
    bottom.back(first, rows, true, false, columns_of(of_bottom, tower.widths[0]), tower.widths[0],
                of_first);
    of_read = room.of<float>(count * n.width);
    float* const of_ids = room.of<float>(wide * over_ids);
    enough(project_back(read, n.width, n.weights[0], over_all, wide, inverse, rows, n.columns,
                        counts.data(), of_first, of_read, of_ids));
    of_numbers.back(b.numbers, rows, false, true, columns_of(of_first, wide), wide, nullptr);
    for (int64_t j = 0; j < wide; ++j) {
      float* to = slopes[0] + j * over_all;
      std::copy_n(of_ids + j * over_ids, over_ids, to);
      std::copy_n(of_first_numbers + j * n.numbers, n.numbers, to + over_ids);
    }
    for (int64_t t = 0; t < n.targets; ++t) {
      std::copy_n(of_heads + t * last, last, slopes[2 * (hidden + t)]);
      *slopes[2 * (hidden + t) + 1] = of_head_biases[t];
    }
  }

  void update() {
    adamw(int64_t(sizes.size()), sizes.data(), n.weights, slopes.data(), n.means, n.squares,
          n.steps, n.rate, n.beta1, n.beta2, n.decay, n.eps);
    int64_t* const places = room.of<int64_t>(count);
    std::copy_n(distinct, count, places);
    adagrad(n.table, n.width, n.table_squares, &n.width, 1, places, count, of_read, n.table_rate,
            n.table_decay, n.table_longest, n.table_eps);
  }

 private:
  const Network& n;
  const Batch& b;
  const int64_t rows = b.rows, wide = n.widths[0];
  const int64_t over_ids = n.columns * n.width, over_all = over_ids + n.numbers;
  const int64_t hidden = n.bottom + n.tower, last = n.widths[hidden - 1];
  int64_t count = 0;  // Of the distinct ids.
  std::vector<int64_t> counts = std::vector<int64_t>(n.columns);  // Of each column's.
  int32_t *distinct = nullptr, *inverse = nullptr;
  float *read = nullptr, *of_read = nullptr;
  // The first layer's numbers, then with the ids; the rest of the bottom; the tower and its heads.
  Chain of_numbers{n.numbers}, bottom{wide}, tower{n.widths[n.bottom - 1]};
  float* const first = room.of<float>(rows * wide);
  float* const first_numbers = room.of<float>(wide * n.numbers);
  float* const of_first_numbers = room.of<float>(wide * n.numbers);
  float* const heads = room.of<float>(n.targets * (last + 1));
  float* const head_biases = heads + n.targets * last;
  float* const of_heads = room.of<float>(n.targets * (last + 1));
  float* const of_head_biases = of_heads + n.targets * last;
  float* const losses = room.of<float>(n.targets * rows);  // [target, row], as their slopes.
  float* const of_logits = room.of<float>(n.targets * rows);
  std::vector<int64_t> sizes;  // Of the tensors that Adam updates, with their gradients.
  std::vector<float*> slopes;
};

}  // namespace

extern "C" {

// Does a step for each of so many batches that lie end to end, of so many rows each; means are of the
// losses [step, target] before it. Returns how many were done: all, or those before the first whose
// distinct ids repeat less than repeated times, or with a loss so large that the sum of all might not
// be finite. That one changes nothing. Returns -1 where there is no memory.
int64_t plain_steps(const Network* network, const Batch* batches, int64_t count,
                    const int64_t* sizes, int64_t repeated, float* means) try {
  Batch batch = *batches;
  std::vector<const float*> labels(batch.labels, batch.labels + network->targets);
  batch.labels = labels.data();
  for (int64_t i = 0; i < count; ++i) {
    batch.rows = sizes[i];
    room.again();
    Step step(*network, batch);
    if (!step.find(repeated)) return i;
    step.lay_out();
    if (!step.forward(means + i * network->targets)) return i;
    step.backward();
    step.update();
    batch.wanted += sizes[i] * network->columns;
    batch.numbers += sizes[i] * network->numbers;
    for (int64_t t = 0; t < network->targets; ++t) labels[t] += sizes[i] * batch.label_steps[t];
  }
  return count;
} catch (const std::bad_alloc&) {
  return -1;
}
}
