// The trace, its numbers, and how they are said.

const trace = JSON.parse(document.getElementById("trace").textContent);
const numbers = floats(document.getElementById("values").textContent);

function floats(base64) {  // little-endian float32, on every machine
  const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
  const view = new DataView(bytes.buffer), found = new Float32Array(bytes.length / 4);
  for (let i = 0; i < found.length; i++) found[i] = view.getFloat32(4 * i, true);
  return found;
}

function product(sizes) {
  return sizes.reduce((all, one) => all * one, 1);
}

function valuesOf(tensor) {
  return numbers.subarray(tensor.offset, tensor.offset + product(tensor.sizes));
}

// white space and control characters, made visible
function visible(text) {
  const shown = text.replace(/\n/g, "⏎").replace(/\t/g, "⇥").replace(/ /g, "·");
  return shown.replace(/[\x00-\x1f\x7f]/g, "�");
}

function word(id) {  // -1 is a target that is not scored
  return id < 0 ? "none" : visible(trace.words[id]);
}

function said(number, digits = 4) {  // a number as people read it
  const size = Math.abs(number);
  let text = String(number);
  if (!Number.isInteger(number) || size >= 1e6) {
    const plain = size >= 1e-3 && size < 1e5;
    text = plain ? String(Number(number.toPrecision(digits))) : number.toExponential(digits - 2);
  }
  return text.replaceAll("-", "−");
}

function grouped(number) {  // 108,864
  return number.toLocaleString("en");
}

function counted(number, what) {
  return `${grouped(number)} ${what}${number === 1 ? "" : "s"}`;
}

function percent(prob) {
  if (prob < 0.001) return "<0.1%";
  return `${(100 * prob).toFixed(prob >= 0.0995 ? 0 : 1)}%`;
}
