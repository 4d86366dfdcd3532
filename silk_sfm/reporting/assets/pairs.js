// Which images match which: graph, matrix and pictures.

const MOST_EDGES = 12000;
const MOST_CELLS = 500;
const PAIRS = DATA.pairs && {
  first: decoded(DATA.pairs.first, Uint32Array), second: decoded(DATA.pairs.second, Uint32Array),
  inliers: decoded(DATA.pairs.inliers, Uint32Array), tentative: decoded(DATA.pairs.tentative, Uint32Array),
};

/** [image, inliers, matches] of all that an image is verified with, the best first. */
function neighbours(index) {
  const found = [];
  for (let row = 0; PAIRS && row < PAIRS.first.length; row++) {
    if (PAIRS.first[row] === index) found.push([PAIRS.second[row], PAIRS.inliers[row], PAIRS.tentative[row]]);
    else if (PAIRS.second[row] === index) found.push([PAIRS.first[row], PAIRS.inliers[row], PAIRS.tentative[row]]);
  }
  return found;
}

/** How strong so many inliers are, 0..1: differences between few count as much as between many. */
function strength(inliers) {
  return Math.log(inliers / PAIRS.lowest + 1e-9) / Math.log(Math.max(PAIRS.highest / PAIRS.lowest, 1.001));
}

function showPairs(cameraPlaces) {
  if (!PAIRS || !DATA.summary.pairs) return;
  PAIRS.highest = PAIRS.inliers[0] ?? 1;
  PAIRS.lowest = PAIRS.inliers[PAIRS.inliers.length - 1] ?? 1;
  const { verified_pairs, pairs, inliers } = DATA.summary, { n_left_out } = DATA.pairs;
  const left_out = n_left_out ? `; the ${number(n_left_out)} weakest are not on this page` : "";
  const note = `${number(verified_pairs)} of ${counted(pairs, "pair")} verified, ${number(inliers)} inliers${left_out}`;
  section("pairs", "Matches", note, el("div", { class: "two" }, graphCard(cameraPlaces), matrixCard()));
}

function graphCard(cameraPlaces) {
  const graph = { places: circle(), chosen: null };
  const shown = Math.min(PAIRS.first.length, MOST_EDGES);
  const label = `Match graph: ${counted(DATA.images.length, "image")}, ${counted(PAIRS.first.length, "verified pair")}`;
  const { canvas, redraw } = squareCanvas(label, (context, side) => drawGraph(context, side, graph, shown));
  canvas.addEventListener("pointermove", (event) => {
    const nearest = nearestPlace(event, canvas, graph.places);
    if (nearest === null) hideTip();
    else nodeTip(event, DATA.images[nearest]);
    if (nearest !== graph.chosen) { graph.chosen = nearest; redraw(); }
  });
  canvas.addEventListener("pointerleave", () => { hideTip(); graph.chosen = null; redraw(); });
  canvas.addEventListener("click", () => { if (graph.chosen !== null) showDetails(DATA.images[graph.chosen]); });
  const tools = el("div", { class: "tools" }, el("h3", {}, "Match graph"), el("span", { class: "space" }));
  if (cameraPlaces) {
    const layout = el("select", { "aria-label": "Layout of the match graph" },
      el("option", { value: "circle" }, "in a circle"), el("option", { value: "map" }, "where the cameras stand"));
    layout.addEventListener("change", () => {
      graph.places = layout.value === "map" ? cameraPlaces() : circle();
      redraw();
    });
    tools.append(layout);
  }
  const less = shown < PAIRS.first.length ? `; the ${number(shown)} strongest pairs are drawn` : "";
  const legend = rampLegend(number(PAIRS.lowest), `${number(PAIRS.highest)} inliers${less}`);
  return el("div", { class: "card" }, tools, canvas, legend);
}

function nodeTip(event, image) {
  const partners = counted(neighbours(image.index).length, "image");
  showTip(event, [image.name, `${DATA.statuses[image.status]}; verified with ${partners}`], image);
}

/** [x, y] in 0..1 of every image, in the order of their names, clockwise from the top. */
function circle() {
  const step = (2 * Math.PI) / DATA.images.length;
  return DATA.images.map((_, i) => [0.5 + 0.46 * Math.sin(step * i), 0.5 - 0.46 * Math.cos(step * i)]);
}

function drawGraph(context, side, { places, chosen }, shown) {
  const dot = Math.max(1, Math.min(7, 110 / DATA.images.length)) * devicePixelRatio;
  for (let row = shown - 1; row >= 0; row--) drawEdge(context, side, places, row, chosen === null ? 1 : 0.25);
  for (let row = shown - 1; chosen !== null && row >= 0; row--) {
    if (PAIRS.first[row] === chosen || PAIRS.second[row] === chosen) drawEdge(context, side, places, row, 4);
  }
  DATA.images.forEach((image, i) => {
    context.fillStyle = cssColour(image.status === "registered" ? "--ink" : "--red");
    context.beginPath();
    context.arc(places[i][0] * side, places[i][1] * side, i === chosen ? dot * 1.8 : dot, 0, 7);
    context.fill();
  });
}

function drawEdge(context, side, places, row, emphasis) {
  const share = strength(PAIRS.inliers[row]);
  const crowd = Math.min(1, 60 / Math.sqrt(PAIRS.first.length));
  context.strokeStyle = `rgb(${rampColour(share)})`;
  context.globalAlpha = Math.min(1, (0.5 + 0.4 * share) * crowd * emphasis);
  context.lineWidth = (1.2 + 1.8 * share) * devicePixelRatio;
  context.beginPath();
  context.moveTo(places[PAIRS.first[row]][0] * side, places[PAIRS.first[row]][1] * side);
  context.lineTo(places[PAIRS.second[row]][0] * side, places[PAIRS.second[row]][1] * side);
  context.stroke();
  context.globalAlpha = 1;
}

function nearestPlace(event, canvas, places) {
  const box = canvas.getBoundingClientRect();
  const x = (event.clientX - box.left) / box.width, y = (event.clientY - box.top) / box.height;
  let best = null, least = 14 / box.width;
  places.forEach((place, i) => {
    const distance = Math.hypot(place[0] - x, place[1] - y);
    if (distance < least) [best, least] = [i, distance];
  });
  return best;
}

function matrixCard() {
  const n = DATA.images.length;
  const cells = new Map();
  const vain = DATA.pairs.in_vain && decoded(DATA.pairs.in_vain, Uint8Array);
  const inVain = (a, b) => Boolean(vain && vain[(a * n + b) >> 3] & (128 >> ((a * n + b) & 7)));
  PAIRS.first.forEach((a, row) => {
    cells.set(a * n + PAIRS.second[row], row).set(PAIRS.second[row] * n + a, row);
  });
  const label = `Match matrix: ${n} by ${n} images, coloured by inliers`;
  const canvas = el("canvas", { class: "square matrix", role: "img", "aria-label": label });
  const draw = () => drawMatrix(canvas, n, inVain);
  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  canvas.addEventListener("pointerleave", hideTip);
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    const cell = (offset) => Math.min(n - 1, Math.max(0, Math.floor((offset / box.width) * n)));
    const a = cell(event.clientY - box.top), b = cell(event.clientX - box.left);
    if (a === b) return hideTip();
    const what = pairText(cells.get(a * n + b), inVain(a, b));
    return showTip(event, [`${DATA.images[a].name} – ${DATA.images[b].name}`, what]);
  });
  const swatch = el("span", { class: "swatch", style: "background:var(--line)" });
  const tools = el("div", { class: "tools" }, el("h3", {}, "Match matrix"), el("span", { class: "space" }),
    el("span", { class: "muted" }, "images by name"));
  const legend = rampLegend(number(PAIRS.lowest), `${number(PAIRS.highest)} inliers`, swatch, "tried, not verified");
  return el("div", { class: "card" }, tools, canvas, legend);
}

function pairText(row, tried) {
  if (row === undefined) return tried ? "tried, not verified" : "no verified matches";
  return `${number(PAIRS.inliers[row])} inliers of ${counted(PAIRS.tentative[row], "match", "matches")}`;
}

/** Each cell has the colour of its strongest pair; of many images, several share a cell. */
function drawMatrix(canvas, n, inVain) {
  const side = Math.min(n, MOST_CELLS);
  canvas.width = canvas.height = side;
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(side, side);
  const cell = (image) => Math.floor((image * side) / n);
  const paint = (a, b, rgb) => pixels.data.set([...rgb, 255], 4 * (cell(a) * side + cell(b)));
  const faint = rgbOf(cssColour("--line")), diagonal = rgbOf(cssColour("--muted"));
  for (let a = 0; a < n; a++) {
    for (let b = 0; DATA.pairs.in_vain && b < n; b++) if (inVain(a, b)) paint(a, b, faint);
  }
  for (let a = 0; a < n; a++) paint(a, a, diagonal);
  for (let row = PAIRS.first.length - 1; row >= 0; row--) {  // the strongest pair comes last
    const rgb = rampColour(strength(PAIRS.inliers[row]));
    paint(PAIRS.first[row], PAIRS.second[row], rgb);
    paint(PAIRS.second[row], PAIRS.first[row], rgb);
  }
  context.putImageData(pixels, 0, 0);
}

function rgbOf(hex) {
  return [1, 3, 5].map((start) => parseInt(hex.slice(start, start + 2), 16));
}

function showPictures() {
  if (!DATA.pictures.length) return;
  const words = { most: "Most inliers", fewest: "Fewest inliers" };
  const figures = DATA.pictures.map((one) => {
    const counts = `${number(one.inliers)} of ${counted(one.tentative, "match", "matches")} verified`;
    const alt = `Verified matches between ${one.first} and ${one.second}`;
    return el("figure", { class: "card" }, el("img", { src: one.src, loading: "lazy", alt }),
      el("figcaption", {}, el("b", {}, `${words[one.rank]}: `), `${one.first} – ${one.second}, ${counts}`));
  });
  section("pictures", "Pairs", "the best and the weakest verified ones", el("div", { class: "pairs" }, ...figures));
}
