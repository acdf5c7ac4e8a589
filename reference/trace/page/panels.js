// A tensor as matrices: the batch of one is left out, and of four axes heads become panels.

function panelsOf(tensor) {
  let axes = tensor.sizes.map((_, i) => tensor.axes[i] ?? ""), sizes = [...tensor.sizes], kept = [...tensor.kept];
  while (sizes.length > 2 && sizes[0] === 1) [axes, sizes, kept] = [axes.slice(1), sizes.slice(1), kept.slice(1)];
  if (sizes.length === 2 && axes[0] === "B" && sizes[0] === 1) {  // (B, T): one row
    [axes, sizes, kept] = [axes.slice(1), sizes.slice(1), kept.slice(1)];
  }
  while (sizes.length < 2) [axes, sizes, kept] = [["", ...axes], [1, ...sizes], [null, ...kept]];
  if (sizes.length === 2 && sizes[1] === 1 && sizes[0] > 1) {  // one number a row: side by side
    [axes, sizes, kept] = [axes.reverse(), sizes.reverse(), kept.reverse()];
  }
  const [rows, columns] = sizes.slice(-2), values = valuesOf(tensor);
  return Array.from({ length: product(sizes.slice(0, -2)) }, (_, i) => ({
    number: i, rows, columns, axes: axes.slice(-2), kept: kept.slice(-2),
    values: values.subarray(i * rows * columns, (i + 1) * rows * columns),
  }));
}

// what stands at a place of an axis: a token, a word of the vocabulary, or a number
function labelAt(letter, kept, place) {
  const id = Array.isArray(kept) ? kept[place] : place;
  if (letter === "T" && trace.ids[place] !== undefined) return word(trace.ids[place]);
  if (letter === "V") return word(id);
  return String(id);
}

function isWords(letter) {
  return letter === "T" || letter === "V";
}

const AXES = { B: "row", T: "position", C: "channel", H: "head", D: "channel", V: "token", N: "position",
  I: "input", O: "output", F: "channel", P: "parameter" };

function spoken(letter, kept, place) {
  if (letter === "" && place === 0) return "";
  const id = Array.isArray(kept) ? kept[place] : place;
  const name = AXES[letter.replace(/^\d+/, "")] || "place";
  return isWords(letter) ? `${name} ${id} ${labelAt(letter, kept, place)}` : `${name} ${id}`;
}

// one number, with where it stands
function readout(tensor, panel, row, column, panels) {
  const places = [
    panels > 1 ? `head ${panel.number}` : "",
    panel.rows > 1 ? spoken(panel.axes[0], panel.kept[0], row) : "",
    panel.columns > 1 ? spoken(panel.axes[1], panel.kept[1], column) : "",
  ].filter(Boolean).join(", ");
  const number = said(panel.values[row * panel.columns + column], 5);
  return places ? `${places}: ${number}` : number;
}
