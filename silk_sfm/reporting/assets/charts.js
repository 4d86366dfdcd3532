// Summary, stages, histograms and settings.

function showSummary() {
  const s = DATA.summary;
  const tiles = [];
  const add = (label, value, more = "") => {
    tiles.push(el("div", {}, el("dt", {}, label), el("dd", {}, value, el("small", {}, more))));
  };
  if (s.registered === undefined) add("Images", number(s.images), " no model");
  else add("Registered", number(s.registered), ` of ${number(s.images)}`);
  if (s.points !== undefined) {
    add("Points", number(s.points));
    add("Track length", number(s.track_length, 2));
    add("Mean error", number(s.reprojection_px, 2), " px");
  }
  if (s.verified_pairs !== undefined) add("Pairs verified", number(s.verified_pairs), ` of ${number(s.pairs)}`);
  if (s.keypoints !== undefined) add("Keypoints each", number(s.keypoints / s.images));
  const stages = Object.values(DATA.run?.stages ?? {});
  const seconds = stages.map((stage) => stage.seconds).filter((value) => value !== null);
  if (seconds.length) add("Time", duration(seconds.reduce((a, b) => a + b)));
  const notices = [];
  const stopped = DATA.run?.stopped;
  if (stopped) {
    const stale = s.models.length && !stopped.startsWith("undistort");
    const older = stale ? " The model on this page is from an earlier run." : "";
    notices.push(el("p", { class: "notice bad" }, `The last run stopped in ${stopped.replace(/\.?$/, ".")}${older}`));
  }
  if (s.models.length > 1) {
    const sizes = `${s.models.length} models, of ${s.models.join(", ")} images`;
    const said = `The images fell into ${sizes}, that nothing ties together. This page shows the largest.`;
    notices.push(el("p", { class: "notice" }, said));
  }
  section("summary", "Summary", "", ...notices, el("dl", { class: "tiles" }, ...tiles));
}

function duration(seconds) {
  if (seconds < 120) return `${number(seconds, seconds < 10 ? 1 : 0)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function showStages() {
  const stages = Object.entries(DATA.run?.stages ?? {});
  if (!stages.length) return;
  const most = (name) => Math.max(...stages.map(([, stage]) => stage[name] ?? 0), 1e-9);
  const longest = most("seconds"), largest = most("peak_memory_mb");
  const rows = stages.map(([name, stage]) => el("tr", {},
    el("th", { scope: "row" }, name),
    el("td", {}, made(stage), el("span", { class: "muted" }, stage.kept ? " · kept from an earlier run" : "")),
    ...measured(stage.seconds, longest, "seconds", duration),
    ...measured(stage.peak_memory_mb, largest, "memory", (value) => `${number(value)} MB`)));
  const head = el("tr", {}, ...["Stage", "Made"].map((text) => el("th", { scope: "col" }, text)),
    ...["Time", "Peak memory"].map((text) => el("th", { scope: "colgroup", colspan: "2" }, text)));
  const table = el("table", {}, el("thead", {}, head), el("tbody", {}, ...rows));
  section("stages", "Stages", "what each step made and what it cost", el("div", { class: "card scroll" }, table));
}

/** A cell with a number and one with its bar; a dash when the number is not known. */
function measured(value, most, kind, shown) {
  if (value === null) return [el("td", { class: "number" }, "–"), el("td", {})];
  const bar = el("i", { style: `width:${(100 * value) / most}%` });
  return [el("td", { class: "number" }, shown(value)), el("td", { class: `bar ${kind}` }, bar)];
}

function made(stage) {
  const parts = [counted(stage.done + stage.reused, stage.items.replace(/s$/, ""), stage.items)];
  if (stage.reused && stage.done) parts.push(`${number(stage.reused)} of them reused`);
  if (stage.found) parts.push(`${number(stage.found)} ${stage.found_items}`);
  const skipped = Object.keys(stage.skipped).length;
  if (skipped) parts.push(`${number(skipped)} skipped`);
  return parts.join(", ");
}

const HISTOGRAMS = {
  reprojection: { title: "Reprojection errors of all observations", unit: "px", what: "observations", digits: 2 },
  tracks: { title: "Track lengths", unit: "images", what: "points", digits: 1 },
};

function showHistograms() {
  if (!DATA.histograms.length) return;
  const cards = DATA.histograms.map((one) => (
    el("div", { class: "card" }, el("h3", {}, HISTOGRAMS[one.kind].title), histogram(one))));
  const note = "how well points project, and how many images see each";
  section("histograms", "Accuracy and tracks", note, el("div", { class: "two" }, ...cards));
}

function histogram({ kind, edges, counts, mean, median, open_end }) {
  const { title, unit, what, digits } = HISTOGRAMS[kind];
  const [width, height, left, bottom, top] = [520, 250, 46, 36, 18];
  const first = edges[0], last = edges[edges.length - 1], most = Math.max(...counts, 1);
  const x = (value) => left + ((value - first) / (last - first)) * (width - left - 10);
  const y = (count) => height - bottom - (count / most) * (height - bottom - top);
  const bars = counts.map((count, i) => {
    const [start, end] = [x(edges[i]), x(edges[i + 1])], low = y(0), high = y(count);
    const range = binName(kind, edges, i, open_end && i === counts.length - 1);
    return svg("rect", { x: start + 0.5, y: high, width: Math.max(end - start - 1, 0.5), height: low - high, rx: 1.5 },
      svg("title", {}, `${range} ${unit}: ${number(count)} ${what}`));
  });
  const marks = ticks(first, last, kind === "tracks").map((value) => (
    svg("text", { x: x(value), y: height - bottom + 17, "text-anchor": "middle" }, String(value))));
  const levels = [0, most / 2, most].map((count) => svg("g", {},
    svg("line", { class: "axis", x1: left, x2: width - 10, y1: y(count), y2: y(count) }),
    svg("text", { x: left - 7, y: y(count) + 4, "text-anchor": "end" }, short(count))));
  const text = `mean ${number(mean, digits)}, median ${number(median, digits)} ${unit}`;
  const place = x(Math.min(mean, last));
  const note = place > width * 0.6 ? { x: place - 6, "text-anchor": "end" } : { x: place + 6 };
  const below = unit + (open_end ? "; the last bar holds all beyond" : "");
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${title}: ${text}` },
    ...levels, ...bars,
    svg("line", { class: "mean", x1: place, x2: place, y1: top - 12, y2: height - bottom }),
    svg("text", { ...note, y: top - 4 }, text), ...marks,
    svg("text", { x: (width + left) / 2, y: height - 3, "text-anchor": "middle" }, below));
}

function binName(kind, edges, i, open) {
  if (kind === "tracks") return `${edges[i] + 0.5}${open ? " or more" : ""}`;
  return open ? `${edges[i].toFixed(3)} or more` : `${edges[i].toFixed(3)} – ${edges[i + 1].toFixed(3)}`;
}

/** Round values inside a range, about six of them. */
function ticks(first, last, whole) {
  const rough = (last - first) / 6, power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max([1, 2, 5, 10].find((factor) => factor * power >= rough) * power, whole ? 1 : 0);
  const found = [];
  for (let count = Math.ceil(first / step); count * step <= last + step * 1e-6; count++) {
    found.push(+(count * step).toPrecision(6));
  }
  return found;
}

function short(count) {
  return Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 }).format(Math.round(count));
}

function showSettings() {
  const run = DATA.run;
  if (!run) return;
  const { command, program, photos, device } = run;
  const made = { ...(command && { command }), program, photos, device };
  const tables = Object.entries(run.recipe).map(([table, values]) => (
    folded(values.name ? `${table}: ${values.name}` : table, values)));
  section("settings", "How it was made", "", el("div", { class: "card" },
    folded("Run", made, ""), folded("Machine", run.machine), folded("Versions", run.libraries), ...tables));
}

function folded(title, values, open = null) {
  const lines = Object.entries(values).flatMap(([name, value]) => (
    [el("dt", {}, name.replaceAll("_", " ")), el("dd", {}, plain(value))]));
  return el("details", { open }, el("summary", {}, title), el("dl", { class: "settings" }, ...lines));
}

function plain(value) {
  if (value === null) return "not set";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
