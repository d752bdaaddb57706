// Weights of an additive formula, and what they do: steering/formulas/additive.py in the browser.

// A state is a weight and a cap for each term; a scene's weight of null is as elsewhere.
function copied(state) {
  return state.map((one) => ({ ...one }));
}

function isNothing(state) {
  return state.every((one) => !one.weight);
}

class Steering {
  constructor(data) {
    this.data = data;
    this.sample = new Sample(data.sample);
    this.sorter = new Sorter(this.sample.rows);
    this.tables = discounts(this.sample.longest, data);
    this.outcomes = data.targets.map((name) => this.outcome(this.sample.labels[name]));
    this.columns = data.keys.map(() => ({ caps: null, predicted: null, happened: null }));
    this.spread = [];
    this.now = this.order(data.now);
    this.before = this.outcomes.map((outcome) => outcome.measured(this.now));
  }

  outcome(values) {
    return new Outcome(this.sample, this.sorter, values, this.tables);
  }

  // The term that counts for a key in each scene.
  inForce(state) {
    return this.data.keys.map((_, slot) => this.data.scenes.map((_, scene) => {
      const of = (where) => this.data.terms.findIndex((t) => t.slot === slot && t.scene === where);
      const own = of(scene);
      return own >= 0 && state[own].weight !== null ? state[own] : state[of(null)];
    }));
  }

  // Units of a key that count in each row: predicted, and happened where all of it has labels.
  column(slot, inForce) {
    const caps = inForce.map((one) => one.cap ?? Infinity);
    const column = this.columns[slot];
    if (String(caps) !== column.caps) {
      const { factors, factor } = this.data.keys[slot];
      column.caps = String(caps);
      const predictions = factors.map((name) => this.sample.predictions[name]);
      column.predicted = this.units(predictions, factor, caps);
      const labels = factors.map((name) => this.sample.happened[name]);
      column.happened = labels.includes(undefined) ? null : this.units(labels, factor, caps);
    }
    return column;
  }

  units(columns, factor, caps) {
    return Float64Array.from({ length: this.sample.rows }, (_, row) => {
      let product = 1;
      for (const column of columns) product *= column[row];
      return Math.min(product * factor, caps[this.sample.scene[row]]);
    });
  }

  // The weighted sum of every row's predictions, or of what happened.
  sum(state, side) {
    const total = new Float64Array(this.sample.rows);
    const { scene } = this.sample;
    this.inForce(state).forEach((inForce, slot) => {
      const weights = inForce.map((one) => one.weight);
      if (!weights.some(Boolean)) return;
      const values = this.column(slot, inForce)[side];
      for (let row = 0; row < total.length; row++) {
        const weight = weights[scene[row]];
        if (weight !== 0) total[row] += values ? weight * values[row] : NaN;
      }
    });
    return total;
  }

  order(state) {
    return new Order(this.sample, this.sorter, this.sum(state, "predicted"));
  }

  // What the order of these weights does to every target, and to what they are after in all.
  effect(state) {
    const order = this.order(state);
    const targets = this.outcomes.map(
      (outcome, i) => change(this.before[i], outcome.measured(order)));
    const gain = this.outcome(this.sum(state, "happened"));
    return { order, targets, fused: change(gain.measured(this.now), gain.measured(order)) };
  }

  // Each term's part in how much scores differ, were predictions independent.
  shares(state) {
    const inForce = this.inForce(state);
    const spreads = this.data.terms.map(({ slot }, i) => {
      this.spread[slot] ??= deviation(this.column(slot, inForce[slot]).predicted);
      return Math.abs(state[i].weight ?? 0) * this.spread[slot];
    });
    const total = spreads.reduce((a, b) => a + b, 0);
    return spreads.map((spread) => (total ? spread / total : 0));
  }

  // The formula as a profile holds it. What counts nowhere is left out.
  formula(state) {
    const formula = { kind: "additive", weights: {}, scenes: {} };
    this.data.terms.forEach((term, i) => {
      const { weight, cap } = state[i];
      if (weight === null || (weight === 0 && term.scene === null)) return;
      const into = term.scene === null ? formula.weights : (formula.scenes[term.where] ??= {});
      into[term.key] = { weight, per: term.per, cap };
    });
    const inside = Object.values(formula.scenes).flatMap((weights) => Object.entries(weights));
    if (!Object.keys(formula.weights).length) {
      for (const [key, { per }] of inside) formula.weights[key] = { weight: 0, per, cap: null };
    }
    return formula;
  }

  // The same as `trimtab steer` takes it: from a file where caps do not fit into a command.
  command(state, name, file) {
    const formula = this.formula(state);
    const given = isCapped(state) ? `--formula ${file}` : `--weights ${quoted(written(formula))}`;
    return `trimtab steer ${this.data.run} ${given}${name ? ` --save ${name}` : ""}`;
  }
}

function isCapped(state) {
  return state.some(({ weight, cap }) => weight && cap !== null);
}

function written({ weights, scenes }) {
  const each = (scene, inside) => Object.entries(inside).map(
    ([key, { weight, per }]) => `${scene}${key}${per ? `/${per}` : ""}=${weight}`);
  const own = Object.entries(scenes).flatMap(([scene, inside]) => each(`${scene}.`, inside));
  return [...each("", weights), ...own].join(",");
}

function quoted(text) {
  return /^[\w.,=/+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

function deviation(values) {
  let sum = 0;
  for (const value of values) sum += value;
  const mean = sum / values.length;
  let squares = 0;
  for (const value of values) squares += (value - mean) ** 2;
  return Math.sqrt(squares / values.length);
}
