// The small pictures below the loss.

function smallCharts() {
  const found = [];
  const { frame, references } = run.curves;
  const of = (title, ys, top, form, more = [], note = null) => {
    if (!ys.some((y) => y != null)) return;
    found.push([
      title,
      chart({
        label: title,
        cursor,
        low: 0,
        top: top || 1,
        form,
        height: () => 170,
        xs: () => base[view.axis],
        curves: () => [
          ...more.map((one) => ({ ...one, xs: train[view.axis] })),
          { kind: "line", xs: train[view.axis], ys },
        ],
        marks: (at) => [ys[at]],
        read: (at) => (ys[at] == null ? "not finite" : form ? form(ys[at]) : short(ys[at])),
      }),
      note,
    ]);
  };
  const spikes = frame.norm_most > frame.norm * 1.001;
  const norms = [
    spikes && `Spikes reach ${digits(frame.norm_most, 3)}`,
    typeof run.clip === "number" && `Longer gradients than ${run.clip} are shortened to it`,
  ].filter(Boolean);
  of(
    "Gradient norm",
    train.norm,
    frame.norm * 1.05,
    (y) => digits(y, 3),
    [{ kind: "faint", ys: train.norm_high }],
    norms.length ? `${norms.join(". ")}.` : null,
  );
  of("Learning rate", train.lr, largest(train.lr) * 1.05, null);
  of("Tokens a second", train.speed, largest(train.speed) * 1.1, short);
  if (hellaswag.value.length) found.push(["HellaSwag, acc_norm", hellaswagChart(references.hellaswag)]);
  return found;
}

function hellaswagChart(scores) {
  const best = largest(hellaswag.value);
  const lines = Object.entries(scores).filter(([, y]) => y <= Math.max(0.32, best + 0.1));
  const read = (at) => {
    const before = lastUntil(hellaswag.step, base.step[at]);
    return before < 0 ? "\u00a0" : percent(hellaswag.value[before]);
  };
  return chart({
    label: "HellaSwag, acc_norm",
    cursor,
    lines,
    low: 0.22,
    top: Math.max(best, ...lines.map(([, y]) => y)) + 0.02,
    form: percent,
    height: () => 170,
    xs: () => base[view.axis],
    marks: () => [],
    read,
    curves: () => [{ kind: "points", xs: hellaswag[view.axis], ys: hellaswag.value }],
  });
}
