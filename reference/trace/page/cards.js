// An operation's card: who called it, what it computes, what went in and what came out, its source.

const met = new Set();  // functions whose source has been shown: later it is folded

function stem(event) {
  return event.name === "add" ? "sum" : event.name.replace(/_(forward|backward)$/, "");
}

function nameOf(number) {  // "h.0.ln_1, backward"
  const event = trace.events[number];
  return event.stage === "backward" ? `${event.label}, backward` : event.label;
}

function card(number) {
  const event = trace.events[number];
  if (event.kind === "block") return blockHead(number, event);
  const label = event.label === stem(event) ? null : span("label", event.label);
  const arrow = span("arrow", el("span", { "aria-hidden": "true" }, "→"), span("hidden", "gives"));
  return el("article", { class: `card ${event.stage}`, id: `event-${number}`, "data-event": number },
    el("header", {}, el("h3", { tabindex: "-1" }, stem(event), label), span("role")),
    div("call", sourceLink(event.site), source(event.site)),
    words(event),
    div("flow", ...event.inputs.map(tensorButton), ...givenNumbers(event), arrow,
      ...event.results.map(tensorButton)),
    attention(number, event),
    event.source ? inside(event) : null);
}

function blockHead(number, event) {
  const title = el("h3", { tabindex: "-1" }, `Block ${event.label}`, span("label", event.name));
  return el("div", { class: "block", id: `event-${number}` }, title, sourceLink(event.source));
}

function words(event) {
  return div("says", ...event.says.map(([kind, text]) => kind === "lines"
    ? el("pre", { tabindex: "0" }, text) : p("", text)));
}

function givenNumbers(event) {
  const given = Object.entries(event.numbers).filter(([name]) => !(name in event.born));
  return given.map(([name, number]) => span("plain", `${name} = ${number}`));
}

// what attention keeps for later, and the gradients of that, head by head, with the tokens on both sides
function attention(number, event) {
  const own = event.kept.concat(event.variables).filter((use) => {
    const { axes, sizes, maker } = trace.tensors[use.tensor];
    return maker === number && axes.slice(1).join() === "H,T,T" && sizes[2] > 1;
  });
  const shown = event.stage === "forward" ? own.filter((use) => event.kept.includes(use)) : own;
  return shown.length ? div("attention", ...shown.map(attentionFigure)) : null;
}

function attentionFigure(use) {
  const read = readoutBox(), say = (text) => { read.textContent = text; };
  const what = ": each row is a token that looks, each column one that is seen";
  return div("", p("facts", el("b", {}, use.name), what), read,
    figure(trace.tensors[use.tensor], use.name, 210, say));
}

// the source, and in front of each line the arrays that it makes
function inside(event) {
  const again = met.has(event.name), lines = event.source.last - event.source.first + 1;
  met.add(event.name);
  const beside = (line) => {
    const made = event.variables.filter((use) => event.born[use.name] === line);
    const plain = Object.entries(event.numbers).filter(([name]) => event.born[name] === line);
    const numbers = plain.map(([name, number]) => span("plain", `${name} ${number}`));
    return [...made.map((use) => chip(use, made.length)), ...numbers];
  };
  const title = el("summary", {}, `${event.name}: ${lines} lines, and what they make`);
  return el("details", { class: "inside", open: !again }, title, sourceLink(event.source),
    source(event.source, beside));
}

function chip(use, count) {
  const tensor = trace.tensors[use.tensor], title = `${use.name}, ${shapeOf(use.shape)}`;
  const picture = () => isNumber(tensor) ? said(valuesOf(tensor)[0], 3)
    : thumbnail(tensor, Math.floor(84 / count) - 8, 18);
  return chooser("chip", use.tensor, { title: use.name, "aria-label": title },
    tensor.kind === "i" ? "ids" : picture());
}
