// A matrix on its canvas: cells, a fine grid, the words of both axes, and the cell that is looked at.

const FONT = "px ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace";

function paint(canvas, tensor, panel, place, at) {
  const ratio = devicePixelRatio || 1, context = canvas.getContext("2d");
  const { left, top, width, height } = place;
  canvas.width = Math.round(parseFloat(canvas.style.width) * ratio);
  canvas.height = Math.round(parseFloat(canvas.style.height) * ratio);
  context.scale(ratio, ratio);
  context.imageSmoothingEnabled = false;
  const small = el("canvas", { width: panel.columns, height: panel.rows });
  small.getContext("2d").putImageData(pixels(panel, tensor.full), 0, 0);
  context.drawImage(small, left, top, width * panel.columns, height * panel.rows);
  if (width >= 8 && height >= 8) grid(context, panel, place);
  context.font = `${Math.max(9, Math.min(11, height - 1))}${FONT}`;
  context.textBaseline = "middle";
  if (left) rowWords(context, panel, place, at);
  if (top) columnWords(context, panel, place, at);
  if (at) cursor(context, place, at);
}

function grid(context, panel, { left, top, width, height }) {
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

function rowWords(context, panel, { top, height }, at) {
  for (let row = 0; row < panel.rows; row++) {
    context.fillStyle = css(at && at[0] === row ? palette.ink : palette.soft);
    context.fillText(labelAt(panel.axes[0], row).slice(0, 12), 2, top + height * (row + 0.5));
  }
}

function columnWords(context, panel, { left, top, width }, at) {
  for (let column = 0; column < panel.columns; column++) {
    context.save();
    context.fillStyle = css(at && at[1] === column ? palette.ink : palette.soft);
    context.translate(left + width * (column + 0.5), top - 4);
    context.rotate(-Math.PI / 2);
    context.fillText(labelAt(panel.axes[1], column).slice(0, 12), 0, 0);
    context.restore();
  }
}

function cursor(context, { left, top, width, height }, [row, column]) {
  context.strokeStyle = css(palette.ink);
  context.lineWidth = 1.5;
  const sizes = [width, height].map((size) => Math.max(3, size - 1));
  context.strokeRect(left + width * column + 0.5, top + height * row + 0.5, ...sizes);
}
