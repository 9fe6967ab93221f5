// Plates for colour vision, drawn here: a digit of coloured dots on a ground of coloured dots.
const DIGITS = {
  2: ["01110", "10001", "00001", "00010", "00100", "01000", "11111"], 3: ["11111", "00010", "00100", "00010", "00001", "10001", "01110"],
  4: ["00010", "00110", "01010", "10010", "11111", "00010", "00010"], 5: ["11111", "10000", "11110", "00001", "00001", "10001", "01110"],
  6: ["00110", "01000", "10000", "11110", "10001", "10001", "01110"], 7: ["11111", "00001", "00010", "00100", "01000", "01000", "01000"],
  8: ["01110", "10001", "10001", "01110", "10001", "10001", "01110"], 9: ["01110", "10001", "10001", "01111", "00001", "00010", "01100"],
};

// Colours as linear RGB. Digit and ground of a test plate differ along one axis only: in the response
// of the L cones (protan) or of the M cones (deutan), after the cone matrix of Vienot et al. (1999).
// Who lacks these cones sees one colour. Blue on yellow can be read by almost everyone.
const MIDDLE = [0.325, 0.277, 0.12];
const AXES = { protan: [0.0809444, -0.0102485, -0.000365297], deutan: [-0.1305044, 0.0540193, -0.00412161] };
const HALF_RED = 0.175; // how much more red digit and ground have than the middle, in opposite directions

export function findColours(kind) {
  if (kind === "plain") return [[0.12, 0.2, 0.6], [0.55, 0.45, 0.08]];
  const step = HALF_RED / AXES[kind][0];
  return [1, -1].map(side => MIDDLE.map((value, n) => value + side * step * AXES[kind][n]));
}

// Whether a point, in parts of the plate, belongs to the digit.
function isInside(digit, x, y) {
  if (digit === null) return false;
  const column = Math.floor((x - 0.24) / 0.52 * 5);
  const row = Math.floor((y - 0.16) / 0.68 * 7);
  return DIGITS[digit][row]?.[column] === "1";
}

// Dots of three sizes that do not touch, largest first.
function placeDots() {
  const dots = [];
  for (const [radius, tries] of [[0.021, 1500], [0.014, 4000], [0.009, 7000]]) {
    for (let n = 0; n < tries; n += 1) {
      const x = Math.random(), y = Math.random();
      if (Math.hypot(x - 0.5, y - 0.5) > 0.48 - radius) continue;
      if (dots.every(dot => Math.hypot(dot.x - x, dot.y - y) > dot.radius + radius + 0.003)) dots.push({ x, y, radius });
    }
  }
  return dots;
}

const toByte = value => Math.round(255 * (value <= 0.0031308 ? 12.92 * value : 1.055 * value ** (1 / 2.4) - 0.055));

// kind: "plain" for a plate that everyone can read, "protan" or "deutan" for a test plate. All dots
// vary in lightness, so that lightness does not tell digit from ground.
export function drawPlate(canvas, digit, kind) {
  const brush = canvas.getContext("2d");
  const size = canvas.width;
  const [figure, ground] = findColours(kind);
  brush.fillStyle = "#f4f2ee";
  brush.fillRect(0, 0, size, size);
  for (const { x, y, radius } of placeDots()) {
    const lightness = 0.6 + 0.75 * Math.random();
    const colour = (isInside(digit, x, y) ? figure : ground).map(value => toByte(value * lightness));
    brush.fillStyle = `rgb(${colour.join(" ")})`;
    brush.beginPath();
    brush.arc(x * size, y * size, radius * size, 0, 2 * Math.PI);
    brush.fill();
  }
}
