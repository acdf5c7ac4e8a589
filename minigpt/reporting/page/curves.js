// The loss, and below it the norm, the learning rate, the speed and HellaSwag, along one axis.

const run = JSON.parse(document.getElementById("run").textContent);
const view = { axis: "step" };
const cursor = newCursor();
const { train, validation, hellaswag } = run.curves;
const base = train.step.length ? train : validation.step.length ? validation : hellaswag;
const largest = (values) => values.reduce((a, b) => (b > a ? b : a), 0);

function curvesSection() {
  const loss = lossChart();
  const small = smallCharts();
  const axes = Object.entries(run.curves.axes);
  const change = (axis) => {
    view.axis = axis;
    for (const one of [loss, ...small.map((pair) => pair[1])]) one.draw();
  };
  return section(
    "curves",
    "The loss",
    div("bar", legend(), axes.length > 1 && choice("", "Horizontal axis", axes, "step", change)),
    el("figure", { class: "main" }, loss, loss.said),
    p("hint", remarksOnLoss()),
    div(
      "small",
      small.map(([title, one, note]) =>
        el("figure", {}, el("figcaption", {}, el("h3", {}, title), one.said), one, note && p("hint", note)),
      ),
    ),
  );
}

function legend() {
  const { corpus } = run.curves.references;
  return el(
    "ul",
    { class: "legend" },
    train.step.length > 0 && el("li", { class: "key-line" }, "training"),
    validation.value.length > 0 && el("li", { class: "key-points" }, "validation"),
    corpus && el("li", { class: "key-level" }, `OpenAI's GPT-2 on ${corpus}`),
  );
}

function remarksOnLoss() {
  const { frame, references, said } = run.curves;
  const parts = [
    "Nats a token",
    said,
    frame.above && "the first steps are above the frame",
    references.why_none && `GPT-2's published losses are not drawn: ${references.why_none}`,
  ];
  return `${parts.filter(Boolean).join("; ")}.`;
}

// between the lowest and the highest, with some room
function room(low, top) {
  const margin = 0.05 * (top - low) || 0.5;
  return { low: low - margin, top: top + margin };
}

function lossChart() {
  const { frame, references } = run.curves;
  const lines = Object.entries(references.losses);
  const lowest = Math.min(frame.low ?? 0, ...lines.map(([, y]) => y));
  const banded = train.low.some((low, i) => low !== train.high[i]);
  return chart({
    label: "Loss by step",
    cursor,
    lines,
    ...room(lowest, frame.top ?? 1),
    form: (y) => digits(y, 3),
    height: (width) => (width < 560 ? 260 : 380),
    xs: () => base[view.axis],
    curves: () => [
      banded
        ? { kind: "band", xs: train[view.axis], lows: train.low, highs: train.high }
        : { kind: "faint", xs: train[view.axis], ys: train.loss },
      { kind: "line", xs: train[view.axis], ys: train.smooth },
      { kind: "points", xs: validation[view.axis], ys: validation.value },
    ],
    marks: (at) => [base === train ? train.smooth[at] : null],
    read: (at) => readLoss(at),
  });
}

function readLoss(at) {
  const said = [`step ${grouped(base.step[at])}`];
  if (base === train) {
    said.push(`loss ${digits(train.loss[at], 5)}`);
    if (train.smooth[at] !== train.loss[at]) said.push(`mean ${digits(train.smooth[at], 5)}`);
  }
  const before = lastUntil(validation.step, base.step[at]);
  if (before >= 0) {
    const bits = validation.bits[before];
    const step = validation.step[before];
    said.push(
      [
        `validation ${digits(validation.value[before], 5)}`,
        bits != null && `${digits(bits, 4)} bits a byte`,
        step !== base.step[at] && `at step ${grouped(step)}`,
      ]
        .filter(Boolean)
        .join(", "),
    );
  }
  return said.join(" \u00b7 ");
}

function lastUntil(steps, step) {
  // the place of the last of steps that is not later
  let found = -1;
  while (found + 1 < steps.length && steps[found + 1] <= step) found += 1;
  return found;
}
