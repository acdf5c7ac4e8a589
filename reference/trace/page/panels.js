// A tensor as matrices: the batch of one is left out, and of four axes heads become panels.

function panelsOf(tensor) {
  let axes = tensor.sizes.map((size, i) => ({ letter: tensor.axes[i] ?? "", size, kept: tensor.kept[i] }));
  while (axes.length > 2 && axes[0].size === 1) axes = axes.slice(1);
  if (axes.length === 2 && axes[0].letter === "B" && axes[0].size === 1) axes = axes.slice(1);
  while (axes.length < 2) axes = [{ letter: "", size: 1, kept: null }, ...axes];
  if (axes.length === 2 && axes[1].size === 1) axes.reverse();  // one number a row: side by side
  const [rows, columns] = axes.slice(-2), size = rows.size * columns.size, values = valuesOf(tensor);
  return Array.from({ length: values.length / size }, (_, i) => ({
    number: i, rows: rows.size, columns: columns.size, axes: [rows, columns],
    values: values.subarray(i * size, (i + 1) * size),
  }));
}

// what stands at a place of an axis: a token, a word of the vocabulary, or a number
function labelAt(axis, place) {
  const id = Array.isArray(axis.kept) ? axis.kept[place] : place;
  if (axis.letter === "T" && place in trace.ids) return word(trace.ids[place]);
  return axis.letter === "V" ? word(id) : String(id);
}

function isWords(axis) {
  return axis.letter === "T" || axis.letter === "V";
}

const AXES = {
  B: "row", T: "position", N: "position", H: "head", V: "token", P: "parameter",
  C: "channel", D: "channel", F: "channel", I: "input", O: "output",
};

function spoken(axis, place) {
  if (axis.size === 1) return "";
  const id = Array.isArray(axis.kept) ? axis.kept[place] : place;
  const name = AXES[axis.letter.replace(/^\d+/, "")] || "place";
  return isWords(axis) ? `${name} ${id} ${labelAt(axis, place)}` : `${name} ${id}`;
}

// one number, with where it stands
function readout(panel, row, column, panels) {
  const head = panels > 1 ? `head ${panel.number}` : "";
  const places = [head, spoken(panel.axes[0], row), spoken(panel.axes[1], column)].filter(Boolean).join(", ");
  const number = said(panel.values[row * panel.columns + column], 5);
  return places ? `${places}: ${number}` : number;
}
