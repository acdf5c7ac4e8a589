// Matrices large enough to be read: words on both sides, a number under the pointer or the arrow keys.

const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

// all panels of a tensor; say(text) is told the number that is looked at
function figure(tensor, name, room, say) {
  const panels = panelsOf(tensor), { left, width } = layoutOf(panels[0], room);
  const all = div("heads", ...panels.map((panel) => el("figure", { class: "matrix" },
    panels.length > 1 ? el("figcaption", {}, `head ${panel.number}`) : null,
    div("scroll", matrix(tensor, panel, name, room, say, panels.length)))));
  const least = Math.ceil(left + width * panels[0].columns) + 2;
  all.style.gridTemplateColumns = `repeat(auto-fill, minmax(min(100%, ${least}px), 1fr))`;
  return all;
}

function longest(axis) {  // of an axis's words, in pixels
  if (!isWords(axis) || axis.size === 1) return 0;
  const lengths = Array.from({ length: axis.size }, (_, i) => Math.min(12, labelAt(axis, i).length));
  return 8 + 6.7 * Math.max(...lengths);
}

// where a panel's cells and words lie, in pixels of the page
function layoutOf(panel, room) {
  const left = longest(panel.axes[0]), top = longest(panel.axes[1]);
  const width = Math.max(top ? 11 : 1, Math.min(22, (room - left) / panel.columns));
  if (left) return { left, top, width, height: top ? width : Math.min(18, Math.max(11, 400 / panel.rows)) };
  return { left, top, width, height: panel.rows === 1 ? 26 : Math.max(2, Math.min(14, 320 / panel.rows)) };
}

function matrix(tensor, panel, name, room, say, count) {
  const place = layoutOf(panel, room), { left, top, width, height } = place;
  const title = count > 1 ? `${name}, head ${panel.number}` : name;
  const canvas = el("canvas", {
    class: "heat", tabindex: "0", role: "application", "aria-roledescription": "heat map",
    "aria-label": `${title}: ${panel.rows} by ${panel.columns}; arrow keys read its numbers`,
  });
  let at = null;  // [row, column]
  const draw = () => paint(canvas, tensor, panel, place, at);
  const look = (row, column) => {
    at = [row, column];
    draw();
    say(readout(panel, row, column, count));
  };
  const leave = () => {
    at = null;
    draw();
    tip(null);
  };
  const under = (event) => [(event.offsetY - top) / height, (event.offsetX - left) / width].map(Math.floor);
  const within = (row, column) => row >= 0 && column >= 0 && row < panel.rows && column < panel.columns;
  sized(canvas, panel, place);
  whenNear(canvas, draw);
  canvas.addEventListener("pointermove", (event) => {
    const [row, column] = under(event);
    if (!within(row, column)) return tip(null);
    look(row, column);
    tip(readout(panel, row, column, count), event);
  });
  canvas.addEventListener("pointerleave", leave);
  canvas.addEventListener("blur", leave);
  canvas.addEventListener("focus", () => { if (!at) look(0, 0); });
  canvas.addEventListener("keydown", (event) => {
    if (!(event.key in STEPS)) return;
    event.preventDefault();
    const [row, column] = (at || [0, 0]).map((one, i) => one + STEPS[event.key][i]);
    if (within(row, column)) look(row, column);
  });
  return canvas;
}

function sized(canvas, panel, { left, top, width, height }) {
  canvas.style.width = `${Math.ceil(left + width * panel.columns) + 1}px`;
  canvas.style.height = `${Math.ceil(top + height * panel.rows) + 1}px`;
}
