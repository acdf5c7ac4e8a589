// An operation's card: who called it, what it computes, what went in and what came out, its source.

const met = new Set();  // functions whose source has been shown: later it is folded

function stem(event) {
  return event.kind === "between" ? (event.name === "add" ? "sum" : event.name) : event.name.replace(/_(forward|backward)$/, "");
}

function nameOf(number) {  // "backward h.0.ln_1"
  const event = trace.events[number];
  return event.stage === "backward" ? `${event.label}, backward` : event.label;
}

function card(number) {
  const event = trace.events[number];
  if (event.kind === "block") return blockHead(number, event);
  return el("article", { class: `card ${event.stage}`, id: `event-${number}`, "data-event": number },
    el("header", {}, el("h3", { tabindex: "-1" }, stem(event),
      event.label === stem(event) ? null : el("span", { class: "label" }, event.label)), el("span", { class: "role" })),
    el("div", { class: "call" }, sourceLink(event.site), source(event.site)),
    words(event),
    el("div", { class: "flow" },
      ...event.inputs.map(tensorButton), ...numbersOf(event),
      el("span", { class: "arrow" }, el("span", { "aria-hidden": "true" }, "→"), el("span", { class: "hidden" }, "gives")),
      ...event.results.map(tensorButton)),
    attention(number, event),
    event.source ? inside(event) : null);
}

function blockHead(number, event) {
  return el("div", { class: "block", id: `event-${number}` },
    el("h3", { tabindex: "-1" }, `Block ${event.label}`, el("span", { class: "label" }, event.name)), sourceLink(event.source));
}

function words(event) {
  return el("div", { class: "says" }, ...event.says.map(([kind, text]) => kind === "lines"
    ? el("pre", { tabindex: "0" }, text) : el("p", {}, text)));
}

function numbersOf(event) {
  const given = Object.entries(event.numbers).filter(([name]) => !(name in event.born));
  return given.map(([name, number]) => el("span", { class: "plain" }, `${name} = ${number}`));
}

// what attention keeps for later, and the gradients of that, head by head, with the tokens on both sides
function attention(number, event) {
  const square = (use) => {
    const { axes, sizes } = trace.tensors[use.tensor];
    return axes.length === 4 && axes[2] === "T" && axes[3] === "T" && sizes[2] > 1;
  };
  const own = event.kept.concat(event.variables).filter((use) => square(use) && trace.tensors[use.tensor].maker === number);
  const kept = event.stage === "forward" ? own.filter((use) => event.kept.includes(use)) : own;
  return kept.length ? el("div", { class: "attention" }, ...kept.map(attentionFigure)) : null;
}

function attentionFigure(use) {
  const read = el("output", { class: "read", "aria-live": "polite" }, " ");
  return el("div", {},
    el("p", { class: "facts" }, el("b", {}, use.name), ": each row is a token that looks, each column one that is seen"),
    figure(trace.tensors[use.tensor], use.name, 210, (text) => { read.textContent = text; }), read);
}

// the source, and in front of each line the arrays that it makes
function inside(event) {
  const again = met.has(event.name), lines = event.source.last - event.source.first + 1;
  met.add(event.name);
  const beside = (line) => {
    const made = event.variables.filter((use) => event.born[use.name] === line);
    const plain = Object.entries(event.numbers).filter(([name]) => event.born[name] === line);
    return [...made.map((use) => chip(use, made.length)), ...plain.map(([name, number]) => el("span", { class: "plain" }, `${name} ${number}`))];
  };
  return el("details", { class: "inside", open: !again },
    el("summary", {}, `${event.name}: ${lines} lines, and what they make`), sourceLink(event.source), source(event.source, beside));
}

function chip(use, count) {
  const tensor = trace.tensors[use.tensor];
  return el("button", {
    type: "button", class: "chip", "data-tensor": use.tensor, "aria-pressed": "false", title: use.name,
    "aria-label": `${use.name}, ${shapeOf(use.shape)}`, onclick: () => choose(use.tensor),
  }, tensor.kind === "i" ? "ids" : product(tensor.sizes) > 1 ? thumbnail(tensor, Math.floor(84 / count) - 8, 18) : said(valuesOf(tensor)[0], 3));
}
