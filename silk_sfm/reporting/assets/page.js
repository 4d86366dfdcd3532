// Reading the data, building elements. Data reaches the page as text nodes only, never as HTML.

const DATA = JSON.parse(document.getElementById("data").textContent);
const SVG = "http://www.w3.org/2000/svg";

/** A new element; children are elements or text, attributes with a null value are left out. */
function el(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** A typed array of base64; the bytes are little-endian, as those of all machines with a browser. */
function decoded(base64, Kind) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  return new Kind(bytes.buffer);
}

function number(value, digits = 0) {
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

function counted(count, one, many = one + "s") {
  return `${number(count)} ${count === 1 ? one : many}`;
}

/** Adds a section and its entry in the navigation; returns the section. */
function section(id, title, note, ...children) {
  const head = el("div", { class: "head" }, el("h2", {}, title));
  if (note) head.append(el("p", { class: "muted" }, note));
  const made = el("section", { id, "aria-label": title }, head, ...children);
  document.getElementById("content").append(made);
  document.getElementById("sections").append(el("a", { href: "#" + id }, title));
  return made;
}

const tip = document.getElementById("tip");

/** Shows what the pointer is on, beside it; `image` adds a thumbnail. */
function showTip(event, lines, image = null) {
  const [first, ...others] = lines;
  const thumbnail = image?.thumbnail ? el("img", { src: image.thumbnail.src, alt: "" }) : null;
  const spans = others.map((line) => el("span", {}, line));
  tip.replaceChildren(...[thumbnail, el("b", {}, first), ...spans].filter(Boolean));
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  const x = Math.min(event.clientX + 16, innerWidth - width - 8);
  const y = event.clientY + 18 + height > innerHeight ? event.clientY - height - 12 : event.clientY + 18;
  tip.style.transform = `translate(${Math.max(8, x)}px, ${Math.max(8, y)}px)`;
}

function hideTip() {
  tip.hidden = true;
}

const RAMP = [[140, 86, 190], [80, 112, 190], [33, 150, 150], [94, 201, 98], [253, 231, 37]];

/** Red, green and blue of a share in 0..1, from violet over green to yellow. */
function rampColour(share) {
  const place = Math.min(Math.max(share, 0), 1) * (RAMP.length - 1);
  const low = Math.min(Math.floor(place), RAMP.length - 2);
  return RAMP[low].map((value, i) => Math.round(value + (RAMP[low + 1][i] - value) * (place - low)));
}

function rampLegend(low, high, ...more) {
  const stops = RAMP.map((rgb) => `rgb(${rgb})`).join(",");
  const bar = el("i", { style: `background:linear-gradient(90deg,${stops})` });
  return el("p", { class: "legend" }, low, bar, high, ...more);
}

/** A canvas whose pixels are those of the screen; `draw(context, side)` draws it anew when it changes. */
function squareCanvas(label, draw) {
  const canvas = el("canvas", { class: "square", role: "img", "aria-label": label });
  const redraw = () => {
    const side = Math.round(canvas.clientWidth * devicePixelRatio);
    if (!side) return;
    canvas.width = canvas.height = side;
    draw(canvas.getContext("2d"), side);
  };
  new ResizeObserver(redraw).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  return { canvas, redraw };
}

function cssColour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
