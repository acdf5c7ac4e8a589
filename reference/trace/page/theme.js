// Light, dark, or as the system has it. Drawings are made anew when it changes.

const COLOURS = ["zero", "minus", "minus-half", "plus", "plus-half", "ink", "soft", "line"];
const drawings = new Set();  // functions that draw with the theme's colours
const palette = {};

function readPalette() {
  const probe = el("i");
  document.body.append(probe);
  for (const name of COLOURS) {
    probe.style.color = `var(--${name})`;
    palette[name] = getComputedStyle(probe).color.match(/[\d.]+/g).slice(0, 3).map(Number);
  }
  probe.remove();
}

function css(colour) {
  return `rgb(${colour.join(" ")})`;
}

function redraw() {
  readPalette();
  for (const draw of drawings) draw();
}

function keep(draw) {
  drawings.add(draw);
  draw();
}

function themeSwitch() {
  let chosen = "auto";
  try { chosen = localStorage.getItem("theme") || "auto"; } catch { /* a browser that keeps nothing */ }
  document.documentElement.dataset.theme = chosen;
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  const choice = (theme) => el("label", {}, el("input", {
    type: "radio", name: "theme", value: theme, checked: theme === chosen, onchange: () => setTheme(theme),
  }), span("", theme));
  const choices = ["auto", "light", "dark"].map(choice);
  return el("fieldset", { class: "switch" }, el("legend", { class: "hidden" }, "Colours"), ...choices);
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  try { localStorage.setItem("theme", theme); } catch { /* it holds for this visit */ }
  redraw();
}
