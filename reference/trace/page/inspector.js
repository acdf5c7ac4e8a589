// The chosen tensor: where it comes from, where it goes, its gradient, its numbers.

let chosen = null, opener = null;

function choose(number) {
  if (!document.getElementById("inspector").contains(document.activeElement)) opener = document.activeElement;
  chosen = number;
  mark();
  fillInspector();
}

function unchoose() {
  chosen = null;
  mark();
  fillInspector();
  if (opener) opener.focus({ preventScroll: true });
}

function roleOf(event) {  // what an event has to do with the chosen tensor
  if (chosen === null) return "";
  const { maker, users } = trace.tensors[chosen];
  return maker === event ? "makes" : users.includes(event) ? "uses" : "";
}

// the tensor's other appearances, its maker and its users, wherever they are on the page
function mark() {
  for (const one of document.querySelectorAll("[data-tensor]")) {
    one.setAttribute("aria-pressed", String(Number(one.dataset.tensor) === chosen && chosen !== null));
  }
  for (const place of document.querySelectorAll("[data-event]")) {
    const role = roleOf(Number(place.dataset.event));
    place.classList.toggle("makes", role === "makes");
    place.classList.toggle("uses", role === "uses");
    place.querySelector(".role").textContent = role && `${role} ${trace.tensors[chosen].name}`;
  }
  const map = document.getElementById("map"), cell = map.querySelector(".makes, .uses");
  if (cell) map.scrollTop = cell.offsetTop - map.clientHeight / 2;
}

const HINT = "Choose a tensor anywhere on the page: here you see its numbers, where it comes from and where "
  + "it goes. Arrow keys walk through the numbers of a picture that has the focus; Escape closes it.";

function fillInspector() {
  const box = document.getElementById("inspector");
  document.body.classList.toggle("inspecting", chosen !== null);
  if (chosen === null) return box.replaceChildren(p("hint", HINT));
  const tensor = trace.tensors[chosen];
  const close = button("close", unchoose, { "aria-label": "Close the tensor" }, "×");
  box.replaceChildren(div("title", el("h2", {}, titleOf(chosen)), close),
    p("facts", shapeOf(tensor.shape, tensor.axes), cutOf(tensor)), journey(tensor), ...numbersIn(tensor));
  box.scrollTop = 0;
}

function numbersIn(tensor) {
  if (tensor.kind === "i") return [rowOf(Array.from(valuesOf(tensor)))];
  if (isNumber(tensor)) return [p("value", said(valuesOf(tensor)[0], 7))];
  const read = readoutBox(), say = (text) => { read.textContent = text; };
  const room = Math.max(220, Math.min(document.getElementById("inspector").clientWidth, 640) - 40);
  const [min, max, rms] = [tensor.min, tensor.max, tensor.rms].map((number) => said(number));
  return [legend(tensor), read, figure(tensor, titleOf(chosen), room, say),
    p("facts", `least ${min}, most ${max}, root mean square ${rms}`)];
}

function cutOf(tensor) {
  const parts = tensor.kept.map((kept, i) => {
    const all = grouped(tensor.shape[i]);
    if (kept === null) return "";
    if (Array.isArray(kept)) return `the ${kept.length} most telling of ${all} tokens`;
    return `the first ${kept} of ${all}`;
  }).filter(Boolean);
  return parts.length ? `; shown: ${parts.join(", ")}` : "";
}

function journey(tensor) {
  const toEvent = (number) => button("go", () => go(number), {}, nameOf(number));
  const toTensor = (number) => button("go", () => choose(number), {}, titleOf(number));
  const given = tensor.is_parameter ? "a parameter of the model" : "there before the step";
  const rows = [
    ["made by", tensor.maker === null ? [given] : [toEvent(tensor.maker)]],
    ["used by", tensor.users.length ? tensor.users.map(toEvent) : ["nobody"]],
  ];
  if (tensor.gradient !== null) rows.push(["its gradient", [toTensor(tensor.gradient)]]);
  if (tensor.of !== null) rows.push(["is the gradient of", [toTensor(tensor.of)]]);
  const parts = rows.flatMap(([name, found]) => [el("dt", {}, name), el("dd", {}, ...found)]);
  return el("dl", { class: "journey" }, ...parts);
}

function go(event) {  // to an event's card
  const card = document.getElementById(`event-${event}`);
  card.scrollIntoView({ block: "start" });
  card.querySelector("h3").focus({ preventScroll: true });
}
