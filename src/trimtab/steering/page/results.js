// The table of gains and losses, and the sentence above it.

const METRICS = ["first", "ndcg", "utility"];
const AT_NOW = "These are the weights of now. Move a slider to see what changes.";
const SMALLEST = 0.0005; // Less than this is shown as no change.

function signed(value, digits) {
  return (value < 0 ? "\u2212" : "+") + Math.abs(value).toFixed(digits);
}

function significant(value) {
  if (value === 0) return "0";
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return digits > 6 ? value.toExponential(2) : value.toFixed(digits);
}

const SECONDS = { ms: 0.001, s: 1, min: 60, h: 3600 };

// Amounts in words, such as "3.7 → 3.4 min"; `write` spells a number.
function amounts(values, unit, write = significant) {
  const seconds = Math.abs(values[0]) * SECONDS[unit];
  const best = unit in SECONDS ? (seconds < 100 ? "s" : seconds < 6000 ? "min" : "h") : unit;
  const factor = unit in SECONDS ? SECONDS[unit] / SECONDS[best] : 1;
  return `${values.map((value) => write(value * factor)).join(" \u2192 ")} ${best}`.trim();
}

function roughly(value) {
  return value < 10 ? String(Number(value.toFixed(1))) : value.toFixed(0);
}

// Whether a change is up, down, too small to tell, or not defined.
function side(metric, { before, after, sure }) {
  const size = metric === "first" ? (after - before) / Math.abs(before) : after - before;
  if (!Number.isFinite(size)) return { name: "unsure", size: 0, text: "\u2013" };
  const text = metric === "first" ? `${signed(100 * size, 1)} %` : signed(size, 3);
  if (Math.abs(size) < SMALLEST) return { name: "unsure", size: 0, text: "0" };
  return { name: sure ? (size > 0 ? "up" : "down") : "unsure", size, text };
}

class Results {
  constructor(data) {
    this.data = data;
    this.summary = document.getElementById("summary");
    this.said = document.getElementById("said");
    this.pocket = document.getElementById("pocket");
    this.rows = [...document.querySelectorAll("[data-target]")].map((row) => ({
      target: row.dataset.target,
      cells: METRICS.map((name) => row.querySelector(`[data-metric=${name}]`)),
    }));
    this.units = data.targets.map((name) => data.keys.find((key) => key.name === name).unit);
    // The longest bar of each metric; it grows where a change is larger, and never shrinks.
    this.reach = { first: 0.1, ndcg: 0.02, utility: 0.02 };
  }

  show(effect, same) {
    const drawn = [];
    for (const { target, cells } of this.rows) {
      const found = target === "fused" ? effect.fused : effect.targets[target];
      METRICS.forEach((metric, i) => {
        const { name, size, text } = side(metric, found[metric]);
        this.reach[metric] = Math.max(this.reach[metric], Math.abs(size));
        this.write(cells[i], found[metric], name, text, this.levels(metric, target, found[metric]));
        drawn.push([cells[i], metric, size]);
      });
    }
    for (const [cell, metric, size] of drawn) {
      const bar = cell.querySelector(".bar");
      bar.style.setProperty("--size", (Math.abs(size) / this.reach[metric]).toFixed(3));
      bar.classList.toggle("left", size < 0);
    }
    this.tell(effect, same);
  }

  levels(metric, target, { before, after }) {
    if (Number.isNaN(before) || Number.isNaN(after)) return "not known here";
    if (metric !== "first") return `${before.toFixed(3)} \u2192 ${after.toFixed(3)}`;
    return amounts([before, after], target === "fused" ? "" : this.units[target]);
  }

  write(cell, { before, after }, name, text, levels) {
    cell.className = name;
    cell.dataset.before = before;
    cell.dataset.after = after;
    cell.querySelector(".change").textContent = text;
    cell.querySelector(".range").textContent = levels;
  }

  // Says it in a sentence, by what happens in the first places.
  tell({ targets }, atNow) {
    const sides = targets.map((found, i) => {
      const { name, text } = side("first", found.first);
      return { target: this.data.targets[i], name, text };
    });
    const of = (name) => sides.filter((one) => one.name === name);
    const parts = [];
    if (of("up").length) parts.push(["You gain ", of("up")]);
    if (of("down").length) parts.push(["You give up ", of("down")]);
    const same = of("unsure").map((one) => ({ target: one.target, text: "", name: "" }));
    const still = parts.length ? "About the same: " : "No change that one can tell from chance: ";
    if (same.length) parts.push([still, same]);
    const told = parts.flatMap(([start, list]) => [start, ...this.listed(list), ". "]);
    this.summary.replaceChildren(...(atNow ? [AT_NOW] : told));
    const sorted = [...of("up"), ...of("down"), ...of("unsure")];
    this.pocket.replaceChildren(...sorted.map(
      ({ target, name, text }) => marked("span", name, `${target} `, marked("b", "", text))));
    // A reader of screens hears it when the slider rests.
    clearTimeout(this.resting);
    this.resting = setTimeout(() => { this.said.textContent = this.summary.textContent; }, 700);
  }

  listed(list) {
    return list.flatMap(({ target, text, name }, i) => {
      const between = i === 0 ? "" : i === list.length - 1 ? " and " : ", ";
      const shown = marked("b", name, target);
      return text ? [between, shown, ` (${text})`] : [between, shown];
    });
  }
}

function marked(tag, name, ...inside) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  made.append(...inside);
  return made;
}
