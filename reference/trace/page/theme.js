// Light, dark, or as the system has it. Drawings are made anew when it changes.

const THEMES = ["auto", "light", "dark"];
const drawings = new Set();  // functions that draw with the theme's colours
let palette = {};

function readPalette() {
  const probe = el("i");
  document.body.append(probe);
  for (const name of ["zero", "minus", "minus-half", "plus", "plus-half", "ink", "soft", "line", "accent"]) {
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
  return draw;
}

function themeSwitch() {
  let chosen = "auto";
  try { chosen = localStorage.getItem("theme") || "auto"; } catch { /* a browser that keeps nothing */ }
  const radios = THEMES.map((theme) => el("label", {}, el("input", {
    type: "radio", name: "theme", value: theme, checked: theme === chosen, onchange: () => setTheme(theme),
  }), el("span", {}, theme)));
  setTheme(chosen, false);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  return el("fieldset", { class: "switch" }, el("legend", { class: "hidden" }, "Colours"), ...radios);
}

function setTheme(theme, draw = true) {
  document.documentElement.dataset.theme = theme;
  try { localStorage.setItem("theme", theme); } catch { /* it holds for this visit */ }
  if (draw) redraw();
}
