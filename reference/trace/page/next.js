// What comes after the text: the distribution at a temperature, and the token on which the dice fall.

const scores = floats(trace.next.scores);
let rolls = 0;

function probsAt(temperature) {  // as Choice.probs, in float64
  const most = scores.reduce((a, b) => Math.max(a, b));
  const weights = Float64Array.from(scores, (score) => Math.exp((score - most) / Math.max(temperature, 1e-100)));
  const total = weights.reduce((a, b) => a + b);
  return weights.map((weight) => weight / total);
}

function drawn(temperature, roll) {  // as Choice.draw
  if (temperature === 0) return scores.indexOf(scores.reduce((a, b) => Math.max(a, b)));
  const probs = probsAt(temperature), total = probs.reduce((a, b) => a + b);
  let reached = 0;
  for (let id = 0; id < probs.length; id++) {
    reached += probs[id];
    if (reached / total > roll) return id;
  }
  return probs.length - 1;
}

function nextToken() {
  const slider = el("input", { type: "range", id: "temperature", min: "0", max: "2", step: "0.05", value: "1" });
  const shown = el("output", { for: "temperature" }), list = el("ol", { class: "chances" });
  const result = el("p", { class: "draw", "aria-live": "polite" });
  const show = () => {
    const temperature = Number(slider.value), roll = trace.next.rolls[rolls];
    const probs = probsAt(temperature || 1), id = drawn(temperature, roll), top = probs[trace.next.listed[0]];
    shown.textContent = temperature.toFixed(2);
    slider.setAttribute("aria-valuetext", `temperature ${temperature.toFixed(2)}`);
    list.replaceChildren(...trace.next.listed.slice(0, 16).map((one) => chance(one, probs[one], top, one === id)),
      chance(null, 1 - trace.next.listed.slice(0, 16).reduce((sum, one) => sum + probs[one], 0), top, !trace.next.listed.slice(0, 16).includes(id)));
    result.replaceChildren(temperature === 0 ? "At temperature 0 no dice are rolled: the likeliest is taken, "
      : `The dice fall on ${roll.toFixed(6)}; in the order of ids, that is in the share of `,
    el("b", { id: "drawn", "data-id": id }, word(id)), ` (id ${id}).`);
  };
  const again = el("button", { type: "button", class: "go", onclick: () => { rolls = (rolls + 1) % trace.next.rolls.length; show(); } }, "Roll again");
  slider.addEventListener("input", show);
  show();
  return [
    el("div", { class: "controls" }, el("label", { for: "temperature" }, "Temperature ", shown), slider, again),
    list, result,
    ...["probs", "draw"].map((name) => el("details", { class: "inside" },
      el("summary", {}, `Choice.${name}: how it is done`), sourceLink(trace.beside[name]), source(trace.beside[name]))),
  ];
}

function chance(id, prob, top, hit) {
  const bar = el("i", { class: "bar", "aria-hidden": "true" });
  bar.style.width = `${Math.min(100, 100 * prob / top)}%`;
  return el("li", { class: hit ? "hit" : "" }, el("span", { class: id === null ? "rest" : "symbol" }, id === null ? "all others" : word(id)),
    el("span", { class: "track" }, bar), el("span", { class: "amount" }, percent(prob), hit ? el("span", { class: "hidden" }, ", drawn") : ""));
}
