// Numbers in words.

function short(number) {
  // 1.5B, 20k, 0.0006
  if (number == null) return "none";
  for (const [size, letter] of [
    [1e12, "T"],
    [1e9, "B"],
    [1e6, "M"],
    [1e3, "k"],
  ]) {
    if (Math.abs(number) >= size) return `${Number((number / size).toPrecision(4))}${letter}`;
  }
  return digits(number, 4);
}

function digits(number, most) {
  if (number == null) return "not finite";
  const rounded = Number(number.toPrecision(most));
  return rounded !== 0 && Math.abs(rounded) < 1e-4 ? rounded.toExponential() : String(rounded);
}

function grouped(number) {
  return Math.round(number).toLocaleString("en");
}

function percent(share) {
  return `${Number((100 * share).toPrecision(3))}%`;
}
