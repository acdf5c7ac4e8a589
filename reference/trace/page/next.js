// What comes after the text: the distribution at a temperature, and the token on which the dice fall.

const LISTED = 16;
const scores = floats(trace.next.scores);
const most = scores.reduce((a, b) => Math.max(a, b));
let rolls = 0;

function probsAt(temperature) {  // as Choice.probs, in float64
  const divisor = Math.max(temperature, 1e-100);
  const weights = Float64Array.from(scores, (score) => Math.exp((score - most) / divisor));
  const total = weights.reduce((a, b) => a + b);
  return weights.map((weight) => weight / total);
}

function drawn(temperature, roll) {  // as Choice.draw
  if (temperature === 0) return scores.indexOf(most);
  const probs = probsAt(temperature), total = probs.reduce((a, b) => a + b);
  let reached = 0;
  for (let id = 0; id < probs.length; id++) {
    reached += probs[id];
    if (reached / total > roll) return id;
  }
  return probs.length - 1;
}

function nextToken() {
  const slider = el("input", { type: "range", id: "temperature", min: 0, max: 2, step: 0.05, value: 1 });
  const shown = el("output", { for: "temperature" }), list = el("ol", { class: "chances" });
  const result = el("p", { class: "draw", "aria-live": "polite" });
  const show = () => {
    const temperature = Number(slider.value), id = drawn(temperature, trace.next.rolls[rolls]);
    shown.textContent = temperature.toFixed(2);
    list.replaceChildren(...chances(probsAt(temperature || 1), id));
    const name = el("b", { id: "drawn", "data-id": id }, word(id));
    result.replaceChildren(howDrawn(temperature), name, ` (id ${id}).`);
  };
  const roll = () => {
    rolls = (rolls + 1) % trace.next.rolls.length;
    show();
  };
  slider.addEventListener("input", show);
  show();
  return [
    div("controls", el("label", { for: "temperature" }, "Temperature ", shown), slider,
      button("go", roll, {}, "Roll again")),
    list, result,
    folded("Choice.probs: how scores become probabilities", trace.beside.probs),
    folded("Choice.draw: how one is drawn", trace.beside.draw),
  ];
}

function howDrawn(temperature) {
  if (temperature === 0) return "At temperature 0 no dice are rolled: the likeliest is taken, ";
  const roll = trace.next.rolls[rolls].toFixed(6);
  return `The dice fall on ${roll}; in the order of ids, that is in the share of `;
}

function chances(probs, id) {
  const listed = trace.next.listed.slice(0, LISTED), top = probs[listed[0]];
  const rest = 1 - listed.reduce((sum, one) => sum + probs[one], 0);
  const rows = listed.map((one) => chance(span("symbol", word(one)), probs[one], top, one === id));
  return [...rows, chance(span("rest", "all others"), rest, top, !listed.includes(id))];
}

function chance(name, prob, top, hit) {
  const amount = span("amount", percent(prob), hit ? span("hidden", ", drawn") : "");
  return el("li", { class: hit ? "hit" : "" }, name, span("track", bar(prob / top)), amount);
}
