// Puts the parts together: a change of weights shows at the next frame.

(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const of = (id) => document.getElementById(id);
  const steering = new Steering(data);
  const results = new Results(data);
  const lists = new Lists(data, steering.sample, steering.now);
  const sliders = new Sliders(data, wanted);
  const before = steering.before.map((metrics) => metrics.utility);
  const front = new Front(data, before, (state) => sliders.set(state));
  let waiting = false;

  function wanted() {
    if (!waiting) requestAnimationFrame(update);
    waiting = true;
  }

  function update() {
    waiting = false;
    const started = performance.now();
    const { state } = sliders;
    const nothing = isNothing(state);
    of("problem").hidden = !nothing;
    sliders.showShares(steering.shares(state));
    if (!nothing) {
      const effect = steering.effect(state);
      results.show(effect, sliders.isAt(data.now));
      front.show(effect.targets.map((found) => found.utility.after));
      lists.show(effect.order);
    }
    keep(state, nothing);
    document.body.dataset.milliseconds = (performance.now() - started).toFixed(2);
  }

  function file() {
    return `${(of("name").validity.valid && of("name").value) || "profile"}.json`;
  }

  function keep(state, nothing) {
    const name = of("name").validity.valid ? of("name").value : "";
    of("command").textContent = nothing ? "" : steering.command(state, name, file());
    of("json").textContent = nothing ? "" : JSON.stringify(steering.formula(state), null, 1);
    of("capped").hidden = !isCapped(state);
    of("copy").disabled = of("download").disabled = nothing;
    of("done").textContent = "";
  }

  of("name").addEventListener("input", wanted);
  of("weights").addEventListener("submit", (event) => event.preventDefault());
  of("copy").addEventListener("click", () => {
    navigator.clipboard.writeText(of("command").textContent).then(
      () => { of("done").textContent = "Copied."; },
      () => {
        getSelection().selectAllChildren(of("command"));
        of("done").textContent = "Selected: copy it with the keyboard.";
      });
  });
  of("download").addEventListener("click", () => {
    const link = document.createElement("a");
    const text = `${of("json").textContent}\n`;
    link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    link.download = file();
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
  update();
})();
