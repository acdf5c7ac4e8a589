// Matrices large enough to be read: labels on both sides, a number under the pointer or the arrow keys.

const FONT = "px ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace";

// all panels of a tensor; say(text) is told the number that is looked at
function figure(tensor, name, room, say) {
  const panels = panelsOf(tensor);
  const canvases = panels.map((panel) => {
    const caption = panels.length > 1 ? el("figcaption", {}, `head ${panel.number}`) : null;
    return el("figure", { class: "matrix" }, caption, el("div", { class: "scroll" }, matrix(tensor, panel, name, room, say, panels.length)));
  });
  const { left, width } = layoutOf(panels[0], room), all = el("div", { class: "heads" }, ...canvases);
  all.style.gridTemplateColumns = `repeat(auto-fill, minmax(min(100%, ${Math.ceil(left + width * panels[0].columns) + 2}px), 1fr))`;
  return all;
}

// where a panel's cells and labels lie, in pixels of the page
function layoutOf(panel, room) {
  const wordy = panel.axes.map(isWords), longest = (letter, kept, count) =>
    Math.max(...Array.from({ length: count }, (_, i) => Math.min(12, labelAt(letter, kept, i).length)));
  const left = wordy[0] && panel.rows > 1 ? 8 + 6.7 * longest(panel.axes[0], panel.kept[0], panel.rows) : 0;
  const top = wordy[1] && panel.columns > 1 ? 8 + 6.7 * longest(panel.axes[1], panel.kept[1], panel.columns) : 0;
  const least = top ? 11 : 1;
  const width = Math.max(least, Math.min(22, (room - left) / panel.columns));
  const height = left ? (top ? width : Math.min(18, Math.max(11, 400 / panel.rows)))
    : panel.rows === 1 ? 26 : Math.max(2, Math.min(14, 320 / panel.rows));
  return { left, top, width, height };
}

function matrix(tensor, panel, name, room, say, count) {
  const place = layoutOf(panel, room), { left, top, width, height } = place;
  const sizes = [Math.ceil(left + width * panel.columns) + 1, Math.ceil(top + height * panel.rows) + 1];
  const canvas = el("canvas", {
    class: "heat", tabindex: "0", role: "application", "aria-roledescription": "heat map",
    "aria-label": `${name}${count > 1 ? `, head ${panel.number}` : ""}: ${panel.rows} by ${panel.columns}; arrow keys read its numbers`,
  });
  canvas.style.width = `${sizes[0]}px`;
  canvas.style.height = `${sizes[1]}px`;
  let at = null;  // [row, column]
  const draw = () => paint(canvas, sizes, tensor, panel, place, at);
  const look = (row, column) => {
    at = [row, column];
    draw();
    say(readout(tensor, panel, row, column, count));
  };
  whenSeen(canvas, draw);
  canvas.addEventListener("pointermove", (event) => {
    const row = Math.floor((event.offsetY - top) / height), column = Math.floor((event.offsetX - left) / width);
    if (row < 0 || column < 0 || row >= panel.rows || column >= panel.columns) return tip(null);
    look(row, column);
    tip(readout(tensor, panel, row, column, count), event);
  });
  canvas.addEventListener("pointerleave", () => { at = null; draw(); tip(null); });
  canvas.addEventListener("focus", () => { if (!at) look(0, 0); });
  canvas.addEventListener("blur", () => { at = null; draw(); });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    const [row, column] = at || [0, 0];
    look(Math.max(0, Math.min(panel.rows - 1, row + step[0])), Math.max(0, Math.min(panel.columns - 1, column + step[1])));
  });
  return canvas;
}

function paint(canvas, sizes, tensor, panel, { left, top, width, height }, at) {
  const ratio = devicePixelRatio || 1, context = canvas.getContext("2d");
  [canvas.width, canvas.height] = sizes.map((size) => Math.round(size * ratio));
  context.scale(ratio, ratio);
  context.imageSmoothingEnabled = false;
  const small = el("canvas", { width: panel.columns, height: panel.rows });
  small.getContext("2d").putImageData(pixels(panel, tensor.full), 0, 0);
  context.drawImage(small, left, top, width * panel.columns, height * panel.rows);
  if (width >= 8 && height >= 8) grid(context, panel, left, top, width, height);
  context.font = `${Math.max(9, Math.min(11, height - 1))}${FONT}`;
  context.fillStyle = css(palette.soft);
  context.textBaseline = "middle";
  for (let row = 0; left && row < panel.rows; row++) {
    context.fillStyle = css(at && at[0] === row ? palette.ink : palette.soft);
    context.fillText(labelAt(panel.axes[0], panel.kept[0], row).slice(0, 12), 2, top + height * (row + 0.5));
  }
  for (let column = 0; top && column < panel.columns; column++) {
    context.save();
    context.fillStyle = css(at && at[1] === column ? palette.ink : palette.soft);
    context.translate(left + width * (column + 0.5), top - 4);
    context.rotate(-Math.PI / 2);
    context.fillText(labelAt(panel.axes[1], panel.kept[1], column).slice(0, 12), 0, 0);
    context.restore();
  }
  if (at) {
    context.strokeStyle = css(palette.ink);
    context.lineWidth = 1.5;
    context.strokeRect(left + width * at[1] + 0.5, top + height * at[0] + 0.5, Math.max(3, width - 1), Math.max(3, height - 1));
  }
}

function grid(context, panel, left, top, width, height) {
  context.strokeStyle = css(palette.line);
  context.lineWidth = 0.5;
  context.beginPath();
  for (let row = 0; row <= panel.rows; row++) {
    context.moveTo(left, top + height * row);
    context.lineTo(left + width * panel.columns, top + height * row);
  }
  for (let column = 0; column <= panel.columns; column++) {
    context.moveTo(left + width * column, top);
    context.lineTo(left + width * column, top + height * panel.rows);
  }
  context.stroke();
}
