// Light, dark, or as the system has it. Canvases are drawn anew when it changes; all else is style.

const drawings = new Set(); // functions that draw with the theme's colours
function redraw() {
  for (const draw of drawings) draw();
}

function themeSwitch() {
  let chosen = "auto";
  try {
    chosen = localStorage.getItem("theme") || "auto";
  } catch {
    /* a browser that keeps nothing */
  }
  document.documentElement.dataset.theme = chosen;
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  return choice(
    "",
    "Colours",
    ["auto", "light", "dark"].map((one) => [one, one]),
    chosen,
    setTheme,
  );
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem("theme", theme);
  } catch {
    /* it holds for this visit */
  }
  redraw();
}

// a colour of the style sheet as [r, g, b]
function colour(name) {
  const probe = el("i");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe)
    .color.match(/[\d.]+/g)
    .slice(0, 3)
    .map(Number);
  probe.remove();
  return found;
}
