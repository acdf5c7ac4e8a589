// Small pictures of tensors. There are hundreds: each is drawn when it comes near.

const near = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    near.unobserve(target);
    keep(target.drawWhenNear);
  }
}, { rootMargin: "400px" });

function whenNear(canvas, draw) {
  canvas.drawWhenNear = draw;
  near.observe(canvas);
}

// the panels side by side, a whole number of pixels a number where they fit
function thumbnail(tensor, room = 168, most = 96) {
  const panels = panelsOf(tensor), { rows, columns } = panels[0], gap = 2;
  const width = panels.length * (columns + gap) - gap;
  const cell = Math.max(1, Math.min(8, Math.floor(room / width), Math.floor(most / rows)));
  const canvas = el("canvas", { width, height: rows, class: "heat", "aria-hidden": "true" });
  canvas.style.width = `${Math.min(room, width * cell)}px`;
  canvas.style.height = `${Math.min(most, rows === 1 ? 14 : rows * cell)}px`;
  whenNear(canvas, () => {
    const context = canvas.getContext("2d");
    panels.forEach((panel, i) => context.putImageData(pixels(panel, tensor.full), i * (columns + gap), 0));
  });
  canvas.addEventListener("pointermove", (event) => {
    const x = Math.floor(event.offsetX / canvas.clientWidth * width), column = x % (columns + gap);
    const row = Math.min(rows - 1, Math.floor(event.offsetY / canvas.clientHeight * rows));
    const panel = panels[Math.floor(x / (columns + gap))];
    if (panel && column < columns && row >= 0) tip(readout(panel, row, column, panels.length), event);
  });
  canvas.addEventListener("pointerleave", () => tip(null));
  return canvas;
}

function tip(text, event) {  // beside the pointer, within the window
  const box = document.getElementById("tip");
  box.hidden = text === null;
  if (text === null) return;
  box.textContent = text;
  const left = Math.max(4, Math.min(event.clientX + 14, innerWidth - box.offsetWidth - 8));
  const below = event.clientY + 18, above = event.clientY - box.offsetHeight - 12;
  box.style.transform = `translate(${left}px, ${below + box.offsetHeight > innerHeight ? above : below}px)`;
}
