// Numbers as colours: one hue below zero, another above, and the page's own tone at zero.

function shade(number, full) {
  const share = full > 0 ? Math.min(1, Math.abs(number) / full) : 0;
  const side = number < 0 ? "minus" : "plus", half = palette[`${side}-half`];
  const [from, to, way] = share < 0.5
    ? [palette.zero, half, share * 2]
    : [half, palette[side], share * 2 - 1];
  return from.map((channel, i) => Math.round(channel + (to[i] - channel) * way));
}

// a panel as an image of a pixel a number
function pixels(panel, full) {
  const image = new ImageData(panel.columns, panel.rows);
  for (let i = 0; i < panel.values.length; i++) image.data.set([...shade(panel.values[i], full), 255], 4 * i);
  return image;
}

function legend(tensor) {
  const values = Float32Array.from({ length: 121 }, (_, i) => (i - 60) / 60);
  const canvas = el("canvas", { width: 121, height: 1, class: "legend-strip", "aria-hidden": "true" });
  keep(() => canvas.getContext("2d").putImageData(pixels({ rows: 1, columns: 121, values }, 1), 0, 0));
  const beyond = Math.max(Math.abs(tensor.min), Math.abs(tensor.max)) > tensor.full * 1.0001;
  return div("legend", span("", `${beyond ? "≤ " : ""}${said(-tensor.full, 3)}`), canvas,
    span("", `${beyond ? "≥ " : ""}${said(tensor.full, 3)}`));
}
