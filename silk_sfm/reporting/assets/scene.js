// The 3D model: points, cameras, orbit, zoom, names under the pointer. WebGL 2, nothing else.

const POINT_SHADER = `#version 300 es
in vec3 place; in vec3 colour;
uniform mat4 view; uniform vec3 origin, extent; uniform float size, most;
out vec3 tint;
void main() {
  gl_Position = view * vec4(origin + place * extent, 1.0);
  gl_PointSize = clamp(size / gl_Position.w, most * 0.12, most);
  tint = colour;
}`;
const DISC_SHADER = `#version 300 es
precision mediump float;
in vec3 tint; out vec4 pixel;
void main() {
  if (length(gl_PointCoord - 0.5) > 0.5) discard;
  pixel = vec4(tint, 1.0);
}`;
const LINE_SHADER = `#version 300 es
in vec3 place; in vec3 colour;
uniform mat4 view; uniform vec4 paint;
out vec4 tint;
void main() {
  gl_Position = view * vec4(place, 1.0);
  tint = paint.a > 0.0 ? paint : vec4(colour, 1.0);
}`;
const FLAT_SHADER = `#version 300 es
precision mediump float;
in vec4 tint; out vec4 pixel;
void main() { pixel = tint; }`;

const NO_WEBGL = "The 3D view needs WebGL 2, which this browser does not offer or has switched off. "
  + "Everything else on this page works without it.";
const FIELD_OF_VIEW = 0.6;
const PICK_PX = 16;
const CAMERA_COLOUR = [1, 0.667, 0.235], CHOSEN_COLOUR = [1, 1, 1];
const LINES_EACH = 16, CORNERS_EACH = 6;

const add = (a, b, factor = 1) => a.map((value, i) => value + factor * b[i]);
const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];

/** The cameras as lines and faces in world coordinates, and the two places that stand for each. */
function cameraShapes(scene) {
  const rows = decoded(scene.cameras, Float32Array);
  const lines = [], faces = [], places = [];
  for (let i = 0; i < rows.length; i += 14) {
    const apex = [...rows.slice(i, i + 3)], [wide, high] = rows.slice(i + 12, i + 14);
    const axis = [0, 3, 6].map((start) => [...rows.slice(i + 3 + start, i + 6 + start)]);
    const depth = scene.frustum / Math.max(wide, high, 0.6);
    const middle = add(apex, axis[2], depth);
    const corner = (x, y) => add(add(middle, axis[0], x * wide * depth), axis[1], y * high * depth);
    const [a, b, c, d] = [corner(-1, -1), corner(1, -1), corner(1, 1), corner(-1, 1)];
    lines.push(...[apex, a, apex, b, apex, c, apex, d, a, b, b, c, c, d, d, a].flat());
    faces.push(...[a, b, c, a, c, d].flat());
    places.push([apex, middle]);
  }
  return { lines: new Float32Array(lines), faces: new Float32Array(faces), places };
}

/** At most 2000 points, without the outermost ones along each axis: those decide the view. */
function innerPoints(scene) {
  const steps = decoded(scene.points, Uint16Array), every = 3 * Math.ceil(steps.length / 6000);
  let found = [];
  for (let i = 0; i < steps.length; i += every) {
    found.push(scene.origin.map((start, axis) => start + (steps[i + axis] / 65535) * scene.extent[axis]));
  }
  for (const axis of [0, 1, 2]) {
    const sorted = found.map((place) => place[axis]).sort((a, b) => a - b);
    const low = sorted[Math.floor(0.02 * sorted.length)], high = sorted[Math.ceil(0.98 * sorted.length) - 1];
    found = found.filter((place) => place[axis] >= low && place[axis] <= high);
  }
  return found;
}

/** Where the eye is: it turns around `target`, level with the world's up. */
class Eye {
  constructor(scene, shown) {
    Object.assign(this, { scene, shown, across: cross(scene.ahead, scene.up) });
    this.reset(1);
  }

  /** Looks where the cameras look, from behind and above; all cameras and most points are in view. */
  reset(aspect) {
    Object.assign(this, { yaw: 0, pitch: 0.42, target: [...this.scene.target], distance: 0 });
    this.center();
    this.distance = this.start = this.fitting(aspect);
  }

  /** Moves the target to the middle of what is seen, across the line of sight. */
  center() {
    const { right, upward } = this.axes();
    for (const axis of [right, upward]) {
      const places = this.shown.map((place) => dot(axis, place));
      const middle = (Math.min(...places) + Math.max(...places)) / 2;
      this.target = add(this.target, axis, middle - dot(axis, this.target));
    }
  }

  fitting(aspect) {
    const { right, upward, forward } = this.axes();
    const slope = 0.88 * Math.tan(FIELD_OF_VIEW / 2);
    return Math.max(...this.shown.map((place) => {
      const seen = add(place, this.target, -1);
      const beside = Math.abs(dot(seen, right)) / aspect, above = Math.abs(dot(seen, upward));
      return Math.max(beside, above) / slope - dot(seen, forward);
    }), this.scene.radius / 100);
  }

  axes() {
    const { up, ahead } = this.scene;
    const level = add(ahead.map((value) => value * Math.cos(this.yaw)), this.across, Math.sin(this.yaw));
    const forward = add(level.map((value) => value * Math.cos(this.pitch)), up, -Math.sin(this.pitch));
    const right = cross(level, up);
    return { right, upward: cross(right, forward), forward };
  }

  turn(x, y) {
    this.yaw -= x;
    this.pitch = Math.min(Math.max(this.pitch + y, -1.55), 1.55);
  }

  /** Moves by shares of the picture's height. */
  move(x, y) {
    const { right, upward } = this.axes();
    const scale = 2 * Math.tan(FIELD_OF_VIEW / 2) * this.distance;
    this.target = add(add(this.target, right, -x * scale), upward, y * scale);
  }

  zoom(factor) {
    this.distance = Math.min(Math.max(this.distance * factor, this.start / 500), this.start * 20);
  }

  /** World to clip space, column by column. */
  matrix(aspect) {
    const { right, upward, forward } = this.axes();
    const position = add(this.target, forward, -this.distance);
    const f = 1 / Math.tan(FIELD_OF_VIEW / 2), near = this.distance / 100, far = 60 * (this.distance + this.start);
    const p = (far + near) / (near - far), q = (2 * far * near) / (near - far);
    const back = forward.map((value) => -value);
    const column = (i) => [(f / aspect) * right[i], f * upward[i], p * back[i], -back[i]];
    const depth = -dot(back, position);
    const shift = [(-f / aspect) * dot(right, position), -f * dot(upward, position), p * depth + q, -depth];
    return new Float32Array([...column(0), ...column(1), ...column(2), ...shift]);
  }
}

/** Programs and buffers on the GPU; `paint` draws a frame. */
class Painter {
  constructor(gl, scene, shapes) {
    Object.assign(this, { gl, scene });
    this.points = program(gl, POINT_SHADER, DISC_SHADER);
    this.flat = program(gl, LINE_SHADER, FLAT_SHADER);
    const places = decoded(scene.points, Uint16Array);
    this.n_points = places.length / 3;
    const colours = decoded(scene.colours, Uint8Array);
    const attributes = { place: [places, gl.UNSIGNED_SHORT], colour: [colours, gl.UNSIGNED_BYTE] };
    this.cloud = vertices(gl, this.points, attributes);
    this.lines = vertices(gl, this.flat, { place: [shapes.lines, gl.FLOAT] });
    this.faces = vertices(gl, this.flat, { place: [shapes.faces, gl.FLOAT] });
    this.n_cameras = shapes.places.length;
    gl.enable(gl.DEPTH_TEST);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA);
  }

  paint(eye, { chosen, links, show_cameras, size }) {
    const { gl } = this, { drawingBufferWidth: width, drawingBufferHeight: height } = gl;
    const view = eye.matrix(width / height);
    gl.viewport(0, 0, width, height);
    gl.clearColor(0.067, 0.078, 0.102, 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    this.paintPoints(view, eye, size);
    gl.useProgram(this.flat);
    gl.uniformMatrix4fv(gl.getUniformLocation(this.flat, "view"), false, view);
    if (show_cameras) this.paintCameras(chosen);
    if (links) this.paintLinks(links);
  }

  paintPoints(view, eye, size) {
    const { gl, scene, points } = this;
    const covering = Math.sqrt((0.3 * gl.canvas.clientWidth * gl.canvas.clientHeight) / Math.max(this.n_points, 1));
    const diameter = Math.min(Math.max(covering, 1.8), 5) * devicePixelRatio * size;
    gl.useProgram(points);
    gl.uniformMatrix4fv(gl.getUniformLocation(points, "view"), false, view);
    gl.uniform3fv(gl.getUniformLocation(points, "origin"), scene.origin);
    gl.uniform3fv(gl.getUniformLocation(points, "extent"), scene.extent);
    gl.uniform1f(gl.getUniformLocation(points, "size"), diameter * eye.start);
    gl.uniform1f(gl.getUniformLocation(points, "most"), 12 * devicePixelRatio * Math.max(size, 1));
    gl.bindVertexArray(this.cloud);
    gl.drawArrays(gl.POINTS, 0, this.n_points);
  }

  paintCameras(chosen) {
    const { gl } = this;
    this.colour(CAMERA_COLOUR, 0.95);
    gl.bindVertexArray(this.lines);
    gl.drawArrays(gl.LINES, 0, LINES_EACH * this.n_cameras);
    gl.depthMask(false);
    this.colour(CAMERA_COLOUR, 0.16);
    gl.bindVertexArray(this.faces);
    gl.drawArrays(gl.TRIANGLES, 0, CORNERS_EACH * this.n_cameras);
    if (chosen !== null) {
      gl.disable(gl.DEPTH_TEST);
      this.colour(CHOSEN_COLOUR, 0.55);
      gl.drawArrays(gl.TRIANGLES, CORNERS_EACH * chosen, CORNERS_EACH);
      this.colour(CHOSEN_COLOUR, 1);
      gl.bindVertexArray(this.lines);
      gl.drawArrays(gl.LINES, LINES_EACH * chosen, LINES_EACH);
      gl.enable(gl.DEPTH_TEST);
    }
    gl.depthMask(true);
  }

  paintLinks(links) {
    const { gl } = this;
    const { places, colours } = links;
    const array = vertices(gl, this.flat, { place: [places, gl.FLOAT], colour: [colours, gl.UNSIGNED_BYTE] });
    this.colour([0, 0, 0], 0);
    gl.drawArrays(gl.LINES, 0, links.places.length / 3);
    gl.deleteVertexArray(array);
  }

  /** Paints in one colour; alpha 0 stands for the colours of the vertices. */
  colour(rgb, alpha) {
    this.gl.uniform4f(this.gl.getUniformLocation(this.flat, "paint"), ...rgb, alpha);
  }
}

function program(gl, vertex, fragment) {
  const made = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(made, shader);
  }
  gl.linkProgram(made);
  const linked = gl.getProgramParameter(made, gl.LINK_STATUS) || gl.isContextLost();
  if (!linked) throw new Error(gl.getProgramInfoLog(made));
  return made;
}

/** A vertex array of attributes with three components each; integers are shares of their largest value. */
function vertices(gl, made, attributes) {
  const array = gl.createVertexArray();
  gl.bindVertexArray(array);
  for (const [name, [values, type]] of Object.entries(attributes)) {
    const place = gl.getAttribLocation(made, name);
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
    gl.enableVertexAttribArray(place);
    gl.vertexAttribPointer(place, 3, type, type !== gl.FLOAT, 0, 0);
  }
  return array;
}

/** The view as a whole: canvas, pointer, keys. */
class SceneView {
  constructor(canvas, gl, scene, onChoice) {
    Object.assign(this, { canvas, scene, onChoice, chosen: null, links: null });
    Object.assign(this, { show_cameras: true, size: 1, asked: false, touched: false });
    this.shapes = cameraShapes(scene);
    this.eye = new Eye(scene, [...innerPoints(scene), ...this.shapes.places.flat()]);
    this.painter = new Painter(gl, scene, this.shapes);
    canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    canvas.addEventListener("webglcontextrestored", () => {
      this.painter = new Painter(gl, scene, this.shapes);
      this.draw();
    });
    new ResizeObserver(() => {
      canvas.width = Math.round(canvas.clientWidth * devicePixelRatio);
      canvas.height = Math.round(canvas.clientHeight * devicePixelRatio);
      if (!this.touched) this.reset();
      this.paint();
    }).observe(canvas);
    this.listen();
  }

  reset() {
    this.touched = false;
    this.eye.reset(this.canvas.clientWidth / this.canvas.clientHeight || 1);
  }

  draw() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => { this.asked = false; this.paint(); });
  }

  paint() {
    if (this.canvas.width && this.canvas.height) this.painter.paint(this.eye, this);
  }

  /** [x, y] on the canvas in CSS pixels; null behind the eye. */
  project([x, y, z]) {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const m = this.eye.matrix(width / height);
    const [a, b, , w] = [0, 1, 2, 3].map((row) => m[row] * x + m[4 + row] * y + m[8 + row] * z + m[12 + row]);
    return w > 0 ? [(a / w + 1) * 0.5 * width, (1 - b / w) * 0.5 * height] : null;
  }

  /** The camera nearest to a place on the canvas, null when none is near. */
  pick(x, y) {
    let best = null, least = PICK_PX;
    if (!this.show_cameras) return best;
    this.shapes.places.forEach((places, i) => places.forEach((place) => {
      const at = this.project(place);
      const distance = at ? Math.hypot(at[0] - x, at[1] - y) : Infinity;
      if (distance < least) [best, least] = [i, distance];
    }));
    return best;
  }

  choose(camera) {
    if (camera === this.chosen) return;
    this.chosen = camera;
    this.links = camera === null ? null : this.linksOf(camera);
    this.onChoice(camera);
    this.draw();
  }

  /** Lines from a camera to all that it is verified with. */
  linksOf(camera) {
    const cameraOf = new Map(this.scene.images.map((image, i) => [image, i]));
    const places = [], colours = [];
    for (const [other, inliers] of neighbours(this.scene.images[camera])) {
      if (!cameraOf.has(other)) continue;
      places.push(...this.shapes.places[camera][0], ...this.shapes.places[cameraOf.get(other)][0]);
      colours.push(...rampColour(strength(inliers)), ...rampColour(strength(inliers)));
    }
    return places.length ? { places: new Float32Array(places), colours: new Uint8Array(colours) } : null;
  }

  listen() {
    const { canvas, eye } = this, pointers = new Map();
    let moved = 0;
    canvas.addEventListener("pointerdown", (event) => {
      pointers.set(event.pointerId, event);
      moved = 0;
      canvas.setPointerCapture(event.pointerId);
      canvas.classList.add("turning");
    });
    canvas.addEventListener("pointermove", (event) => {
      const before = pointers.get(event.pointerId);
      if (!before) return this.hover(event);
      moved += Math.hypot(event.clientX - before.clientX, event.clientY - before.clientY);
      this.drag(event, before, pointers);
      pointers.set(event.pointerId, event);
      hideTip();
      return this.draw();
    });
    const release = (event) => { pointers.delete(event.pointerId); canvas.classList.remove("turning"); };
    canvas.addEventListener("pointerup", release);
    canvas.addEventListener("click", (event) => {
      if (moved >= 5) return;
      this.hover(event);  // a finger hovers over nothing before it taps
      this.open();
    });
    canvas.addEventListener("pointercancel", release);
    canvas.addEventListener("pointerleave", () => { hideTip(); if (!pointers.size) this.choose(null); });
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("dblclick", () => { this.reset(); this.draw(); });
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.touched = true;
      eye.zoom(Math.exp(Math.sign(event.deltaY) * Math.min(Math.abs(event.deltaY), 120) * 0.0016));
      hideTip();
      this.draw();
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;  // those are the browser's
      if (this.key(event.key)) event.preventDefault();
    });
  }

  /** One pointer turns, or moves with the right button or Shift; two move and zoom. */
  drag(event, before, pointers) {
    const { eye, canvas } = this, height = canvas.clientHeight;
    this.touched = true;
    const x = event.clientX - before.clientX, y = event.clientY - before.clientY;
    if (pointers.size === 2) {
      const other = [...pointers.values()].find((one) => one.pointerId !== event.pointerId);
      const apart = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
      eye.zoom(apart(before) / Math.max(apart(event), 1));
      eye.move(x / height / 2, y / height / 2);
    } else if (event.buttons & 2 || event.shiftKey) eye.move(x / height, y / height);
    else eye.turn((x / height) * 4, (y / height) * 3);
  }

  hover(event) {
    const box = this.canvas.getBoundingClientRect();
    this.choose(this.pick(event.clientX - box.left, event.clientY - box.top));
    if (this.chosen === null) return hideTip();
    const image = DATA.images[this.scene.images[this.chosen]];
    return showTip(event, [image.name, image.why], image);
  }

  /** The dialog about the chosen camera's image. */
  open() {
    if (this.chosen === null) return;
    hideTip();
    showDetails(DATA.images[this.scene.images[this.chosen]]);
  }

  key(key) {
    const { eye } = this, n = this.scene.images.length, at = this.chosen ?? -1;
    const does = {
      ArrowLeft: () => eye.turn(-0.1, 0),
      ArrowRight: () => eye.turn(0.1, 0),
      ArrowUp: () => eye.turn(0, 0.08),
      ArrowDown: () => eye.turn(0, -0.08),
      "+": () => eye.zoom(0.88),
      "-": () => eye.zoom(1.14),
      0: () => this.reset(),
      n: () => this.choose((at + 1) % n),
      p: () => this.choose((Math.max(at, 0) - 1 + n) % n),
      Enter: () => this.open(),
    }[key];
    this.touched = true;
    does?.();
    this.draw();
    return Boolean(does);
  }
}

/** Adds the section; returns the view, or null without a model or without WebGL. */
function showScene() {
  const scene = DATA.scene;
  if (!scene) return null;
  const n_points = decoded(scene.points, Uint16Array).length / 3;
  const holds = `${counted(scene.images.length, "camera")}, ${counted(n_points, "point")}`;
  const keys = "Arrow keys turn, plus and minus zoom, N and P go through the cameras, Enter opens one, 0 resets.";
  const label = `3D model: ${holds}. ${keys}`;
  const canvas = el("canvas", { tabindex: "0", role: "application", "aria-label": label });
  const gl = canvas.getContext("webgl2", { antialias: true });
  const stage = el("div", { class: "stage" });
  const hidden = scene.n_hidden ? `; ${number(scene.n_hidden)} more points are left out to keep this page small` : "";
  section("model", "Model", holds + hidden, stage);
  if (!gl) {
    stage.append(el("p", { class: "notice" }, NO_WEBGL));
    return null;
  }
  const chosen = el("p", { class: "chosen", "aria-live": "polite" });
  const view = new SceneView(canvas, gl, scene, (camera) => {
    chosen.textContent = camera === null ? "" : DATA.images[scene.images[camera]].name;
  });
  const hint = "drag to turn · right button or Shift to move · wheel to zoom · click a camera";
  stage.append(canvas, chosen, sceneTools(view), el("p", { class: "hint" }, hint));
  return view;
}

function sceneTools(view) {
  const button = (label, title, act) => (
    el("button", { type: "button", title, "aria-label": title, click: () => { act(); view.draw(); } }, label));
  const cameras = button("Cameras", "Show the cameras", () => {
    view.show_cameras = !view.show_cameras;
    cameras.setAttribute("aria-pressed", String(view.show_cameras));
  });
  cameras.setAttribute("aria-pressed", "true");
  const resize = (factor) => { view.size = Math.min(Math.max(view.size * factor, 0.2), 6); };
  return el("div", { class: "tools" }, cameras,
    button("●", "Larger points", () => resize(1.35)), button("•", "Smaller points", () => resize(1 / 1.35)),
    button("Reset", "Reset the view", () => view.reset()));
}

/** [x, y] in 0..1 of every image, seen from above; images without a camera stand in a row below. */
function placesFromAbove(scene) {
  const across = cross(scene.ahead, scene.up);
  const flat = cameraShapes(scene).places.map(([apex]) => [dot(apex, across), -dot(apex, scene.ahead)]);
  const ranges = [0, 1].map((k) => flat.map((place) => place[k])).map((all) => [Math.min(...all), Math.max(...all)]);
  const extent = Math.max(...ranges.map(([low, high]) => high - low), 1e-12);
  const placed = DATA.images.map(() => null);
  scene.images.forEach((image, i) => {
    placed[image] = ranges.map(([low, high], k) => 0.5 + (0.84 * (flat[i][k] - (low + high) / 2)) / extent);
  });
  const outside = placed.flatMap((place, i) => (place ? [] : [i]));
  outside.forEach((image, i) => { placed[image] = [(i + 1) / (outside.length + 1), 0.98]; });
  return placed;
}
