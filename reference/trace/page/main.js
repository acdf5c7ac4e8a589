// The page from top to bottom.

const WORDS = {
  forward: "From ids to a score for every possible next token. Click any tensor to see where it comes from "
    + "and where it goes. One colour is above zero, the other below; each tensor has a scale of its own.",
  expected: "The loss is the mean surprise, in nats, over the tokens that came: −log of the probability "
    + "that the model gave them.",
  backward: "The same operations in reverse: each is given the loss’s slope by what it made, and hands on "
    + "the slope by what it was given. dx is the gradient of x.",
  update: "All gradients end to end, their length, and what AdamW makes of the parameters.",
  next: "The last position’s scores, divided by the temperature, as probabilities; one token is drawn.",
  source: "Every file that had a part in this, as it was when this page was made.",
};

function section(id, title, ...content) {
  return el("section", { id, "aria-labelledby": `${id}-title` },
    el("h2", { id: `${id}-title`, tabindex: "-1" }, title),
    id in WORDS ? p("lead", WORDS[id]) : null, ...content);
}

function cardsOf(stage) {
  const places = trace.events.map((_, i) => i);
  return places.filter((i) => trace.events[i].stage === stage && trace.events[i].shown).map(card);
}

function head() {
  const name = trace.model.name, rest = trace.left_out;
  const small = "a small model, trained on the State of the Union addresses,";
  const origin = name ? `the model in ${name}` : small;
  return [
    div("top", p("series", "minigpt, one training step from inside"), themeSwitch()),
    el("h1", {}, el("q", {}, trace.text, rest ? " …" : "")),
    p("lead", `What ${origin} makes of this text: every operation of minigpt’s own `,
      el("code", {}, "train_step"), ", in its order, with the source that ran and the numbers that it made."),
    rest ? p("note", `The text goes on for ${counted(rest, "more token")}, which are not traced.`) : "",
    facts(),
  ];
}

function facts() {
  const { sizes, parameters, loss } = trace.model;
  const rows = {
    blocks: sizes.L, heads: sizes.H, channels: sizes.C, positions: sizes.N, vocabulary: sizes.V, parameters,
    "tokens here": trace.ids.length,
  };
  const parts = Object.entries(rows).map(([name, value]) => [name, grouped(value)]);
  parts.push(["loss, nats a token", said(loss)]);
  return el("dl", { class: "model" },
    ...parts.map(([name, value]) => div("", el("dt", {}, name), el("dd", {}, value))));
}

function build() {
  document.getElementById("head").append(...head());
  document.getElementById("map").append(mapOf());
  document.getElementById("main").replaceChildren(
    section("text", "From text to ids", ...tokensOf()),
    section("forward", "Forward", ...cardsOf("forward")),
    section("expected", "What it expected", expectedTable()),
    section("backward", "Backward", ...cardsOf("backward")),
    section("update", "Update", ...cardsOf("update")),
    section("next", "What comes next", ...nextToken()),
    section("source", "The source", ...wholeFiles()));
  fillInspector();
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && chosen !== null) unchoose();
  });
  redraw();
}

build();
