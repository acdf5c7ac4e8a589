// From noise to English: what the model wrote, by step, beside a small curve that follows the reader.

function samplesSection() {
  const { shown, all } = run.samples;
  if (!shown.length) {
    return section(
      "samples",
      "From noise to English",
      p(
        "none",
        "There are no samples in this run's folder: it ran with --sample-every 0, " +
          "or is no run of minigpt train.",
      ),
    );
  }
  const cards = shown.map(card);
  const where = newCursor();
  const slider = el("input", {
    type: "range",
    min: 0,
    max: shown.length - 1,
    value: 0,
    step: 1,
    "aria-label": "Sample",
  });
  const label = el("output", { class: "read" });
  const choose = (i) => {
    cards.forEach((one, j) => one.classList.toggle("current", i === j));
    slider.value = i;
    slider.setAttribute("aria-valuetext", `step ${grouped(shown[i].step)}`);
    label.textContent = `step ${grouped(shown[i].step)}${lossAt(shown[i].step)}`;
    where.move(base.step.length ? nearest(base.step, shown[i].step) : null);
  };
  slider.addEventListener("input", () => {
    scrollTo({
      top: scrollY + cards[slider.value].getBoundingClientRect().top - reading() + 2,
      behavior: "instant",
    });
    choose(Number(slider.value));
  });
  follow(cards, choose);
  const some = shown.length < all ? ` Shown are ${shown.length} of ${grouped(all)}, evenly chosen.` : "";
  return section(
    "samples",
    "From noise to English",
    p("hint", `Scroll: the same model at each step, asked to write from nothing.${some}`),
    div(
      "story",
      div("guide", miniature(where), label, slider),
      el("ol", { class: "cards", tabindex: "-1" }, cards),
    ),
  );
}

function card(sample) {
  return el(
    "li",
    { class: "sample" },
    el("h3", {}, `Step ${grouped(sample.step)}`, span("loss", lossAt(sample.step))),
    el("blockquote", { dir: "auto" }, sample.text, sample.cut && span("cut", " \u2026 (cut)")),
  );
}

function lossAt(step) {
  const before = lastUntil(train.step, step);
  if (before < 0 || train.smooth[before] == null) return "";
  return ` \u00b7 loss ${digits(train.smooth[before], 3)}`;
}

function miniature(where) {
  const { frame } = run.curves;
  const xs = () => base.step;
  return chart({
    label: "Loss, and where this sample stands",
    quiet: true,
    cursor: where,
    ...room(frame.low ?? 0, frame.top ?? 1),
    height: (width) => (innerWidth < 860 ? 84 : Math.min(220, width * 0.62)),
    xs,
    form: (y) => digits(y, 3),
    curves: () => [{ kind: "line", xs: xs(), ys: base === train ? train.smooth : base.value }],
    marks: (at) => [base === train ? Math.min(train.smooth[at], frame.top) : base.value[at]],
  });
}

function reading() {
  // the height at which a reader reads
  return innerHeight * 0.42;
}

// call choose(i) for the card that is being read
function follow(cards, choose) {
  let asked = false,
    last = -1;
  const look = () => {
    asked = false;
    let i = 0;
    while (i + 1 < cards.length && cards[i + 1].getBoundingClientRect().top < reading()) i += 1;
    if (i !== last) choose((last = i));
  };
  const ask = () => {
    if (!asked) {
      asked = true;
      requestAnimationFrame(look);
    }
  };
  addEventListener("scroll", ask, { passive: true });
  addEventListener("resize", ask);
  ask();
}
