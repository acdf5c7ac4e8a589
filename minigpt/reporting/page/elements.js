// How elements are made. Text only ever goes in as text.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value != null) element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((child) => child != null && child !== false));
  return element;
}

function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
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

function section(id, title, ...children) {
  return el(
    "section",
    { id, "aria-labelledby": `${id}-title` },
    el("h2", { id: `${id}-title` }, title),
    ...children,
  );
}

// one of several, as radio buttons; onchoice(value) is called at each change
function choice(kind, label, options, chosen, onchoice) {
  const name = `choice-${label.replace(/\W+/g, "-")}`;
  const one = ([value, words]) =>
    el(
      "label",
      {},
      el("input", {
        type: "radio",
        name,
        value,
        checked: value === chosen,
        onchange: () => onchoice(value),
      }),
      span("", words),
    );
  return el(
    "fieldset",
    { class: `switch ${kind}` },
    el("legend", { class: "hidden" }, label),
    options.map(one),
  );
}
