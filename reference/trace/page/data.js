// The trace, its numbers, and how to make elements. Text only ever goes in as text.

const trace = JSON.parse(document.getElementById("trace").textContent);
const numbers = floats(document.getElementById("values").textContent);

function floats(base64) {  // little-endian float32, on every machine
  const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
  const view = new DataView(bytes.buffer), found = new Float32Array(bytes.length / 4);
  for (let i = 0; i < found.length; i++) found[i] = view.getFloat32(4 * i, true);
  return found;
}

function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value != null) element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((child) => child != null && child !== false));
  return element;
}

function product(sizes) {
  return sizes.reduce((all, one) => all * one, 1);
}

function valuesOf(tensor) {
  return numbers.subarray(tensor.offset, tensor.offset + product(tensor.sizes));
}

// white space and control characters, made visible
function visible(text) {
  return text.replace(/\n/g, "⏎").replace(/\t/g, "⇥").replace(/ /g, "·").replace(/[\x00-\x1f\x7f]/g, "�");
}

function word(id) {
  return visible(trace.words[id]);
}

function said(number, digits = 4) {  // a number as people read it
  if (!Number.isFinite(number)) return String(number);
  if (Number.isInteger(number) && Math.abs(number) < 1e6) return String(number).replace("-", "−");
  const size = Math.abs(number);
  const text = size >= 1e-3 && size < 1e5 ? Number(number.toPrecision(digits)).toString() : number.toExponential(digits - 2);
  return text.replace("-", "−").replace("e−", "e−");
}

function counted(number, what) {
  return `${number.toLocaleString("en")} ${what}${number === 1 ? "" : "s"}`;
}
