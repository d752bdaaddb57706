// The chart of two targets over many weightings, with the chosen one on it.

const HEIGHT = 380;
const INSIDE = { left: 46, right: 14, top: 26, bottom: HEIGHT - 44 };

function drawn(tag, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// Round numbers that cover low to high, a step of 1, 2 or 5 times a power of ten.
function ticks(low, high) {
  const rough = Math.max((high - low) / 4, 1e-6);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((nice) => rough <= nice * power * (1 + 1e-9));
  const first = Math.floor(low / step + 1e-6);
  const last = Math.max(Math.ceil(high / step - 1e-6), first + 1);
  const digits = Math.max(0, Math.ceil(-Math.log10(step) - 1e-9));
  return Array.from({ length: last - first + 1 }, (_, i) => ({
    value: (first + i) * step,
    text: ((first + i) * step).toFixed(digits),
  }));
}

class Front {
  constructor(data, before, choose) {
    this.data = data;
    this.tried = data.tried;
    this.before = before;
    this.chosen = before;
    this.choose = choose;
    this.chart = document.getElementById("chart");
    this.selects = ["across", "up"].map((name) => document.getElementById(name));
    this.selects.forEach((select, side) => {
      select.value = data.tried.axes[side];
      select.addEventListener("change", () => this.draw());
    });
    this.chart.addEventListener("click", (event) => {
      if (event.target.dataset.tried !== undefined) this.take(Number(event.target.dataset.tried));
    });
    this.chart.addEventListener("keydown", (event) => this.walk(event));
    // A unit of the drawing is a pixel at every width, so that its text can be read.
    new ResizeObserver(() => this.draw()).observe(this.chart.parentElement);
    this.draw();
  }

  axes() {
    return this.selects.map((select) => Number(select.value));
  }

  draw() {
    this.right = Math.max(this.chart.clientWidth, 240) - INSIDE.right;
    this.chart.setAttribute("viewBox", `0 0 ${this.right + INSIDE.right} ${HEIGHT}`);
    const [across, up] = this.axes();
    const dots = this.tried.metrics.map((metrics, i) => ({ i, x: metrics[across], y: metrics[up] }))
      .filter(({ x, y }) => x !== null && y !== null);
    this.best = this.undominated(dots);
    const [xs, ys] = [across, up].map((at) => this.values(at));
    if (!xs.length || !ys.length) {
      const middle = { x: this.right / 2, y: HEIGHT / 2, "text-anchor": "middle" };
      const reason = "One of the two is the same on all rows.";
      this.chart.replaceChildren(drawn("text", middle, reason));
      this.marker = null;
      return;
    }
    this.x = ticks(Math.min(...xs), Math.max(...xs));
    this.y = ticks(Math.min(...ys), Math.max(...ys));
    const line = this.best.map(({ x, y }) => `${this.px(x)} ${this.py(y)}`).join("L");
    const chosen = new Set(this.best.map(({ i }) => i));
    this.trail = drawn("line", { class: "trail" });
    this.marker = drawn("circle", { class: "chosen", r: 7 });
    this.chart.replaceChildren(
      ...this.frame(across, up),
      drawn("path", { class: "best-line", d: line ? `M${line}` : "" }),
      ...dots.map(({ i, x, y }) => drawn("circle", {
        class: chosen.has(i) ? "dot best" : "dot", r: chosen.has(i) ? 4.5 : 3.5,
        cx: this.px(x), cy: this.py(y), "data-tried": i,
      })),
      this.trail,
      drawn("circle", {
        class: "before", r: 6, cx: this.px(this.before[across]), cy: this.py(this.before[up]),
      }),
      this.marker,
    );
    this.move();
  }

  values(at) {
    const every = [this.before[at], this.chosen[at], ...this.tried.metrics.map((all) => all[at])];
    return every.filter(Number.isFinite);
  }

  px(value) {
    return this.scaled(value, this.x, INSIDE.left, this.right);
  }

  py(value) {
    return this.scaled(value, this.y, INSIDE.bottom, INSIDE.top);
  }

  scaled(value, marks, start, end) {
    const [low, high] = [marks[0].value, marks.at(-1).value];
    return Number((start + ((value - low) / (high - low)) * (end - start)).toFixed(1));
  }

  frame(across, up) {
    const { left, top, bottom } = INSIDE;
    const { right } = this;
    const names = this.data.targets;
    const rows = this.y.flatMap(({ value, text }) => {
      const y = this.py(value);
      return [
        drawn("line", { class: "grid", x1: left, x2: right, y1: y, y2: y }),
        drawn("text", { x: left - 8, y: y + 4, "text-anchor": "end" }, text),
      ];
    });
    const columns = this.x.flatMap(({ value, text }) => {
      const x = this.px(value);
      return [
        drawn("line", { class: "grid", x1: x, x2: x, y1: top, y2: bottom }),
        drawn("text", { x, y: bottom + 18, "text-anchor": "middle" }, text),
      ];
    });
    const end = { class: "title", x: right, y: bottom + 37, "text-anchor": "end" };
    return [
      ...rows,
      ...columns,
      drawn("text", end, `${names[across]}, AUC \u2192`),
      drawn("text", { class: "title", x: 0, y: 13 }, `\u2191 ${names[up]}, AUC`),
    ];
  }

  // Dots that no other is better than on one axis and as good on the other, from left to right.
  undominated(dots) {
    const found = [];
    let highest = -Infinity;
    for (const dot of dots.toSorted((a, b) => b.x - a.x || b.y - a.y)) {
      if (dot.y > highest) found.unshift(dot);
      highest = Math.max(highest, dot.y);
    }
    return found;
  }

  // Puts the chosen point where it is now; the axes stretch when it leaves them.
  show(chosen) {
    this.chosen = chosen;
    if (!this.marker) return;
    const inside = (value, marks) => value >= marks[0].value && value <= marks.at(-1).value;
    const [x, y] = this.axes().map((at) => chosen[at]);
    if (inside(x, this.x) && inside(y, this.y)) this.move();
    else this.draw();
  }

  move() {
    const [across, up] = this.axes();
    const [x, y] = [this.px(this.chosen[across]), this.py(this.chosen[up])];
    this.marker.setAttribute("cx", x);
    this.marker.setAttribute("cy", y);
    const ends = { x1: this.px(this.before[across]), y1: this.py(this.before[up]), x2: x, y2: y };
    for (const [name, value] of Object.entries(ends)) this.trail.setAttribute(name, value);
  }

  take(which) {
    const state = this.data.terms.map(({ scene }) => ({
      weight: scene === null ? 0 : null, cap: null,
    }));
    this.tried.terms.forEach((term, column) => {
      state[term] = { weight: this.tried.weights[which][column], cap: this.data.now[term].cap };
    });
    this.choose(state);
  }

  // Arrow keys take the next weights along the line.
  walk(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step || !this.best.length) return;
    event.preventDefault();
    const [across] = this.axes();
    const gaps = this.best.map(({ x }) => Math.abs(x - this.chosen[across]));
    const nearest = gaps.indexOf(Math.min(...gaps));
    this.take(this.best[Math.min(Math.max(nearest + step, 0), this.best.length - 1)].i);
  }
}
