// The grid of images, each with its keypoints and status, and the dialog about one image.

const ORDERS = {
  name: ["by name", (a, b) => a.index - b.index],
  observed: ["fewest points seen", (a, b) => (a.observed ?? -1) - (b.observed ?? -1)],
  keypoints: ["fewest keypoints", (a, b) => (a.keypoints ?? -1) - (b.keypoints ?? -1)],
  error: ["largest error", (a, b) => (b.error_px ?? -1) - (a.error_px ?? -1)],
};
const gallery = { status: null, search: "", order: "name", dots: true };
DATA.images.forEach((image, index) => { image.index = index; });

function showImages() {
  const grid = el("ul", { class: "grid" });
  const cards = DATA.images.map((image) => el("li", {}, card(image)));
  const count = el("p", { class: "muted", role: "status" });
  const update = () => {
    const wanted = DATA.images.filter((image) => (
      (!gallery.status || image.status === gallery.status) && image.name.toLowerCase().includes(gallery.search)));
    grid.replaceChildren(...wanted.sort(ORDERS[gallery.order][1]).map((image) => cards[image.index]));
    grid.classList.toggle("long", wanted.length > 60);
    count.textContent = wanted.length === DATA.images.length ? "" : `${number(wanted.length)} shown`;
  };
  const made = section("images", "Images", imagesNote(), imageTools(update, grid), count, grid);
  update();
  return made;
}

function imagesNote() {
  const hidden = DATA.n_unseen ? `; ${counted(DATA.n_unseen, "image")} without a thumbnail` : "";
  return `keypoints that see a point of the model in green, others in orange${hidden}`;
}

function imageTools(update, grid) {
  const orders = Object.entries(ORDERS).map(([value, [label]]) => el("option", { value }, label));
  const order = el("select", { "aria-label": "Order of the images" }, ...orders);
  order.addEventListener("change", () => { gallery.order = order.value; update(); });
  const search = el("input", { type: "search", placeholder: "Find by name", "aria-label": "Find images by name" });
  search.addEventListener("input", () => { gallery.search = search.value.toLowerCase(); update(); });
  const dots = el("input", { type: "checkbox", checked: "" });
  dots.addEventListener("change", () => {
    gallery.dots = dots.checked;
    const seen = [...grid.querySelectorAll("canvas")].filter((canvas) => canvas.width);
    for (const canvas of seen) drawDots(canvas, canvas.image);
  });
  return el("div", { class: "tools" }, ...statusButtons(update), el("span", { class: "space" }),
    el("label", {}, dots, "keypoints"), order, search);
}

/** One button for all images and one for each status that there is. */
function statusButtons(update) {
  const count = (status) => DATA.images.filter((image) => image.status === status).length;
  const kinds = Object.entries(DATA.statuses).map(([status, label]) => [status, label, count(status)]);
  const all = [[null, "All", DATA.images.length], ...kinds.filter(([, , n]) => n)];
  const buttons = all.map(([status, label, n]) => el("button", { type: "button", click: () => press(status) },
    `${label} ${number(n)}`));
  const press = (status) => {
    gallery.status = status;
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(all[i][0] === status)));
    update();
  };
  buttons[0].setAttribute("aria-pressed", "true");
  return buttons;
}

function card(image) {
  return el("button", { type: "button", class: "photo", click: () => showDetails(image) }, picture(image),
    el("span", { class: "words" }, el("b", {}, image.name), badge(image), el("span", { class: "muted" }, image.why)));
}

function badge(image) {
  return el("span", { class: "badge " + image.status }, DATA.statuses[image.status]);
}

/** Keypoints are drawn while the picture can be seen: a thousand canvases take a lot of memory. */
const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) drawDots(target, target.image);
    else target.width = target.height = 0;
  }
}, { rootMargin: "200px" });

function picture(image, large = false) {
  const box = el("span", { class: "picture" });
  if (!image.thumbnail) {
    box.append(el("span", { class: "none" }, "no picture"));
    return box;
  }
  const [width, height] = image.thumbnail.size;
  if (large) box.style.aspectRatio = `${width} / ${height}`;
  const alt = large ? `Photo ${image.name}` : "";
  box.append(el("img", { src: image.thumbnail.src, alt, loading: "lazy", decoding: "async" }));
  const canvas = el("canvas", { "aria-hidden": "true" });
  canvas.image = image;
  box.append(canvas);
  watcher.observe(canvas);
  return box;
}

function drawDots(canvas, image) {
  const { size: [width, height], dots, n_seeing } = image.thumbnail;
  const box = canvas.parentNode.getBoundingClientRect();
  const scale = Math.min(box.width / width, box.height / height) * devicePixelRatio;
  canvas.width = box.width * devicePixelRatio;
  canvas.height = box.height * devicePixelRatio;
  if (!gallery.dots || !canvas.width) return;
  image.dots ??= decoded(dots, Uint16Array);
  const context = canvas.getContext("2d");
  const radius = Math.max(0.9, box.width / 230) * devicePixelRatio;
  const left = (canvas.width - width * scale) / 2, top = (canvas.height - height * scale) / 2;
  for (let i = image.dots.length / 2 - 1; i >= 0; i--) {
    const x = left + (image.dots[2 * i] / 65535) * width * scale;
    const y = top + (image.dots[2 * i + 1] / 65535) * height * scale;
    context.fillStyle = i < n_seeing ? "#35e0b4" : "rgb(255 160 60 / 90%)";
    context.beginPath();
    context.arc(x, y, i < n_seeing ? radius : radius * 0.8, 0, 7);
    context.fill();
  }
}

function showDetails(image) {
  const dialog = document.getElementById("details");
  const facts = [];
  const add = (label, value) => facts.push(el("dt", {}, label), el("dd", {}, value));
  if (image.size) add("size", `${image.size[0]} × ${image.size[1]} px`);
  if (image.keypoints !== null) add("keypoints", number(image.keypoints));
  const n_drawn = image.thumbnail ? decoded(image.thumbnail.dots, Uint16Array).length / 2 : 0;
  if (n_drawn && n_drawn < image.keypoints) add("drawn here", `${number(n_drawn)} of them, chosen evenly`);
  if (image.observed !== null) add("see a point", number(image.observed));
  if (image.error_px !== null) add("reprojection error", `${number(image.error_px, 2)} px`);
  dialog.replaceChildren(
    el("div", { class: "head" }, el("h2", { id: "details-title" }, image.name),
      el("button", { type: "button", click: () => dialog.close() }, "Close")),
    picture(image, true), badge(image), el("p", {}, image.why),
    el("dl", { class: "settings" }, ...facts), neighbourTable(image) ?? "");
  dialog.showModal();
}

function neighbourTable(image) {
  const rows = neighbours(image.index).slice(0, 12);
  if (!rows.length) return null;
  const open = (other) => el("button", { type: "button", click: () => showDetails(other) }, other.name);
  const lines = rows.map(([other, inliers, tentative]) => el("tr", {},
    el("th", { scope: "row" }, open(DATA.images[other])),
    el("td", { class: "number" }, number(inliers)), el("td", { class: "number" }, number(tentative))));
  const head = el("tr", {}, ...["Verified with", "Inliers", "Matches"].map((text, i) => (
    el("th", { scope: "col", class: i ? "number" : null }, text))));
  return el("div", { class: "scroll" }, el("table", {}, el("thead", {}, head), el("tbody", {}, ...lines)));
}
