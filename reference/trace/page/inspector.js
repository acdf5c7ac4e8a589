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

// the tensor's other appearances, its maker and its users, wherever they are on the page
function mark() {
  const tensor = chosen === null ? null : trace.tensors[chosen];
  for (const button of document.querySelectorAll("[data-tensor]")) {
    button.setAttribute("aria-pressed", String(chosen !== null && Number(button.dataset.tensor) === chosen));
  }
  for (const place of document.querySelectorAll("[data-event]")) {
    const event = Number(place.dataset.event);
    const role = !tensor ? "" : tensor.maker === event ? "makes" : tensor.users.includes(event) ? "uses" : "";
    place.classList.toggle("makes", role === "makes");
    place.classList.toggle("uses", role === "uses");
    const badge = place.querySelector(".role");
    if (badge) badge.textContent = role && `${role} ${tensor.name}`;
  }
}

function fillInspector() {
  const box = document.getElementById("inspector");
  document.body.classList.toggle("inspecting", chosen !== null);
  if (chosen === null) return box.replaceChildren(el("p", { class: "hint" },
    "Choose a tensor anywhere on the page: here you see its numbers, where it comes from and where it goes. ",
    "Arrow keys walk through the numbers of a picture that has the focus; Escape closes it."));
  const tensor = trace.tensors[chosen];
  box.replaceChildren(
    el("div", { class: "title" }, el("h2", {}, titleOf(chosen)),
      el("button", { type: "button", class: "close", "aria-label": "Close the tensor", onclick: unchoose }, "×")),
    el("p", { class: "facts" }, shapeOf(tensor.shape, tensor.axes), cutOf(tensor)),
    journey(tensor),
    ...numbersIn(tensor));
  box.scrollTop = 0;
}

function numbersIn(tensor) {
  if (tensor.kind === "i") return [rowOf(Array.from(valuesOf(tensor)))];
  if (product(tensor.sizes) === 1) return [el("p", { class: "value" }, said(valuesOf(tensor)[0], 7))];
  const read = el("output", { class: "read", "aria-live": "polite" }, " ");
  const room = Math.max(220, Math.min(document.getElementById("inspector").clientWidth, 640) - 40);
  return [legend(tensor), figure(tensor, titleOf(chosen), room, (text) => { read.textContent = text; }), read,
    el("p", { class: "facts" }, `least ${said(tensor.min)}, most ${said(tensor.max)}, root mean square ${said(tensor.rms)}`)];
}

function cutOf(tensor) {
  const parts = tensor.kept.map((kept, i) => kept === null ? null : Array.isArray(kept)
    ? `the ${kept.length} most telling of ${tensor.shape[i].toLocaleString("en")} tokens`
    : `the first ${kept} of ${tensor.shape[i].toLocaleString("en")}`).filter(Boolean);
  return parts.length ? `; shown: ${parts.join(", ")}` : "";
}

function journey(tensor) {
  const toEvent = (number) => el("button", { type: "button", class: "go", onclick: () => go(number) }, nameOf(number));
  const toTensor = (number) => el("button", { type: "button", class: "go", onclick: () => choose(number) }, titleOf(number));
  const origin = tensor.maker !== null ? toEvent(tensor.maker)
    : tensor.is_parameter ? "a parameter of the model" : "there before the step";
  const rows = [["made by", [origin]], ["used by", tensor.users.length ? tensor.users.map(toEvent) : ["nobody"]]];
  if (tensor.gradient !== null) rows.push(["its gradient", [toTensor(tensor.gradient)]]);
  if (tensor.of !== null) rows.push(["is the gradient of", [toTensor(tensor.of)]]);
  return el("dl", { class: "journey" }, ...rows.flatMap(([name, parts]) => [el("dt", {}, name), el("dd", {}, ...parts)]));
}

function go(event) {  // to an event's card
  const card = document.getElementById(`event-${event}`);
  card.scrollIntoView({ block: "start" });
  card.querySelector("h3").focus({ preventScroll: true });
}
