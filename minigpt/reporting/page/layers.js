// What each layer learns, and when: its gradient, how far it moves, how it grows; and the largest gradients.

const QUANTITIES = {
  gradient: ["gradient", "The length of each part's gradient: how strongly the loss pulls at it."],
  update: [
    "update / weights",
    "How far a step moves each part, as a share of its length: how fast it learns. Around 0.001 is usual.",
  ],
  growth: ["growth", "Each part's length as a multiple of its first: what it has become."],
};
const KINDS = [
  ["attn.c_attn", "attention: queries, keys, values"],
  ["attn.c_proj", "attention: its way out"],
  ["mlp.c_fc", "MLP: into the hidden layer"],
  ["mlp.c_proj", "MLP: its way out"],
  ["ln_1", "layernorm before attention"],
  ["ln_2", "layernorm before the MLP"],
];

function layersSection() {
  if (!run.layers) {
    return section(
      "layers",
      "What each layer learns",
      p(
        "none",
        "This run has noted nothing of its layers: it ran with --layers-every 0, began before " +
          "minigpt noted them, or is no run of minigpt train.",
      ),
    );
  }
  const { steps, all } = run.layers;
  const maps = div("maps");
  const key = div("key");
  const said = el("output", { class: "read", "aria-live": "polite" }, "\u00a0");
  const what = p("hint");
  const largest = largestGradients();
  const mark = (column) => {
    for (const one of maps.querySelectorAll(".heatmap")) one.column(column);
    largest.show(column);
  };
  largest.onchoose = mark;
  const show = (quantity) => {
    const table = tableOf(quantity);
    const shown = spanOf(Object.values(table).flat());
    what.textContent = QUANTITIES[quantity][1];
    drawings.clear();
    maps.replaceChildren(...panels(quantity, table, shown, mark, said));
    key.replaceChildren(
      span("", digits(shown.low, 2)),
      el("i", { class: "ramp", "aria-hidden": "true" }),
      span("", digits(shown.high, 2)),
    );
    mark(largest.column());
  };
  show("gradient");
  const options = Object.entries(QUANTITIES).map(([name, [words]]) => [name, words]);
  const some = steps.length < all ? ` Shown are ${steps.length} of ${grouped(all)} notes.` : "";
  return section(
    "layers",
    "What each layer learns",
    div("bar", choice("", "Quantity", options, "gradient", show), key),
    what,
    maps,
    said,
    p(
      "hint",
      `From left to right: step ${grouped(steps[0])} to ${grouped(steps.at(-1))}; ` +
        `from top to bottom: the first block to the last. One scale for all.${some}`,
    ),
    largest.element,
  );
}

// part -> numbers by step
function tableOf(quantity) {
  const { parts, gradient, weights, update } = run.layers;
  const rows = {};
  const share = (a, b) => (a == null || !b ? null : a / b);
  parts.forEach((part, i) => {
    if (quantity === "gradient") rows[part] = gradient[i];
    if (quantity === "update") rows[part] = update[i].map((moved, j) => share(moved, weights[i][j]));
    if (quantity === "growth")
      rows[part] = weights[i].map((length) =>
        share(
          length,
          weights[i].find((first) => first > 0),
        ),
      );
  });
  return rows;
}

function panels(quantity, table, shown, mark, said) {
  const inBlocks = KINDS.map(([kind, title]) => [
    title,
    run.layers.parts.filter((part) => part.startsWith("h.") && part.endsWith(`.${kind}`)),
  ]);
  const others = run.layers.parts.filter(
    (part) => !KINDS.some(([kind]) => part.startsWith("h.") && part.endsWith(`.${kind}`)),
  );
  return [...inBlocks, ["tables of tokens and positions, last layernorm", others]]
    .filter(([, names]) => names.length)
    .map(([title, names]) =>
      el(
        "figure",
        {},
        el("figcaption", {}, el("h3", {}, title), span("parts", named(names))),
        heat({
          rows: names.map((name) => table[name]),
          names,
          shown,
          mark,
          label: `${title}: ${QUANTITIES[quantity][0]}`,
          onread: (words) => {
            said.textContent = words;
          },
        }),
      ),
    );
}

function named(names) {
  // h.0.ln_1 ... h.3.ln_1; wte, wpe, ln_f
  return names.length > 1 && names[0].startsWith("h.")
    ? `${names[0]} \u2026 ${names.at(-1)}`
    : names.join(", ");
}
