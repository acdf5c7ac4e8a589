// A tensor on the page: a button with its name, its shape and a small picture.

function titleOf(number) {  // "h.0.ln_1: n", or a parameter's own name
  const tensor = trace.tensors[number];
  if (tensor.maker === null) return tensor.name;
  const label = trace.events[tensor.maker].label;
  return tensor.name.startsWith("d") && tensor.name.includes(".") ? tensor.name : `${label}: ${tensor.name}`;
}

function shapeOf(shape, axes = []) {
  if (!shape.length) return "a number";
  const sizes = shape.map((size) => size.toLocaleString("en")).join(" × ");
  return axes.length === shape.length && axes.every(Boolean) ? `${axes.join(", ")} = ${sizes}` : sizes;
}

function tensorButton(use) {
  const tensor = trace.tensors[use.tensor];
  const other = tensor.name && tensor.name !== use.name ? tensor.name : "";
  const button = el("button", {
    type: "button", class: "tensor", "data-tensor": use.tensor, "aria-pressed": "false",
    "aria-label": `${use.name}${other ? `, which is ${titleOf(use.tensor)}` : ""}, ${shapeOf(use.shape)}`,
    onclick: () => choose(use.tensor),
  }, el("span", { class: "name" }, use.name, other ? el("span", { class: "also" }, other) : ""),
  use.shape.length ? el("span", { class: "shape" }, shapeOf(use.shape)) : "");
  if (tensor.kind === "i") button.append(el("span", { class: "some" }, wordsOf(tensor).slice(0, 8).join(" ")));
  else if (product(tensor.sizes) === 1) button.append(el("span", { class: "number" }, said(valuesOf(tensor)[0])));
  else button.append(thumbnail(tensor));
  return button;
}

function wordsOf(tensor) {  // integers are ids; -1 is a target that is not scored
  return Array.from(valuesOf(tensor), (id) => id < 0 ? "none" : word(id));
}

// the panels side by side, a whole number of pixels a number where they fit
function thumbnail(tensor, room = 168, most = 96) {
  const panels = panelsOf(tensor), { rows, columns } = panels[0], gap = 2;
  const width = panels.length * columns + gap * (panels.length - 1);
  const cell = Math.max(1, Math.min(8, Math.floor(room / width), Math.floor(most / rows) || 1));
  const canvas = el("canvas", { width, height: rows, class: "heat", "aria-hidden": "true" });
  canvas.style.width = `${Math.min(room, width * cell)}px`;
  canvas.style.height = `${Math.min(most, rows === 1 ? 14 : rows * cell)}px`;
  whenSeen(canvas, () => {
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, width, rows);
    panels.forEach((panel, i) => context.putImageData(pixels(panel, tensor.full), i * (columns + gap), 0));
  });
  canvas.addEventListener("pointermove", (event) => {
    const x = Math.floor(event.offsetX / canvas.clientWidth * width);
    const y = Math.min(rows - 1, Math.floor(event.offsetY / canvas.clientHeight * rows));
    const panel = panels[Math.floor(x / (columns + gap))], column = x % (columns + gap);
    if (panel && column < columns && y >= 0) tip(readout(tensor, panel, y, column, panels.length), event);
  });
  canvas.addEventListener("pointerleave", () => tip(null));
  return canvas;
}

const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    seen.unobserve(entry.target);
    keep(entry.target.drawWhenSeen);
  }
}, { rootMargin: "400px" });

function whenSeen(canvas, draw) {  // hundreds of pictures: each is drawn when it comes near
  canvas.drawWhenSeen = draw;
  seen.observe(canvas);
}

function tip(text, event) {
  const box = document.getElementById("tip");
  box.hidden = text === null;
  if (text === null) return;
  box.textContent = text;
  const left = Math.min(event.clientX + 14, innerWidth - box.offsetWidth - 8);
  const top = event.clientY + 18 + box.offsetHeight > innerHeight ? event.clientY - box.offsetHeight - 12 : event.clientY + 18;
  box.style.transform = `translate(${Math.max(4, left)}px, ${top}px)`;
}
