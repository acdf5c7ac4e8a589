// Numbers as colours, on a logarithmic scale from pale to deep; a cursor reads them.

// rows: [[number or null]], names of the rows; shown: {low, high} of the scale; read(row, column)
function heat(spec) {
  const { rows, names, label, shown, mark, onread } = spec;
  const tall = Math.max(6, Math.min(18, Math.floor(220 / rows.length)));
  const canvas = el("canvas", {
    class: "heat",
    tabindex: "0",
    role: "img",
    "aria-label": `${label}; arrow keys read its numbers`,
  });
  canvas.style.height = `${tall * rows.length}px`;
  canvas.width = rows[0].length;
  canvas.height = rows.length;
  const line = el("i", { class: "column", "aria-hidden": "true" });
  const host = div("heatmap", canvas, line);
  const draw = () => {
    const colours = ["heat-0", "heat-1", "heat-2", "heat-3"].map(colour);
    const none = colour("sunk");
    const image = new ImageData(rows[0].length, rows.length);
    rows.flat().forEach((value, i) => image.data.set([...shade(value, shown, colours, none), 255], 4 * i));
    canvas.getContext("2d").putImageData(image, 0, 0);
  };
  const place = { row: 0, column: rows[0].length - 1 };
  const at = (row, column) => {
    place.row = Math.max(0, Math.min(rows.length - 1, row));
    place.column = Math.max(0, Math.min(rows[0].length - 1, column));
    const step = grouped(run.layers.steps[place.column]);
    onread(`${names[place.row]}, step ${step}: ${digits(rows[place.row][place.column], 3)}`);
    mark(place.column);
  };
  host.column = (column) => {
    line.style.left = `${(100 * (column + 0.5)) / rows[0].length}%`;
  };
  const pointed = (event) => {
    const box = canvas.getBoundingClientRect();
    at(
      Math.floor(((event.clientY - box.top) / box.height) * rows.length),
      Math.floor(((event.clientX - box.left) / box.width) * rows[0].length),
    );
  };
  canvas.addEventListener("pointermove", pointed);
  canvas.addEventListener("pointerdown", pointed);
  canvas.addEventListener("keydown", (event) => {
    const [down, right] = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1] }[
      event.key
    ] ?? [0, 0];
    if (!down && !right) return;
    event.preventDefault();
    at(place.row + down, place.column + right);
  });
  drawings.add(draw);
  draw();
  return host;
}

function shade(value, { low, high }, colours, none) {
  if (value == null || value <= 0) return none;
  const share =
    Math.max(0, Math.min(1, Math.log(value / low) / Math.log(high / low) || 0)) * (colours.length - 1);
  const i = Math.min(colours.length - 2, Math.floor(share));
  return colours[i].map((from, c) => Math.round(from + (colours[i + 1][c] - from) * (share - i)));
}

// the scale that most numbers fill: all but the lowest twentieth and the highest fiftieth
function spanOf(numbers) {
  const sorted = numbers.filter((n) => n > 0).sort((a, b) => a - b);
  const at = (share) => sorted[Math.round(share * (sorted.length - 1))] ?? 1;
  const low = at(0.05);
  const high = at(0.98);
  return { low, high: high > low ? high : low * 1.0001 };
}
