// How elements are made. Text only ever goes in as text.

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

function div(kind, ...children) {
  return el("div", { class: kind }, ...children);
}

function span(kind, ...children) {
  return el("span", { class: kind }, ...children);
}

function p(kind, ...children) {
  return el("p", { class: kind }, ...children);
}

function button(kind, onclick, attributes, ...children) {
  return el("button", { type: "button", class: kind, onclick, ...attributes }, ...children);
}

function bar(share) {  // of a whole
  const element = el("i", { class: "bar", "aria-hidden": "true" });
  element.style.width = `${Math.min(100, 100 * share)}%`;
  return element;
}

function scrolling(kind, label, ...children) {  // what may be wider than its place
  return el("div", { class: kind, tabindex: "0", role: "group", "aria-label": label }, ...children);
}

function readoutBox() {  // where the number under the pointer is said
  return el("output", { class: "read", "aria-live": "polite" }, " ");
}
