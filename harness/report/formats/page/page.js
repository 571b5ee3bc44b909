// What moves on the page: axes of plots, sorting, filters, rows that open. It draws as `svg.py` does, computes no
// statistics, and makes elements of texts, never markup. With scripts off the page stands as it was written.
"use strict";
(() => {
  const DATA = JSON.parse(document.getElementById("rows").textContent);
  const [LETTER, LINE, R, LONGEST] = [7, 15, 5, 34];
  const WORDS = { higher: " (more is better)", lower: " (less is better)", neither: "" };
  const AXES = { update: "training updates", epoch: "epochs", seconds: "seconds of training, evaluation excluded" };
  const ARROWS = { higher: " ↑", lower: " ↓", neither: "" };
  const GROUPS = ["scores", "memory", "time", "operations", "sizes", "other"];

  // --- elements ---------------------------------------------------------------------------------------------------

  function fill(node, attributes, children) {
    for (const [name, value] of Object.entries(attributes || {})) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value === true) node.setAttribute(name, "");
      else if (value !== false && value != null) node.setAttribute(name, value);
    }
    node.append(...children.flat(Infinity).filter((each) => each != null && each !== false));
    return node;
  }
  const el = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);
  const svgEl = (name, attributes, ...children) =>
    fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

  function choose(words, options, value, change) {
    const box = el("select", { onchange: () => change(box.value) },
      options.map((each) => el("option", { value: each, selected: each === value }, each)));
    return el("label", {}, words, box);
  }
  function tick(words, value, change) {
    const box = el("input", { type: "checkbox", onchange: () => change(box.checked) });
    box.checked = value;
    return el("label", {}, box, words);
  }

  // --- numbers ----------------------------------------------------------------------------------------------------

  const MEAN = 0, N = 1, RATIO = 2, LOW = 3, HIGH = 4, APART = 5, SEEDS = 6, AT_LEAST = 7;
  const has = (cell) => Array.isArray(cell) && cell[MEAN] != null;

  function format(value, [divisor, , decimals]) {
    const scaled = value / divisor, size = Math.abs(scaled);
    if (decimals == null || size >= 1e12 || (size && size < 1e-9)) return String(Number(scaled.toPrecision(4)));
    const needed = size ? 1 - Math.floor(Math.log10(size)) : 0;
    return scaled.toFixed(Math.min(12, Math.max(decimals, needed)));
  }
  const ratio = (value) => `${value < 0.1 ? Number(value.toPrecision(2)) : value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)}x`;
  function say(cell, scale) {
    if (!has(cell)) return "–";
    const ends = cell[LOW] == null ? "" : ` (${format(cell[LOW], scale)} to ${format(cell[HIGH], scale)})`;
    return `${cell[AT_LEAST] ? "≥ " : ""}${format(cell[MEAN], scale)} ${scale[1]}`.trimEnd() + `${ends}, n=${cell[N]}`;
  }
  const cellOf = (table, row, name) => row.cells[table.names.indexOf(name)];
  const shorten = (name, most = LONGEST) =>
    name.length <= most ? name : `${name.slice(0, Math.floor(most / 2) - 1)}…${name.slice(-Math.floor(most / 2))}`;

  // --- plots ------------------------------------------------------------------------------------------------------

  function makeScale(points, place, log, start, end) {
    const values = points.flatMap((p) => [p[place], p[2 + 2 * place], p[3 + 2 * place]])
      .filter((each) => each != null && (!log || each > 0));
    let low = values.length ? Math.min(...values) : 1, high = values.length ? Math.max(...values) : 1;
    const margin = log ? Math.max((high / low) ** 0.06, 1.05) : (high - low) * 0.06 || Math.abs(high) * 0.05 || 1;
    [low, high] = log ? [low / margin, high * margin] : [low - margin, high + margin];
    const f = log ? Math.log10 : (each) => each;
    const at = (value) => start + ((f(value) - f(low)) / (f(high) - f(low))) * (end - start);
    return { low, high, start, end, log, at, within: (value) => (log ? Math.max(value, low) : value) };
  }
  function ticks({ low, high, log }) {
    const held = (value) => low <= value && value <= high;
    if (log && high / low > 8) {
      const steps = high / low > 1e4 ? [1] : high / low > 80 ? [1, 3] : [1, 2, 5], found = [];
      for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++)
        for (const step of steps) found.push(step * 10 ** power);
      return found.filter(held);
    }
    const span = (high - low) / 5, power = 10 ** Math.floor(Math.log10(span));
    const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= span * (1 - 1e-9));
    const first = Math.ceil(low / step);
    return Array.from({ length: 12 }, (_, place) => (first + place) * step).filter(held);
  }
  const short = (value) => String(Number(value.toPrecision(6)));

  function mark(kind, a, b, r) {
    if (kind === 0) return `M${a - r} ${b}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0z`;
    const t = r * 1.2, s = r * 0.9;
    const corners = [null, [[-s, -s], [s, -s], [s, s], [-s, s]], [[0, -t], [t, s], [-t, s]],
      [[0, -t], [t, 0], [0, t], [-t, 0]], [[0, t], [t, -s], [-t, -s]],
      [[-2, -t], [2, -t], [2, -2], [t, -2], [t, 2], [2, 2], [2, t], [-2, t], [-2, 2], [-t, 2], [-t, -2], [-2, -2]]];
    return `M${corners[kind].map(([right, down]) => `${(a + right).toFixed(1)} ${(b + down).toFixed(1)}`).join("L")}z`;
  }

  function draw(figure, canvas, label, height = 440) {
    const width = Math.max(300, Math.round(canvas.clientWidth)), narrow = width < 560;
    const points = figure.series.flatMap((series) => series.points);
    canvas.replaceChildren();
    if (!points.length) {
      canvas.append(el("p", { class: "note" }, "No method has both of these."));
      return;
    }
    const lines = figure.series.some((series) => series.line);
    const longest = Math.max(...figure.series.map((series) => shorten(series.name).length));
    const right = lines ? Math.min(width * 0.3, 14 + LETTER * longest) : 16;
    if (narrow) height = Math.min(height, 360);
    const x = makeScale(points, 0, figure.x.log, 62, width - right), y = makeScale(points, 1, figure.y.log, height - 44, 34);
    const root = svgEl("svg", { class: "plot", viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": label });
    const add = (name, attributes, ...children) => root.append(svgEl(name, attributes, ...children));
    for (const value of ticks(y)) {
      add("path", { class: "grid", d: `M${x.start} ${y.at(value)}H${x.end}` });
      add("text", { class: "tick", x: x.start - 8, y: y.at(value), dy: ".32em", "text-anchor": "end" }, short(value));
    }
    add("path", { class: "axis", d: `M${x.start} ${y.start}H${x.end}` });
    let last = -Infinity;
    for (const value of ticks(x)) {
      const at = x.at(value);
      add("path", { class: "axis", d: `M${at} ${y.start}v4` });
      if (at - last <= 40) continue;
      last = at;
      add("text", { class: "tick", x: at, y: y.start + 17, "text-anchor": "middle" }, short(value));
    }
    add("text", { class: "name", x: 8, y: 16 }, figure.y.label);
    add("text", { class: "name", x: lines && narrow ? width - 4 : x.end, y: y.start + 36, "text-anchor": "end" }, figure.x.label);
    const front = points.filter((point) => point[6] === 1).map((p) => [x.at(p[0]), y.at(p[1])]).sort((p, q) => p[0] - q[0]);
    if (figure.front && front.length > 1)
      add("path", { class: "front", d: `M${front[0].join(" ")}${front.slice(1).map(([a, b]) => `H${a}V${b}`).join("")}` });
    for (const series of figure.series) root.append(drawSeries(series, x, y));
    (lines ? labelEnds : labelPoints)(figure, x, y, width, add);
    canvas.append(root);
    explain(root, canvas);
  }

  function drawSeries(series, x, y) {
    const group = svgEl("g", {
      class: `s${series.muted ? " muted" : ""} d${series.dash || 0}`, style: `--k:var(--c${series.key % 8})`,
    });
    const { points, line } = series, places = points.map((p) => [x.at(p[0]), y.at(p[1])]);
    if (line && points.some((p) => p[4] != null)) {
      const end = (p, place) => `${x.at(p[0])} ${y.at(y.within(p[place] ?? p[1]))}`;
      const outline = [...points.map((p) => end(p, 5)), ...points.map((p) => end(p, 4)).reverse()];
      group.append(svgEl("path", { class: "band", d: `M${outline.join("L")}Z` }));
    }
    if (line) group.append(svgEl("path", { class: "line", d: `M${places.map((p) => p.join(" ")).join("L")}` }));
    points.forEach((p, place) => {
      if (line && points.length >= 13) return;
      const [a, b] = places[place];
      const point = svgEl("g", { class: `pt${["", " best", " apart"][p[6]]}`, role: "img", "aria-label": p[8], tabindex: -1 });
      if (!line && p[2] != null) point.append(svgEl("path", { class: "err", d: `M${x.at(x.within(p[2]))} ${b}H${x.at(p[3])}` }));
      if (!line && p[4] != null) point.append(svgEl("path", { class: "err", d: `M${a} ${y.at(y.within(p[4]))}V${y.at(p[5])}` }));
      point.append(svgEl("path", { class: "mk", d: mark(series.key % 6, a, b, line ? 3 : R) }));
      group.append(point);
    });
    return group;
  }

  function labelPoints(figure, x, y, width, add) {
    const points = figure.series.flatMap((series) => series.points), places = points.map((p) => [x.at(p[0]), y.at(p[1])]);
    const taken = places.map(([a, b]) => [a - R - 1, b - R - 1, a + R + 1, b + R + 1]);
    const free = (box) => taken.every((o) => box[2] < o[0] || o[2] < box[0] || box[3] < o[1] || o[3] < box[1]);
    const order = points.map((_, place) => place).sort((p, q) => (points[p][6] !== 1) - (points[q][6] !== 1));
    for (const place of order) {
      const text = shorten(points[place][7]), [a, b] = places[place], length = text.length * LETTER;
      for (const [dx, dy, anchor] of [[9, 4, 0], [-9, 4, 1], [0, -10, 0.5], [0, 19, 0.5], [8, -8, 0], [8, 16, 0], [-8, -8, 1], [-8, 16, 1]]) {
        const left = a + dx - anchor * length, box = [left, b + dy - 11, left + length, b + dy + 3];
        if (left > x.start && left + length < x.end + 12 && box[1] > 24 && box[3] < y.start && free(box)) {
          taken.push(box);
          add("text", { class: points[place][6] === 1 ? "lab best" : "lab", x: left, y: b + dy }, text);
          break;
        }
      }
    }
  }

  function labelEnds(figure, x, y, width, add) {
    const named = figure.series.filter((series) => !series.muted && series.points.length);
    const end = (series) => y.at(series.points.at(-1)[1]);
    named.sort((p, q) => end(p) - end(q));
    const heights = spread(named.map(end), y.end, y.start), most = Math.max(8, Math.floor((width - x.end - 14) / LETTER));
    named.forEach((series, place) => {
      const from = x.at(series.points.at(-1)[0]) + 4;
      const d = `M${from} ${end(series)}L${x.end + 8} ${heights[place]}`;
      add("path", { class: "lead", style: `--k:var(--c${series.key % 8})`, d });
      add("text", { class: "lab", x: x.end + 11, y: heights[place], dy: ".32em" }, shorten(series.name, most));
    });
  }
  function spread(heights, top, bottom) {
    const moved = [];
    for (const height of heights) moved.push(Math.max(height, moved.length ? moved.at(-1) + LINE : top));
    let limit = Math.max(bottom, top + LINE * (moved.length - 1));
    for (let place = moved.length - 1; place >= 0; place--) {
      moved[place] = Math.min(moved[place], limit);
      limit = moved[place] - LINE;
    }
    return moved;
  }

  // A point says what it is when it is pointed at or reached; one of them is in the order of Tab, arrows lead on.
  function explain(root, canvas) {
    const points = $$(".pt", root), tip = el("div", { class: "tip", hidden: true, "aria-hidden": "true" });
    canvas.append(tip);
    const hide = () => { tip.hidden = true; };
    const show = (point) => {
      tip.textContent = point.getAttribute("aria-label");
      tip.hidden = false;
      const box = point.querySelector(".mk").getBoundingClientRect(), own = canvas.getBoundingClientRect();
      const left = Math.min(Math.max(0, box.left - own.left + 14), Math.max(0, own.width - tip.offsetWidth));
      const above = box.top - own.top - tip.offsetHeight - 8;
      tip.style.left = `${left}px`;
      tip.style.top = `${above > 0 ? above : box.bottom - own.top + 8}px`;
    };
    points.forEach((point, place) => {
      if (!place) point.setAttribute("tabindex", 0);
      for (const [name, act] of [["mouseenter", show], ["focus", show], ["mouseleave", hide], ["blur", hide]])
        point.addEventListener(name, () => act(point));
      point.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        if (event.key === "Escape") hide();
        if (!step) return;
        event.preventDefault();
        const next = points[(place + step + points.length) % points.length];
        point.setAttribute("tabindex", -1);
        next.setAttribute("tabindex", 0);
        next.focus();
      });
    });
  }

  const drawn = [];
  function keepDrawn(canvas, redraw) {
    let width = 0;
    const again = () => {
      if (canvas.clientWidth && canvas.clientWidth !== width) { width = canvas.clientWidth; redraw(); }
    };
    drawn.push(again);
    again();
  }
  let waiting = 0;
  addEventListener("resize", () => { cancelAnimationFrame(waiting); waiting = requestAnimationFrame(() => drawn.forEach((each) => each())); });

  const axis = (name, scale, log) => ({ label: `${name}${scale[1] ? ` [${scale[1]}]` : ""}${WORDS[DATA.metrics[name][0]]}`, log });
  const ends = (cell, scale) => [cell[LOW], cell[HIGH]].map((each) => (each == null ? null : each / scale[0]));

  function tradeoff(figure) {
    const table = DATA.tables[figure.dataset.table], canvas = figure.querySelector(".canvas");
    const state = { score: table.axes[0], cost: table.axes[1], x: null, y: false };
    const make = () => {
      const { score, cost } = state, scales = [table.scales[cost], table.scales[score]], front = table.fronts[`${score}|${cost}`];
      const series = [];
      table.rows.forEach((row, place) => {
        const cells = [cellOf(table, row, cost), cellOf(table, row, score)];
        if (!cells.every(has)) return;
        const apart = cells[1][APART] || cells[0][APART], kind = apart ? 2 : front.includes(place) ? 1 : 0;
        const said = `${row.name}: ${say(cells[1], scales[1])}; ${say(cells[0], scales[0])}${apart ? `; not compared: ${apart}` : ""}`;
        const point = [cells[0][MEAN] / scales[0][0], cells[1][MEAN] / scales[1][0], ...ends(cells[0], scales[0]),
          ...ends(cells[1], scales[1]), kind, row.name, said];
        series.push({ name: row.name, key: row.key, line: false, points: [point] });
      });
      const spans = [0, 1].map((place) => series.map((each) => each.points[0][place]));
      const positive = spans.map((each) => each.length > 0 && Math.min(...each) > 0);
      const wide = positive[0] && Math.max(...spans[0]) / Math.min(...spans[0]) > 12;
      const log = { x: positive[0] && (state.x ?? wide), y: positive[1] && state.y };
      draw({ x: axis(cost, scales[0], log.x), y: axis(score, scales[1], log.y), front: true, series }, canvas,
        `${score} against ${cost} on ${table.dataset}`);
      behind(figure, ["method", score, cost, "Pareto front"], table.rows.map((row, place) => {
        const cells = [cellOf(table, row, score), cellOf(table, row, cost)];
        const apart = cells.map((cell) => (has(cell) ? cell[APART] : cell)).find(Boolean);
        const which = front.includes(place) ? "yes" : apart ? `not compared: ${apart}` : "no";
        return [row.name, say(cells[0], scales[1]), say(cells[1], scales[0]), which];
      }));
      return log;
    };
    const change = (name) => (value) => { state[name] = value; if (name === "cost") state.x = null; boxes(make()); };
    const boxes = (log) => {
      $$("input", figure).forEach((box, place) => { box.checked = place ? log.y : log.x; });
    };
    figure.querySelector(".controls").append(
      choose("score", table.scores, state.score, change("score")), choose("cost", table.costs, state.cost, change("cost")),
      tick("logarithmic cost", false, change("x")), tick("logarithmic score", false, change("y")));
    keepDrawn(canvas, () => boxes(make()));
  }

  function behind(figure, heads, lines) {
    const table = figure.querySelector(".behind table");
    table.tHead.replaceChildren(el("tr", {}, heads.map((head) => el("th", { scope: "col" }, head))));
    table.tBodies[0].replaceChildren(...lines.map(([name, ...texts]) =>
      el("tr", {}, el("th", { scope: "row", class: "m" }, name), texts.map((text) => el("td", {}, text)))));
  }

  function curveSeries(rows, score, name) {
    const place = Object.keys(AXES).indexOf(name), seen = {};
    const series = rows.filter((row) => row.curves && row.curves[score]).map((row) => {
      const curve = row.curves[score];
      const points = curve[3].map((mean, n) => {
        const band = curve[4] && curve[4][n] != null ? [curve[4][n], curve[5][n]] : [null, null];
        const said = band[0] == null ? "" : ` (${short(band[0])} to ${short(band[1])})`;
        return [curve[place][n], mean, null, null, ...band, 0, "", `${row.name}: ${score} ${short(mean)}${said} at ${name} ${short(curve[place][n])}`];
      });
      return { name: row.name, key: row.key, line: true, points };
    });
    const sign = DATA.metrics[score][0] === "higher" ? -1 : 1;
    const ranked = [...series].sort((p, q) => sign * (p.points.at(-1)[1] - q.points.at(-1)[1]));
    ranked.forEach((each, rank) => {
      each.muted = rank >= 8;
      each.dash = seen[each.key % 8] = ((seen[each.key % 8] ?? -1) + 1) % 4;
    });
    const kept = new Set(ranked.slice(0, 48));
    return series.filter((each) => kept.has(each)).sort((p, q) => q.muted - p.muted);
  }
  function curves(figure) {
    const table = DATA.tables[figure.dataset.table], canvas = figure.querySelector(".canvas");
    const state = { score: table.curves[0], axis: "update", log: false };
    const make = () => {
      const series = curveSeries(table.rows, state.score, state.axis);
      const log = state.log && series.every((each) => each.points.every((point) => point[1] > 0));
      const y = { label: `validation ${state.score}${WORDS[DATA.metrics[state.score][0]]}`, log };
      draw({ x: { label: AXES[state.axis], log: false }, y, front: false, series }, canvas,
        `validation ${state.score} during training on ${table.dataset}`);
      const said = (point) => point[8].slice(point[8].indexOf(": ") + 2);
      behind(figure, ["method", "points", "first", "last"], series.map((each) =>
        [each.name, String(each.points.length), said(each.points[0]), said(each.points.at(-1))]));
    };
    const change = (name) => (value) => { state[name] = value; make(); };
    figure.querySelector(".controls").append(
      choose("score", table.curves, state.score, change("score")), choose("along", Object.keys(AXES), state.axis, change("axis")),
      tick("logarithmic score", false, change("log")));
    keepDrawn(canvas, make);
  }

  // --- tables -----------------------------------------------------------------------------------------------------

  function results(part) {
    const table = DATA.tables[part.dataset.table], grid = part.querySelector(".grid");
    const body = grid.tBodies[0], head = grid.tHead.rows[0];
    const rows = [...body.rows].map((line, place) => ({ line, row: table.rows[place], place, detail: null }));
    const names = [...table.shown];
    const width = () => head.cells.length;

    const sorters = [(each) => each.row.name, (each) => each.row.seeds.filter((seed) => seed[1] === "ok").length,
      (each) => each.line.cells[2].textContent];
    function sort(cell, value) {
      const up = cell.getAttribute("aria-sort") !== "ascending";
      for (const each of head.cells) each.removeAttribute("aria-sort");
      cell.setAttribute("aria-sort", up ? "ascending" : "descending");
      const known = rows.map((each) => [value(each), each]);
      const compare = (p, q) => (typeof p === "string" ? p.localeCompare(q, undefined, { numeric: true }) : p - q);
      known.sort(([p, one], [q, other]) => p == null || q == null ? (p == null) - (q == null) || one.place - other.place
        : (up ? 1 : -1) * compare(p, q) || one.place - other.place);
      body.append(...known.flatMap(([, each]) => [each.line, each.detail].filter(Boolean)));
    }
    const valueOf = (name) => (each) => { const cell = cellOf(table, each.row, name); return has(cell) ? cell[MEAN] : null; };
    function sortable(cell, value) {
      const button = el("button", { type: "button", onclick: () => sort(cell, value) });
      button.append(...cell.childNodes);
      cell.append(button);
    }
    [...head.cells].forEach((cell, place) => sortable(cell, sorters[place] || valueOf(cell.dataset.name)));

    function addColumn(name) {
      const scale = table.scales[name];
      const cell = el("th", { scope: "col", "data-name": name }, name + ARROWS[DATA.metrics[name][0]], scale[1] && el("small", {}, scale[1]));
      sortable(cell, valueOf(name));
      head.append(cell);
      names.push(name);
      for (const { line, row } of rows) {
        const found = cellOf(table, row, name);
        const below = has(found) ? [found[LOW] == null ? "" : `${format(found[LOW], scale)} to ${format(found[HIGH], scale)}`,
          found[RATIO] == null ? "" : ratio(found[RATIO])].filter(Boolean).join(" · ") : "";
        line.append(el("td", { class: has(found) && found[APART] ? "apart" : null, title: has(found) ? null : found },
          has(found) ? `${found[AT_LEAST] ? "≥ " : ""}${format(found[MEAN], scale)}` : "–", below && el("small", {}, below)));
      }
    }
    function toggle(group, on) {
      for (const name of table.names)
        if (on && !names.includes(name) && DATA.metrics[name][2] === group) addColumn(name);
      [...head.cells].forEach((cell, place) => {
        if (place < 3 || DATA.metrics[cell.dataset.name][2] !== group) return;
        for (const line of [head, ...rows.map((each) => each.line)]) line.cells[place].hidden = !on;
      });
      for (const { detail } of rows) if (detail) detail.cells[0].colSpan = width();
    }
    const there = new Set(table.names.map((name) => DATA.metrics[name][2]));
    const boxes = GROUPS.filter((group) => there.has(group)).map((group) => {
      const shown = table.shown.some((name) => DATA.metrics[name][2] === group);
      const more = table.names.filter((name) => DATA.metrics[name][2] === group && !table.shown.includes(name)).length;
      const box = tick(shown || !more ? group : `${group} (${more})`, shown, (on) => toggle(group, on));
      return box;
    });
    const every = el("button", { type: "button", onclick: () => {
      for (const name of table.names) if (!names.includes(name)) addColumn(name);
      for (const group of there) toggle(group, true);
      $$("input", part.querySelector(".controls")).forEach((box) => { box.checked = true; });
      every.remove();
    } }, `all ${table.names.length} columns`);
    part.querySelector(".controls").append(...boxes, table.names.length > names.length ? every : "");

    for (const each of rows) {
      const cell = each.line.cells[0], name = cell.textContent;
      const button = el("button", { type: "button", "aria-expanded": "false", onclick: () => open(each, button) }, el("span", { class: "m" }, name));
      cell.replaceChildren(button);
    }
    function open(each, button) {
      if (each.detail) {
        each.detail.remove();
        each.detail = null;
      } else {
        each.detail = el("tr", { class: "detail" }, el("td", { colspan: width() }, describe(table, each.row, names)));
        each.detail.hidden = each.line.hidden;
        each.line.after(each.detail);
        const canvas = each.detail.querySelector(".canvas");
        if (canvas) keepDrawn(canvas, () => drawOwn(table, each.row, canvas));
      }
      button.setAttribute("aria-expanded", String(Boolean(each.detail)));
    }
    return (text, status) => {
      let left = 0;
      for (const each of rows) {
        const bad = each.row.seeds.some((seed) => seed[1] !== "ok") || each.row.lacking;
        const kept = each.row.name.toLowerCase().includes(text) && (status === "every row" || (status === "all trials ok") === !bad);
        each.line.hidden = !kept;
        if (each.detail) each.detail.hidden = !kept;
        left += kept;
      }
      part.hidden = Boolean(text) && !left;
      return left;
    };
  }

  function drawOwn(table, row, canvas) {
    const score = table.curves.find((name) => row.curves[name]);
    const y = { label: `validation ${score}`, log: false };
    draw({ x: { label: AXES.update, log: false }, y, front: false, series: curveSeries([row], score, "update") }, canvas,
      `validation ${score} of ${row.name}`, 260);
  }

  function describe(table, row, names) {
    const heads = ["seed", "status", ...names, "finished", "record"];
    const holes = new Map();
    const seeds = row.seeds.map(([seed, status, key, finished, reason], place) => {
      const values = names.map((name) => {
        const cell = cellOf(table, row, name);
        if (!has(cell) || status !== "ok") return "–";
        const value = cell[SEEDS] ? cell[SEEDS][place] : cell[MEAN];
        return value == null ? "–" : `${format(value, table.scales[name])} ${table.scales[name][1]}`.trimEnd();
      });
      return el("tr", {}, el("th", { scope: "row" }, String(seed)), el("td", {}, reason ? `${status}: ${reason}` : status),
        values.map((value) => el("td", {}, value)), el("td", {}, finished || "–"), el("td", {}, el("code", {}, key || "–")));
    });
    for (const name of table.names) {
      const cell = cellOf(table, row, name), why = has(cell) ? cell[APART] : cell;
      if (why) holes.set(why, [...(holes.get(why) || []), name]);
    }
    const copy = el("button", { type: "button", onclick: () => navigator.clipboard.writeText(row.command).then(
      () => { copy.textContent = "copied"; }, () => { copy.textContent = "select it to copy"; }) }, "copy");
    const traces = row.seeds.filter((seed) => seed[5]).map((seed) =>
      [el("h4", {}, `Where seed ${seed[0]} ended`), el("pre", { tabindex: 0 }, seed[5])]);
    const logs = row.seeds.filter((seed) => seed[6]).map((seed) =>
      [el("h4", {}, `What seed ${seed[0]} printed last`), el("pre", { tabindex: 0 }, seed[6])]);
    return el("div", { class: "inner" },
      row.choice && el("p", {}, row.choice),
      el("h4", {}, "Seeds"),
      el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `Seeds of ${row.name}` }, el("table", { class: "plain num seeds" },
        el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col" }, head)))), el("tbody", {}, seeds))),
      row.lacking && el("p", {}, `Without a record: seed ${row.lacking}.`),
      holes.size > 0 && [el("h4", {}, "Missing or not compared"), el("ul", { class: "footnotes" },
        [...holes].map(([why, own]) => el("li", {}, `${own.length > 6 ? `${own.slice(0, 5).join(", ")} and ${own.length - 5} more` : own.join(", ")}: ${why}`)))],
      row.curves && table.curves.some((name) => row.curves[name]) && [el("h4", {}, "Learning curve"), el("div", { class: "canvas" })],
      traces,
      logs,
      list("Options", row.options), list("Facts stated by the method", row.facts),
      row.command && [el("h4", {}, "Run it again"), el("pre", { tabindex: 0 }, row.command), copy]);
  }
  function list(words, part) {
    const values = part ? { ...DATA.shared[part.of], ...part.own } : {};
    for (const name of (part && part.less) || []) delete values[name];
    const entries = Object.entries(values);
    return entries.length > 0 && [el("h4", {}, words), el("dl", { class: "facts columns" },
      entries.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))))];
  }

  // --- beginning --------------------------------------------------------------------------------------------------

  function theme() {
    const root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)");
    const isDark = () => (root.dataset.theme || (dark.matches ? "dark" : "light")) === "dark";
    const button = el("button", { type: "button", class: "theme", onclick: () => { root.dataset.theme = isDark() ? "light" : "dark"; name(); } });
    const name = () => { button.textContent = isDark() ? "Light" : "Dark"; button.setAttribute("aria-label", `Change to ${isDark() ? "light" : "dark"} colours`); };
    name();
    dark.addEventListener("change", name);
    document.querySelector("header").append(button);
  }
  function filters(parts) {
    const status = ["every row", "all trials ok", "some trial not ok"], state = { text: "", status: status[0] };
    const said = el("output", { class: "note" });
    const act = () => {
      const left = parts.reduce((sum, filter) => sum + filter(state.text, state.status), 0);
      said.textContent = state.text || state.status !== status[0] ? `${left} row${left === 1 ? "" : "s"}` : "";
    };
    const box = el("input", { type: "search", placeholder: "part of a name", oninput: () => { state.text = box.value.trim().toLowerCase(); act(); } });
    document.getElementById("filters").append(el("label", {}, "methods", box),
      choose("show", status, state.status, (value) => { state.status = value; act(); }), said);
  }

  theme();
  if (DATA.tables.length) filters($$(".results").map(results));
  $$("figure.tradeoff").forEach(tradeoff);
  $$("figure.curves").forEach(curves);
  $$("figure.sweep").forEach((figure, place) => {
    const canvas = figure.querySelector(".canvas"), label = canvas.firstElementChild.getAttribute("aria-label");
    keepDrawn(canvas, () => draw(DATA.sweeps[place], canvas, label, 340));
  });
})();
