// The page from top to bottom.

function section(id, title, words, ...content) {
  return el("section", { id, "aria-labelledby": `${id}-title` }, el("h2", { id: `${id}-title`, tabindex: "-1" }, title),
    words ? el("p", { class: "lead" }, words) : null, ...content);
}

function cardsOf(stage) {
  return trace.events.map((event, i) => [event, i]).filter(([event]) => event.stage === stage && event.shown).map(([, i]) => card(i));
}

function head() {
  const { model } = trace, sizes = model.sizes;
  const origin = model.name ? `the model in ${model.name}` : "a small model that was trained on the State of the Union addresses";
  return [
    el("div", { class: "top" }, el("p", { class: "series" }, "minigpt, one training step from inside"), themeSwitch()),
    el("h1", {}, el("q", {}, trace.text, trace.left_out ? " …" : "")),
    el("p", { class: "lead" }, `What ${origin} makes of this text: every operation of minigpt’s own `,
      el("code", {}, "train_step"), `, in its order, with the source that ran and the numbers that it made.`),
    trace.left_out ? el("p", { class: "note" }, `The text goes on for ${counted(trace.left_out, "more token")}, which are not traced.`) : null,
    el("dl", { class: "model" }, ...[
      ["blocks", sizes.L], ["heads", sizes.H], ["channels", sizes.C], ["positions", sizes.N], ["vocabulary", sizes.V],
      ["parameters", model.parameters], ["tokens here", trace.ids.length], ["loss, nats a token", said(model.loss)],
    ].map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, typeof value === "number" ? value.toLocaleString("en") : value)))),
  ];
}

function build() {
  document.getElementById("head").append(...head().filter(Boolean));
  document.getElementById("map").append(mapOf());
  document.getElementById("main").replaceChildren(
    section("text", "From text to ids", null, ...tokensOf(), rowOf(trace.ids)),
    section("forward", "Forward", "From ids to a score for every possible next token. Click any tensor to see where it comes from and where it goes. One colour is above zero, the other below; each tensor has a scale of its own.", ...cardsOf("forward")),
    section("expected", "What it expected", "The loss is the mean surprise, in nats, over the tokens that came: −log of the probability that the model gave them.", expectedTable()),
    section("backward", "Backward", "The same operations in reverse: each is given the loss’s slope by what it made, and hands on the slope by what it was given. dx is the gradient of x.", ...cardsOf("backward")),
    section("update", "Update", "All gradients end to end, their length, and what AdamW makes of the parameters.", ...cardsOf("update")),
    section("next", "What comes next", "The last position’s scores, divided by the temperature, as probabilities; one token is drawn.", ...nextToken()),
    section("source", "The source", "Every file that had a part in this, as it was when this page was made.", ...wholeFiles()));
  fillInspector();
  document.addEventListener("keydown", (event) => { if (event.key === "Escape" && chosen !== null) unchoose(); });
  redraw();
}

readPalette();
build();
