// The largest gradients of a step.

function largestGradients() {
  const { steps, parts, gradient } = run.layers;
  const slider = el("input", {
    type: "range",
    min: 0,
    max: steps.length - 1,
    value: steps.length - 1,
    step: 1,
    "aria-label": "Step",
  });
  const label = el("output", { class: "read" });
  const list = el("ol", { class: "largest" });
  const box = { onchoose: () => {}, column: () => Number(slider.value) };
  box.show = (column) => {
    slider.value = column;
    slider.setAttribute("aria-valuetext", `step ${grouped(steps[column])}`);
    label.textContent = `step ${grouped(steps[column])}`;
    const found = parts.map((part, i) => [part, gradient[i][column] ?? 0]).sort((a, b) => b[1] - a[1]);
    const whole = found.reduce((sum, [, length]) => sum + length * length, 0) || 1;
    list.replaceChildren(
      ...found.slice(0, 8).map(([part, length]) => largestRow(part, length, (length * length) / whole)),
    );
  };
  slider.addEventListener("input", () => box.onchoose(Number(slider.value)));
  box.element = div(
    "biggest",
    el("h3", {}, "The largest gradients"),
    div("bar", label, slider),
    list,
    p("hint", "Bars: each part's share of the whole gradient's length, squared."),
  );
  return box;
}

function largestRow(part, length, share) {
  const bar = el("i", { class: "share", "aria-hidden": "true" });
  bar.style.width = `${100 * share}%`;
  return el(
    "li",
    {},
    span("name", part),
    span("track", bar),
    span("number", digits(length, 3)),
    span("number", percent(share)),
  );
}
