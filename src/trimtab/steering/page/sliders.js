// One slider a weight: left end 0, then from a hundredth of the anchor to a hundred times it.

const MIDDLE = 101;
const STEPS = 50; // A tenfold.

function weightAt(place, anchor) {
  if (place <= 0) return 0;
  if (place === MIDDLE) return anchor;
  return Number((anchor * 10 ** ((place - MIDDLE) / STEPS)).toPrecision(3));
}

function placeOf(weight, anchor) {
  if (!weight) return 0;
  const place = Math.round(MIDDLE + STEPS * Math.log10(Math.abs(weight) / anchor));
  return Math.min(Math.max(place, 1), 2 * MIDDLE - 1);
}

class Sliders {
  constructor(data, changed) {
    this.data = data;
    this.changed = changed;
    this.state = copied(data.start);
    this.parts = data.terms.map((term, i) => this.bound(term, i));
    this.starts = [...document.querySelectorAll("[data-profile]")];
    for (const button of this.starts) {
      button.addEventListener("click", () => this.set(this.profile(button)));
    }
    this.show();
  }

  profile(button) {
    return this.data.profiles[button.dataset.profile] ?? this.data.now;
  }

  bound(term, i) {
    const [slide, number, against] = ["slide", "number", "against"].map(
      (name) => document.getElementById(name + i));
    const share = document.querySelector(`[data-term="${i}"] .share`);
    slide.addEventListener("input", () => {
      this.give(i, weightAt(slide.valueAsNumber, term.anchor) * (against.checked ? -1 : 1));
    });
    against.addEventListener("change", () => {
      this.give(i, Math.abs(this.state[i].weight ?? 0) * (against.checked ? -1 : 1));
    });
    number.addEventListener("input", () => {
      if (Number.isFinite(number.valueAsNumber)) this.give(i, number.valueAsNumber, number);
      else if (term.scene !== null && number.validity.valid) this.give(i, null, number);
    });
    number.addEventListener("blur", () => this.show());
    return { term, slide, number, against, share };
  }

  give(i, weight, source) {
    this.state[i].weight = weight === 0 ? 0 : weight; // No negative zero.
    this.show(source);
    this.changed(this.state);
  }

  set(state) {
    this.state = copied(state);
    this.show();
    this.changed(this.state);
  }

  // Writes the state into every control but the one that is being typed in.
  show(source) {
    this.parts.forEach(({ term, slide, number, against }, i) => {
      const { weight } = this.state[i];
      slide.value = weight === null ? MIDDLE : placeOf(weight, term.anchor);
      if (weight) against.checked = weight < 0;
      if (number !== source) number.value = weight === null ? "" : Number(weight.toPrecision(4));
      slide.setAttribute("aria-valuetext", this.spoken(weight, term));
      slide.style.opacity = weight === null ? 0.4 : 1;
    });
    for (const button of this.starts) {
      button.setAttribute("aria-pressed", String(this.isAt(this.profile(button))));
    }
  }

  isAt(state) {
    return state.every(
      ({ weight, cap }, i) => weight === this.state[i].weight && cap === this.state[i].cap);
  }

  spoken(weight, { unit }) {
    if (weight === null) return "as elsewhere";
    return weight ? `${Number(weight.toPrecision(4))} points ${unit}` : "off";
  }

  showShares(shares) {
    this.parts.forEach(({ share }, i) => {
      if (!share) return;
      share.style.setProperty("--part", shares[i].toFixed(4));
      share.lastElementChild.textContent = `${Math.round(100 * shares[i])} %`;
    });
  }
}
