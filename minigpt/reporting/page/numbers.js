// Numbers in words.

function short(number) {  // 1.5B, 20k, 0.0006
  if (number == null) return "none";
  for (const [size, letter] of [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e4, "k"]]) {
    const unit = letter === "k" ? 1e3 : size;
    if (Math.abs(number) >= size) return `${Number((number / unit).toPrecision(4))}${letter}`;
  }
  return digits(number, 4);
}

function digits(number, most) {
  if (number == null) return "not finite";
  if (number !== 0 && Math.abs(number) < 1e-3) return number.toExponential(2).replace("-", "\u2212").replace("e\u2212", "e-");
  return String(Number(number.toPrecision(most)));
}

function grouped(number) {
  return Math.round(number).toLocaleString("en");
}

function percent(share) {
  return `${Number((100 * share).toPrecision(3))}%`;
}
