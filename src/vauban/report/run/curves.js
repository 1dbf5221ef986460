"use strict";
(() => {
  const data = JSON.parse(document.getElementById("chart-data").textContent);
  const root = document.getElementById("charts");
  const state = { norm: data.norms[0]?.id, log: false, hidden: new Set(), off: new Set() };
  const KINDS = {
    characteristic: { title: "Operating characteristic", y: "success", note: "Colours are attacks, line styles are threats. Share of the correctly classified images broken within a distance, by attack. Higher is a stronger attack." },
    budget: { title: "Robust accuracy against budget", y: "robust accuracy", note: "Over all images. The wide gray line is the worst case over the attacks of this panel; every line is an upper bound." },
    cost: { title: "Gradients against distortion", y: "median distance", note: "Gradients per image against the median distance over the correctly classified images. Lower left is a better attack; at the top edge, more than half of the images were not broken." },
  };
  const M = { left: 46, right: 14, top: 12, bottom: 36 };
  let W = 360, H = 240; // the size of a panel on this screen, so that text keeps its size
  const DASHES = ["", "7 3", "2 3", "10 3 2 3", "5 2", "1 2"];
  // Colours are given out among the attacks of the norm on show; after eight they are mixed with the ink. Dashes are threats.
  const seriesOf = (key) => new Set(data.panels.filter((p) => p.norm === state.norm).flatMap((p) => p.series.map((s) => s[key])));
  let order = [];
  const colour = (i) => {
    if (i < 0) return "var(--ink)";
    const at = order.indexOf(i), base = `var(--s${at % 8})`;
    return at < 8 ? base : `color-mix(in srgb, ${base} ${at < 16 ? 55 : 30}%, var(--ink))`;
  };
  const dash = (t) => (t < 0 ? "" : DASHES[t % DASHES.length]);
  const visible = (s) => s.attack < 0 || !(state.hidden.has(s.attack) || state.off.has(s.threat));
  const percent = (v) => (100 * v).toFixed(1) + "\u00a0%";
  const short = (v) => (v === 0 ? "0" : Math.abs(v) >= 1e4 ? v.toExponential(0) : String(+v.toPrecision(3)));

  function html(name, parent, attributes = {}, text) {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    parent?.append(node);
    return node;
  }
  function svg(name, parent, attributes = {}, text) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    parent?.append(node);
    return node;
  }

  function swatch(parent, stroke, dashes) {
    const line = svg("svg", parent, { class: "swatch", viewBox: "0 0 20 3", "aria-hidden": "true" });
    svg("line", line, { x1: 0, x2: 20, y1: 1.5, y2: 1.5, "stroke-width": 3, stroke, "stroke-dasharray": dashes });
  }

  // The numbers of a panel as a file; a text that starts like a formula gets a quote, or a spreadsheet would run it.
  function csv(panel, kind) {
    const text = (v) => (typeof v !== "string" ? v ?? "" : `"${(/^[=+@-]/.test(v) ? "'" : "") + v.replaceAll('"', '""')}"`);
    const cost = kind === "cost", y = cost ? "median_distance" : kind === "budget" ? "robust_accuracy" : "p_suc";
    const lines = [["model", "defence", "data", "norm", "series", "attack", "threat", ...(cost ? ["gradients", y, "queries"] : ["distance", y])]];
    for (const s of panel.series) {
      const who = [panel.model, panel.defence, panel.data, panel.norm, s.label, data.attacks[s.attack] ?? "", data.threats[s.threat] ?? ""];
      if (cost) lines.push([...who, s.x, s.y ?? "inf", s.queries]);
      else s.x.forEach((v, i) => lines.push([...who, v, s.y[i]]));
    }
    return lines.map((line) => line.map(text).join(",")).join("\n") + "\n";
  }

  // A distance in L-infinity reads as a fraction of 255.
  const distance = (panel, v) => (panel.norm === "linf" && v > 0 && v <= 0.25 ? +(v * 255).toFixed(1) + "/255" : short(v));

  // Panels of one norm share their axes, or they could not be compared.
  const panelsOf = (kind) => data.panels.filter((p) => p.kind === kind && p.norm === state.norm);
  const largest = (kind, key) => Math.max(...panelsOf(kind).flatMap((p) => p.series.flatMap((s) => s[key] ?? 0)), 1e-9);
  const smallest = (kind, key) => Math.min(...panelsOf(kind).flatMap((p) => p.series.flatMap((s) => s[key])).filter((v) => v > 0), 1e9);

  function ticks(low, high, log) {
    if (log) {
      const all = [];
      for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++) for (const m of [1, 2, 5]) all.push(m * 10 ** e);
      const inside = all.filter((v) => v >= low * 0.999 && v <= high * 1.001);
      return inside.length > 6 ? inside.filter((v) => Math.abs(Math.log10(v) % 1) < 1e-6) : inside;
    }
    const raw = (high - low) / 5, unit = 10 ** Math.floor(Math.log10(raw));
    const step = unit * [1, 2, 5, 10].find((m) => m * unit >= raw);
    const out = [];
    for (let v = Math.ceil(low / step) * step; v <= high * 1.0001; v += step) out.push(v);
    return out;
  }
  function gridTicks(high) {
    const step = [1, 2, 4, 8, 16, 32, 64].find((s) => (high * 255) / s <= 6) || 64;
    return Array.from({ length: Math.floor((high * 255) / step) + 1 }, (_, i) => (i * step) / 255);
  }
  function scale(low, high, from, to, log) {
    const f = log ? Math.log10 : (v) => v;
    const map = (v) => from + ((f(Math.max(v, log ? low : -Infinity)) - f(low)) / (f(high) - f(low) || 1)) * (to - from);
    map.invert = (p) => { const u = f(low) + ((p - from) / (to - from)) * (f(high) - f(low)); return log ? 10 ** u : u; };
    return map;
  }

  // The value of a step curve: the last point at or before x.
  function valueAt(series, x) {
    let low = 0, high = series.x.length - 1;
    if (!series.x.length || x < series.x[0]) return null;
    while (low < high) { const middle = (low + high + 1) >> 1; if (series.x[middle] <= x) low = middle; else high = middle - 1; }
    return series.y[low];
  }

  function frame(parent, panel, kind, x, y, xticks, yticks, ytext, xtext) {
    const label = `${KINDS[kind].title}, ${panel.model}, ${panel.defence}. Arrow keys move the read-out.`;
    const chart = svg("svg", parent, { viewBox: `0 0 ${W} ${H}`, height: H, tabindex: "0", role: "img", "aria-label": label });
    for (const v of yticks) {
      svg("line", chart, { class: "grid", x1: M.left, x2: W - M.right, y1: y(v), y2: y(v) });
      svg("text", chart, { x: M.left - 6, y: y(v) + 4, "text-anchor": "end" }, ytext(v));
    }
    for (const v of xticks) {
      const anchor = x(v) > W - 30 ? "end" : "middle";
      svg("text", chart, { x: Math.min(x(v), W - 1), y: H - M.bottom + 15, "text-anchor": anchor }, xtext(v));
    }
    svg("line", chart, { class: "axis", x1: M.left, x2: W - M.right, y1: H - M.bottom, y2: H - M.bottom });
    const unit = kind === "cost" ? "gradients per image" : `${panel.unit} distance`;
    svg("text", chart, { x: W - M.right, y: H - 3, "text-anchor": "end" }, unit);
    return chart;
  }

  function readout(panel, box, chart, lines, place) {
    box.replaceChildren();
    for (const [series, text, value] of lines) {
      if (series === null) { html("b", box, {}, text); continue; }
      const line = html("div", box);
      swatch(line, colour(series.attack), dash(series.threat));
      html("span", line, {}, text);
      html("span", line, {}, value);
    }
    box.hidden = false;
    const width = chart.clientWidth, left = (place / W) * width;
    const at = left > width / 2 ? left - box.offsetWidth - 12 : left + 12;
    box.style.left = Math.max(0, Math.min(at, width - box.offsetWidth)) + "px";
    box.style.top = chart.getBoundingClientRect().top - box.offsetParent.getBoundingClientRect().top + 12 + "px";
  }

  // Pointer, touch and arrow keys drive the same read-out.
  function interactive(chart, box, show, hide) {
    let at = M.left + (W - M.left - M.right) / 2;
    const move = (p) => { at = Math.max(M.left, Math.min(W - M.right, p)); show(at); };
    const point = (event) => { const r = chart.getBoundingClientRect(); move(((event.clientX - r.left) / r.width) * W); };
    const leave = () => { box.hidden = true; hide(); };
    chart.addEventListener("pointermove", point);
    chart.addEventListener("pointerdown", point);
    chart.addEventListener("pointerleave", leave);
    chart.addEventListener("blur", leave);
    chart.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -6, ArrowRight: 6, PageUp: -40, PageDown: 40 }[event.key];
      if (event.key === "Escape") leave();
      else if (by) { event.preventDefault(); move(at + by); }
    });
  }

  function curves(parent, panel, kind) {
    const shown = panel.series.filter(visible);
    const high = 1.03 * largest(kind, "x"), low = state.log ? Math.min(smallest(kind, "x"), high / 10) : 0;
    const x = scale(low, high, M.left, W - M.right, state.log), y = scale(0, 1, H - M.bottom, M.top, false);
    const xticks = panel.norm === "linf" && !state.log && high <= 0.6 ? gridTicks(high) : ticks(low, high, state.log);
    const chart = frame(parent, panel, kind, x, y, xticks, [0, 0.25, 0.5, 0.75, 1], (v) => 100 * v + "\u00a0%", (v) => distance(panel, v));
    // The worst case is a wide band below the lines, or it would hide the attack that sets it.
    for (const s of [...shown].sort((a, b) => a.attack - b.attack)) {
      let path = "", last = null;
      s.x.forEach((v, i) => {
        if (s.y[i] === null) return;
        path += last === null ? `M${x(v).toFixed(1)} ${y(s.y[i]).toFixed(1)}` : `H${x(v).toFixed(1)}V${y(s.y[i]).toFixed(1)}`;
        last = s.y[i];
      });
      if (last !== null && s.x.length) path += `H${W - M.right}`;
      svg("path", chart, { class: s.attack < 0 ? "line worst" : s.doubted ? "line doubted" : "line", d: path || "M0 0", stroke: colour(s.attack), "stroke-dasharray": dash(s.threat) });
    }
    const cursor = svg("line", chart, { class: "cursor", y1: M.top, y2: H - M.bottom, visibility: "hidden" });
    const box = html("div", parent, { class: "tip", role: "status" });
    box.hidden = true;
    interactive(chart, box, (p) => {
      const v = x.invert(p);
      cursor.setAttribute("x1", p); cursor.setAttribute("x2", p); cursor.setAttribute("visibility", "visible");
      const values = shown.map((s) => [s, s.label, valueAt(s, v)]).filter((line) => line[2] !== null);
      values.sort((a, b) => b[2] - a[2]);
      readout(panel, box, chart, [[null, `${panel.unit} ${distance(panel, v)}`], ...values.map(([i, l, u]) => [i, l, percent(u)])], p);
    }, () => cursor.setAttribute("visibility", "hidden"));
  }

  // The shape of a mark says the threat, as the dashes of a line do.
  const mark_of = [
    (chart, x, y, mark) => svg("circle", chart, { cx: x, cy: y, r: 5, ...mark }),
    (chart, x, y, mark) => svg("rect", chart, { x: x - 4.5, y: y - 4.5, width: 9, height: 9, ...mark }),
    (chart, x, y, mark) => svg("path", chart, { d: `M${x} ${y - 6}L${x + 6} ${y}L${x} ${y + 6}L${x - 6} ${y}Z`, ...mark }),
    (chart, x, y, mark) => svg("path", chart, { d: `M${x} ${y - 6}L${x + 5.5} ${y + 4}H${x - 5.5}Z`, ...mark }),
  ];
  function costs(parent, panel, kind) {
    const shown = panel.series.filter((s) => visible(s) && s.x !== null);
    const high = 1.1 * largest(kind, "y"), most = Math.max(largest(kind, "x"), 10) * 1.5;
    // Zero has no logarithm: attacks without gradients stand at the left edge.
    const x = scale(0.5, most, M.left + 8, W - M.right, true), y = scale(0, high, H - M.bottom, M.top + 12, false);
    const yticks = panel.norm === "linf" && high <= 0.6 ? gridTicks(high) : ticks(0, high, false);
    const xticks = [0.5, ...ticks(1, most, true).filter((v) => Math.abs(Math.log10(v) % 1) < 1e-6)];
    const chart = frame(parent, panel, kind, x, y, xticks, yticks, (v) => distance(panel, v), (v) => (v < 1 ? "0" : short(v)));
    const points = shown.map((s) => ({ s, px: x(Math.max(s.x, 0.5)), py: s.y === null ? M.top : y(s.y) }));
    if (points.some((p) => p.s.y === null)) svg("text", chart, { x: M.left - 6, y: M.top + 4, "text-anchor": "end" }, "∞");
    const taken = points.map((p) => ({ left: p.px - 6, right: p.px + 6, y: p.py, of: p.s }));
    for (const { s, px, py } of points) {
      const mark = { class: s.doubted ? "doubted" : "", fill: s.y === null ? "var(--paper)" : colour(s.attack), stroke: colour(s.attack), "stroke-width": 2 };
      mark_of[s.threat % mark_of.length](chart, px, py, mark);
      // A name that would cover another mark, or seem to belong to it, is left to the read-out.
      const name = data.attacks[s.attack], width = 6.2 * name.length;
      const covers = (left, t) => left - 14 < t.right && left + width + 14 > t.left && Math.abs(py - t.y) < 12 && t.of !== s;
      for (const left of [px + 9, px - 9 - width]) {
        const free = left > M.left && left + width < W && !taken.some((t) => covers(left, t));
        if (!free) continue;
        taken.push({ left, right: left + width, y: py, of: s });
        svg("text", chart, { class: "mark", x: left, y: py + 4 }, name);
        break;
      }
    }
    const box = html("div", parent, { class: "tip", role: "status" });
    box.hidden = true;
    interactive(chart, box, (p) => {
      const near = points.reduce((a, b) => (a && Math.abs(a.px - p) <= Math.abs(b.px - p) ? a : b), null);
      if (!near) return;
      const s = near.s, far = s.y === null ? "∞" : distance(panel, s.y);
      readout(panel, box, chart, [[null, s.label], [s, "median distance", far], [s, "gradients", short(s.x)], [s, "queries", short(s.queries)]], near.px);
    }, () => {});
  }

  function choice(bar, text, pressed, act) {
    const button = html("button", bar, { type: "button", class: "choice", "aria-pressed": String(pressed) }, text);
    button.addEventListener("click", () => { act(); draw(text); });
  }
  function toolbar() {
    const bar = html("div", root, { class: "toolbar", role: "group", "aria-label": "Chart options" });
    for (const norm of data.norms) choice(bar, norm.name, state.norm === norm.id, () => { state.norm = norm.id; });
    choice(bar, "log distance", state.log, () => { state.log = !state.log; });
    html("span", bar, { class: "gap" });
    for (const i of order) toggle(bar, data.attacks[i], state.hidden, i, colour(i), "");
    if (data.threats.length < 2) return;
    html("span", bar, { class: "gap" });
    const shown = seriesOf("threat");
    data.threats.forEach((name, t) => { if (shown.has(t)) toggle(bar, name, state.off, t, "var(--ink)", dash(t)); });
  }
  function toggle(bar, name, hidden, i, stroke, dashes) {
    const on = !hidden.has(i);
    const button = html("button", bar, { type: "button", "aria-pressed": String(on) });
    swatch(button, stroke, dashes);
    html("span", button, {}, name);
    button.addEventListener("click", () => { if (on) hidden.add(i); else hidden.delete(i); draw(name); });
  }
  function draw(focus) {
    root.replaceChildren();
    if (!data.panels.length) { html("p", root, {}, "No curves yet."); return; }
    const shown = seriesOf("attack");
    order = data.attacks.map((_, i) => i).filter((i) => shown.has(i));
    toolbar();
    for (const kind of Object.keys(KINDS)) {
      html("h3", root, {}, KINDS[kind].title);
      html("p", root, { class: "note" }, KINDS[kind].note);
      const panels = panelsOf(kind), room = root.clientWidth;
      const wanted = panels.length === 1 ? 1 : panels.length % 3 && panels.length < 5 ? 2 : 3;
      const columns = Math.max(1, Math.min(wanted, Math.floor((room + 32) / 332)));
      const grid = html("div", root, { class: "multiples", style: `grid-template-columns:repeat(${columns},minmax(0,1fr))` });
      W = (room - 32 * (columns - 1)) / columns;
      H = W > 700 ? 340 : 240;
      const several = new Set(data.panels.map((p) => p.data)).size > 1;
      for (const panel of panels) {
        const box = html("div", grid, { class: "panel" });
        const who = `${panel.model} · ${panel.defence === "none" ? "undefended" : panel.defence}`;
        const head = html("h4", box, {}, several ? `${who} · ${panel.data}` : who);
        const name = `${kind}-${panel.norm}-${panel.model}-${panel.defence}`.replace(/[^\w.-]+/g, "_");
        const file = "data:text/csv;charset=utf-8," + encodeURIComponent(csv(panel, kind));
        html("a", head, { download: `${name}.csv`, href: file, "aria-label": `${KINDS[kind].title}, ${who}, as CSV` }, "CSV");
        (kind === "cost" ? costs : curves)(box, panel, kind);
      }
    }
    // Redrawing must not lose the keyboard's place.
    if (focus) [...root.querySelectorAll("button")].find((b) => b.textContent === focus)?.focus();
  }
  draw();
  let width = root.clientWidth, timer;
  addEventListener("resize", () => {
    clearTimeout(timer);
    timer = setTimeout(() => { if (root.clientWidth !== width) { width = root.clientWidth; draw(); } }, 150);
  });
})();
