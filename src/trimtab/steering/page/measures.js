// Numbers of an order, as the library computes them: steering/scan.py and steering/ndcg.py.

const UNKNOWN = 255;

function decoded(text, Type) {
  return new Type(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
}

// The rows of the page: what was predicted, what happened, and which list each stands in.
class Sample {
  constructor(packed) {
    this.rows = packed.rows;
    this.starts = decoded(packed.starts, Int32Array);
    this.scene = decoded(packed.scene, Uint16Array);
    this.list = new Int32Array(this.rows);
    this.longest = 0;
    for (let list = 0; list + 1 < this.starts.length; list++) {
      this.longest = Math.max(this.longest, this.starts[list + 1] - this.starts[list]);
      this.list.fill(list, this.starts[list], this.starts[list + 1]);
    }
    this.predictions = {};
    for (const [name, text] of Object.entries(packed.predictions)) {
      this.predictions[name] = Float64Array.from(decoded(text, Float32Array));
    }
    this.labels = {};
    this.happened = {}; // The same, 0 where the row's scene does not have the target.
    this.binary = {};
    for (const [name, label] of Object.entries(packed.labels)) {
      const bytes = label.bytes === undefined ? null : decoded(label.bytes, Uint8Array);
      this.binary[name] = bytes !== null;
      this.labels[name] = Float64Array.from(bytes ?? decoded(label.floats, Float32Array));
      bytes?.forEach((value, row) => { if (value === UNKNOWN) this.labels[name][row] = NaN; });
      const predicted = this.predictions[name];
      this.happened[name] = this.labels[name].map(
        (value, row) => (predicted[row] === predicted[row] ? value : 0));
    }
    for (const values of Object.values(this.predictions)) {
      // Not known where the row's scene does not have the target: there it adds nothing.
      for (let row = 0; row < this.rows; row++) values[row] ||= 0;
    }
  }
}

const DIGITS = [[0, 0], [0, 11], [0, 22], [1, 0], [1, 11], [1, 22]]; // Word of a double, shift.

// Sorts rows by a value, highest first and equal ones as they stand: a radix sort of the bits.
class Sorter {
  constructor(rows) {
    this.keys = new Float64Array(rows);
    this.words = new Uint32Array(this.keys.buffer);
    this.counts = DIGITS.map(() => new Uint32Array(2048));
    this.spare = new Uint32Array(rows);
  }

  // Returns the rows in order.
  sort(values) {
    this.turn(values);
    const { words } = this;
    let other = this.spare;
    let order = new Uint32Array(values.length);
    for (let row = 0; row < order.length; row++) order[row] = row;
    DIGITS.forEach(([word, shift], digit) => {
      const next = this.counts[digit];
      if (next[(words[word] >>> shift) & 2047] === order.length) return; // All alike.
      let place = 0;
      for (let i = 0; i < next.length; i++) {
        const count = next[i];
        next[i] = place;
        place += count;
      }
      for (let i = 0; i < order.length; i++) {
        const row = order[i];
        other[next[(words[2 * row + word] >>> shift) & 2047]++] = row;
      }
      [order, other] = [other, order];
    });
    this.spare = other;
    return order;
  }

  // Turns bits so that, as whole numbers, they rise as values fall; counts what digits there are.
  turn(values) {
    const { keys, words, counts } = this;
    for (const count of counts) count.fill(0);
    for (let row = 0; row < values.length; row++) {
      keys[row] = 0 - values[row];
      const high = 2 * row + 1;
      const flipped = words[high] >>> 31 ? 0xffffffff : 0;
      words[high - 1] ^= flipped;
      words[high] ^= flipped || 0x80000000;
      for (let digit = 0; digit < DIGITS.length; digit++) {
        counts[digit][(words[2 * row + DIGITS[digit][0]] >>> DIGITS[digit][1]) & 2047]++;
      }
    }
  }
}

// An order of all rows, and of each list's own.
class Order {
  constructor(sample, sorter, score) {
    this.score = score;
    this.overall = sorter.sort(score);
    this.within = new Uint32Array(sample.rows);
    const next = sample.starts.slice();
    for (const row of this.overall) this.within[next[sample.list[row]]++] = row;
  }

  // Where each row of a list stands in it, from 0.
  places(sample, list) {
    const found = new Map();
    for (let i = sample.starts[list]; i < sample.starts[list + 1]; i++) {
      found.set(this.within[i], i - sample.starts[list]);
    }
    return found;
  }
}

// What a list's rows do to the pairs of all rows: sum_j sign(s_i - s_j) (v_i - v_j) over its rows
// i and all rows j whose value is known. The sum over all lists counts each pair twice.
function pulls(sample, { overall, score }, values) {
  let known = 0;
  let whole = 0;
  for (let row = 0; row < values.length; row++) {
    if (values[row] === values[row]) {
      known++;
      whole += values[row];
    }
  }
  const found = new Float64Array(sample.starts.length - 1);
  let above = 0;
  let sumAbove = 0;
  for (let i = 0; i < overall.length;) {
    const tied = score[overall[i]];
    const start = i;
    let count = 0;
    let sum = 0;
    for (; i < overall.length && score[overall[i]] === tied; i++) {
      const value = values[overall[i]];
      if (value === value) {
        count++;
        sum += value;
      }
    }
    const lead = known - 2 * above - count;
    const others = whole - 2 * sumAbove - sum;
    for (let j = start; j < i; j++) {
      const value = values[overall[j]];
      if (value === value) found[sample.list[overall[j]]] += value * lead - others;
    }
    above += count;
    sumAbove += sum;
  }
  return found;
}

function added(values) {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

// Added up over the places of a list: 1, 1 / log2(3), ... to the end of the top; and 1 to `first`.
function discounts(longest, { top, first }) {
  const sums = new Float64Array(longest + 1);
  for (let place = 0; place < longest; place++) {
    sums[place + 1] = sums[place] + (place < top ? 1 / Math.log2(place + 2) : 0);
  }
  return { sums, places: sums.map((_, place) => Math.min(place, first)) };
}

// What each list's order is worth: values by the discount of their places, added up. Equal scores
// share their places; rows whose value is not known take none; for the ideal, less than 0 is 0.
function worth(sample, { within, score }, values, { sums, places }) {
  const lists = sample.starts.length - 1;
  const found = { first: new Float64Array(lists), discounted: new Float64Array(lists) };
  for (let list = 0; list < lists; list++) {
    const end = sample.starts[list + 1];
    let place = 0;
    for (let i = sample.starts[list]; i < end;) {
      const tied = score[within[i]];
      let count = 0;
      let sum = 0;
      let above = 0;
      for (; i < end && score[within[i]] === tied; i++) {
        const value = values[within[i]];
        if (value === value) {
          count++;
          sum += value;
          if (value > 0) above += value;
        }
      }
      if (count) {
        found.first[list] += (sum / count) * (places[place + count] - places[place]);
        found.discounted[list] += (above / count) * (sums[place + count] - sums[place]);
      }
      place += count;
    }
  }
  return found;
}

// Mean over the lists where it is defined.
function mean(values) {
  let total = 0;
  let count = 0;
  for (const value of values) {
    if (value === value) {
      total += value;
      count++;
    }
  }
  return count ? total / count : NaN;
}

// A mean before and after, and whether 0 lies outside the 95 % interval of the lists' differences.
function compared(before, after) {
  const difference = after.map((value, list) => value - before[list]);
  const centre = mean(difference);
  const count = difference.filter((value) => value === value).length;
  const variance = mean(difference.map((value) => (value - centre) ** 2));
  const sure = count > 1 && Math.abs(centre) > 1.96 * Math.sqrt(variance / (count - 1));
  return { before: mean(before), after: mean(after), sure };
}

// What happened, in a form that is quick to measure orders by.
class Outcome {
  constructor(sample, sorter, values, tables) {
    this.sample = sample;
    this.values = values;
    this.tables = tables;
    const known = values.map((value) => (value === value ? value : -Infinity));
    const best = new Order(sample, sorter, known);
    this.ideal = added(pulls(sample, best, values));
    this.best = worth(sample, best, values, tables).discounted;
  }

  measured(order) {
    const { first, discounted } = worth(this.sample, order, this.values, this.tables);
    const { best } = this;
    const ndcg = discounted.map((found, list) => (best[list] > 0 ? found / best[list] : NaN));
    const shares = pulls(this.sample, order, this.values).map((pull) => pull / this.ideal / 2);
    const utility = this.ideal > 0 ? Math.min(Math.max(0.5 + added(shares), 0), 1) : NaN;
    return { first, ndcg, shares, utility };
  }
}

// What another order changes: each metric before and after, and whether it can be told from chance.
function change(before, after) {
  const shares = after.shares.map((value, list) => value - before.shares[list]);
  const centre = mean(shares);
  // A list takes all its pairs with it; its share holds one half, other lists' the other.
  const deviation = Math.sqrt(added(shares.map((value) => (2 * (value - centre)) ** 2)));
  const [low, high] = [before.utility, after.utility];
  const sure = shares.length > 1 && Math.abs(high - low) > 1.96 * deviation;
  return {
    first: compared(before.first, after.first),
    ndcg: compared(before.ndcg, after.ndcg),
    utility: { before: low, after: high, sure },
  };
}
