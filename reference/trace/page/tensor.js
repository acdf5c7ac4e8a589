// A tensor on the page: a button with its name, its shape and a small picture.

function titleOf(number) {  // "h.0.ln_1: n"; parameters and their gradients have names of their own
  const tensor = trace.tensors[number];
  if (tensor.maker === null || tensor.name.includes(".")) return tensor.name;
  return `${trace.events[tensor.maker].label}: ${tensor.name}`;
}

function shapeOf(shape, axes = []) {
  if (!shape.length) return "a number";
  const sizes = shape.map(grouped).join(" × ");
  return axes.length === shape.length && axes.every(Boolean) ? `${axes.join(", ")} = ${sizes}` : sizes;
}

function isNumber(tensor) {
  return product(tensor.sizes) === 1;
}

function wordsOf(tensor) {  // integers are ids
  return Array.from(valuesOf(tensor), word);
}

function pictureOf(tensor) {
  if (tensor.kind === "i") return span("some", wordsOf(tensor).slice(0, 8).join(" "));
  return isNumber(tensor) ? span("number", said(valuesOf(tensor)[0])) : thumbnail(tensor);
}

function tensorButton(use) {
  const tensor = trace.tensors[use.tensor], other = tensor.name !== use.name ? tensor.name : "";
  const title = `${use.name}${other ? `, which is ${titleOf(use.tensor)}` : ""}, ${shapeOf(use.shape)}`;
  return chooser("tensor", use.tensor, { "aria-label": title },
    span("name", use.name, other ? span("also", other) : ""),
    use.shape.length ? span("shape", shapeOf(use.shape)) : null, pictureOf(tensor));
}

function chooser(kind, tensor, attributes, ...children) {  // a button that chooses a tensor
  const shared = { "data-tensor": tensor, "aria-pressed": "false" };
  return button(kind, () => choose(tensor), { ...shared, ...attributes }, ...children);
}
