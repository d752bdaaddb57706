// Lists of a few users, which move as the weights do.

const SHOWN = 8;

class Lists {
  constructor(data, sample, now) {
    this.data = data;
    this.sample = sample;
    this.parts = data.targets.map((name) => this.ranked(name));
    this.lists = data.lists.map((list, i) => this.built(list, i, now));
    const place = document.getElementById("lists");
    place.replaceChildren(...this.lists.map((list) => list.box));
    // Only from now on do rows move where one can see it.
    requestAnimationFrame(() => place.classList.add("moving"));
  }

  // Each row's share of the way from the least to (nearly) the most that is predicted of a target.
  ranked(name) {
    const values = this.sample.predictions[name];
    const sorted = values.toSorted();
    const [low, high] = [sorted[0], sorted[Math.floor(0.98 * (sorted.length - 1))]];
    return values.map((value) => Math.min((value - low) / (high - low || 1), 1));
  }

  built({ size, rows }, i, now) {
    const box = marked("div", "list");
    const [name, many] = [`User ${i + 1}`, `the first ${Math.min(SHOWN, rows.length)} of ${size}`];
    const list = marked("ol", "");
    list.setAttribute("aria-label", `${name}, in order`);
    list.style.setProperty("--shown", Math.min(SHOWN, rows.length));
    const places = this.places(rows, now);
    const made = rows.map(([row, item]) => this.row(row, item, places.get(row)));
    list.append(...made.map(({ entry }) => entry));
    box.append(marked("h3", "", name, marked("small", "", many)), list);
    return { box, list, rows, made };
  }

  // Where each shown row stands among those shown, from 0.
  places(rows, order) {
    const all = order.places(this.sample, this.sample.list[rows[0][0]]);
    const sorted = rows.map(([row]) => row).sort((a, b) => all.get(a) - all.get(b));
    return new Map(sorted.map((row, place) => [row, place]));
  }

  row(row, item, before) {
    const did = this.data.targets.flatMap((name) => this.did(name, row));
    const label = marked("span", "item", item);
    label.title = item;
    const what = marked("span", "what", label, marked("span", "did", ...did));
    const bars = marked("span", "bars", ...this.data.targets.map((_, slot) => {
      const bar = marked("i", `s${slot % this.data.colours}`);
      bar.style.setProperty("--part", this.parts[slot][row].toFixed(3));
      return bar;
    }));
    bars.title = this.data.targets.map((name) => `${name} ${this.expected(name, row)}`).join(", ");
    const [place, moved] = [marked("span", "place"), marked("span", "moved")];
    return { entry: marked("li", "", place, what, bars, moved), row, before, place, moved };
  }

  // What happened, in a word or two; an amount below the mean is set in grey.
  did(name, row) {
    const value = this.sample.labels[name][row];
    if (!(value > 0)) return [];
    const key = this.data.keys.find((one) => one.name === name);
    const colour = `s${key.slot % this.data.colours}`;
    if (this.sample.binary[name]) return [marked("span", colour, name)];
    this.means ??= {};
    this.means[name] ??= mean(this.sample.labels[name]);
    const little = value < this.means[name] ? " little" : "";
    const much = amounts([value], key.unit, roughly);
    return [marked("span", colour + little, `${name} ${much}`)];
  }

  expected(name, row) {
    const value = this.sample.predictions[name][row];
    const { unit } = this.data.keys.find((one) => one.name === name);
    return this.sample.binary[name] ? `${significant(100 * value)} %` : amounts([value], unit);
  }

  show(order) {
    for (const { list, rows, made } of this.lists) {
      const places = this.places(rows, order);
      const sorted = made.toSorted((a, b) => places.get(a.row) - places.get(b.row));
      sorted.forEach(({ entry, before, place, moved }, at) => {
        entry.style.setProperty("--place", at);
        entry.setAttribute("aria-hidden", String(at >= SHOWN));
        place.textContent = at + 1;
        const up = before - at;
        moved.className = `moved ${up > 0 ? "up" : "down"}`;
        moved.textContent = up ? `${up > 0 ? "\u25b2" : "\u25bc"}${Math.abs(up)}` : "";
      });
      list.dataset.order = sorted.map(({ row }) => row).join(" ");
    }
  }
}
