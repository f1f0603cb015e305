"use strict";
// Draws the plots of a report from the JSON in #data: bands, runs, the doctor's marks, and a reading under the pointer.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const hidden = new Set();
  const views = [];
  const H = 216, LEFT = 54, RIGHT = 12, TOP = 20, BOTTOM = 24;

  const theme = wanted => { root.dataset.theme = wanted; };
  const dark = matchMedia("(prefers-color-scheme: dark)");
  theme(dark.matches ? "dark" : "light");
  dark.addEventListener("change", event => theme(event.matches ? "dark" : "light"));
  document.getElementById("theme").addEventListener("click", () => theme(root.dataset.theme === "dark" ? "light" : "dark"));
  let shown = null, folded = [];
  addEventListener("beforeprint", () => {
    shown = root.dataset.theme;
    theme("light");
    folded = [...document.querySelectorAll("details:not([open])")];
    for (const each of folded) each.open = true;
  });
  addEventListener("afterprint", () => {
    if (shown) theme(shown);
    for (const each of folded) each.open = false;
  });

  const element = (name, attributes, text) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const colour = place => `--c:var(--c${place % 8})`;
  const plain = (value, digits) => value.toPrecision(digits).replace(/\.?0+($|e)/, "$1");
  const minus = text => text.replace(/-/g, "−");
  function number(value) {
    if (value === null || !isFinite(value)) return "–";
    const size = Math.abs(value);
    if (size >= 1e6) return minus(plain(value / 1e6, 4) + "M");
    if (size >= 1e4) return minus(Math.round(value).toLocaleString("en-US"));
    if (size !== 0 && size < 1e-3) return minus(value.toExponential(1));
    return minus(plain(value, 4));
  }
  function tick(value) {
    const size = Math.abs(value);
    if (size >= 1e6) return minus(plain(value / 1e6, 3) + "M");
    if (size >= 1e3) return minus(plain(value / 1e3, 3) + "k");
    if (size !== 0 && size < 1e-3) return minus(value.toExponential(0));
    return minus(String(Number(value.toPrecision(4))));
  }
  function niceStep(rough) {
    const power = 10 ** Math.floor(Math.log10(rough));
    return [1, 2, 5, 10].map(f => f * power).find(step => step >= rough * (1 - 1e-9));
  }
  function quantile(sorted, share) {
    return sorted[Math.min(sorted.length - 1, Math.max(0, Math.round(share * (sorted.length - 1))))];
  }
  function range(panel, curves) {
    const runs = [], bands = [];
    for (const curve of curves) {
      for (const run of curve.runs) runs.push(...run.filter(v => v !== null));
      bands.push(...curve.value.filter(v => v !== null));
    }
    runs.sort((a, b) => a - b);
    let low = Math.min(quantile(runs, 0.01), ...bands), high = Math.max(quantile(runs, 0.99), ...bands);
    if (panel.log) return [Math.log10(low) - 0.05, Math.log10(high) + 0.05];
    if (high - low < 1e-9 * Math.max(1, Math.abs(high))) { const half = Math.abs(high) * 0.1 || 0.5; low -= half; high += half; }
    const room = 0.05 * (high - low);
    return [low - room, high + room];
  }
  function ticks(panel, low, high) {
    if (panel.log) {
      const every = Math.max(1, Math.ceil((high - low) / 5)), found = [];
      for (let k = Math.ceil(low); k <= high; k += every) found.push([k, tick(10 ** k)]);
      return found;
    }
    const step = niceStep((high - low) / 4), found = [];
    for (let k = Math.ceil(low / step); k * step <= high; k++) found.push([k * step, tick(k * step)]);
    return found;
  }
  function path(steps, values, across, up) {
    let text = "", pen = "M";
    values.forEach((value, i) => {
      if (value === null) { pen = "M"; return; }
      text += `${pen}${across(steps[i]).toFixed(1)},${up(value).toFixed(1)}`;
      pen = "L";
    });
    return text;
  }
  function draw(view) {
    const { panel, box, svg } = view;
    const width = Math.max(260, box.clientWidth - 28);
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${width} ${H}`);
    const curves = panel.curves.filter(curve => !hidden.has(curve.setting));
    view.curves = curves;
    if (!curves.length) return;
    const [low, high] = range(panel, curves);
    const right = Math.max(...panel.curves.map(curve => curve.steps[curve.steps.length - 1])) || 1;
    const across = step => LEFT + (width - LEFT - RIGHT) * step / right;
    const scaled = value => panel.log ? Math.log10(Math.max(value, 1e-300)) : value;
    const up = value => {
      const at = TOP + (H - TOP - BOTTOM) * (high - scaled(value)) / (high - low);
      return Math.min(H - BOTTOM + 2, Math.max(TOP - 6, at));
    };
    Object.assign(view, { across, up, right, width });
    for (const [at, label] of ticks(panel, low, high)) {
      const y = TOP + (H - TOP - BOTTOM) * (high - at) / (high - low);
      svg.append(element("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y, y2: y }));
      svg.append(element("text", { class: "tick", x: LEFT - 7, y: y + 4, "text-anchor": "end" }, label));
    }
    const step = niceStep(right / Math.max(2, Math.floor(width / 80)));
    for (let at = 0; at <= right * 1.0001; at += step) {
      const anchor = across(at) > width - 30 ? "end" : "middle";
      svg.append(element("text", { class: "tick", x: across(at), y: H - 7, "text-anchor": anchor }, tick(at)));
    }
    let flags = 0;
    for (const curve of curves) {
      const group = element("g", { style: colour(curve.setting) });
      const dotted = data.settings[curve.setting].control ? " dotted" : "";
      if (curve.low) {
        const there = path(curve.steps, curve.high, across, up);
        const back = path([...curve.steps].reverse(), [...curve.low].reverse(), across, up).replace("M", "L");
        if (there) group.append(element("path", { class: "band", d: there + back + "Z" }));
        for (const run of curve.runs) group.append(element("path", { class: "run", d: path(curve.steps, run, across, up) }));
      }
      group.append(element("path", { class: "curve" + dotted, d: path(curve.steps, curve.value, across, up) }));
      if (curve.steps.length === 1)
        group.append(element("circle", { class: "point", cx: across(curve.steps[0]), cy: up(curve.value[0]), r: 4 }));
      for (const mark of curve.marks) {
        const x = across(Math.min(mark.step, right)), y = TOP - 9 + 11 * (flags++ % 2);
        const line = element("line", { class: "mark", x1: x, x2: x, y1: TOP - 6, y2: H - BOTTOM });
        line.append(element("title", {}, mark.text));
        const end = x > width - 50;
        const flag = element("text", { class: "flag", x: end ? x - 3 : x + 3, y, "text-anchor": end ? "end" : "start" }, mark.code);
        flag.append(element("title", {}, mark.text));
        group.append(line, flag);
      }
      svg.append(group);
    }
    view.over = element("g", {});
    svg.append(view.over);
  }
  function nearest(steps, wanted) {
    let best = 0;
    steps.forEach((step, i) => { if (Math.abs(step - wanted) < Math.abs(steps[best] - wanted)) best = i; });
    return best;
  }
  function cross(view, step) {
    if (!view.over) return;
    view.over.replaceChildren();
    if (step === null || step > view.right) return;
    const x = view.across(step);
    view.over.append(element("line", { class: "cross", x1: x, x2: x, y1: TOP, y2: H - BOTTOM }));
    for (const curve of view.curves) {
      const i = nearest(curve.steps, step);
      if (curve.value[i] === null || step > 1.02 * curve.steps[curve.steps.length - 1]) continue;
      view.over.append(element("circle", { class: "point", style: colour(curve.setting), cx: view.across(curve.steps[i]), cy: view.up(curve.value[i]), r: 3.5 }));
    }
  }
  function tip(view, step, at) {
    const { tipBox, box } = view;
    tipBox.replaceChildren();
    const head = document.createElement("div");
    head.className = "soft";
    head.textContent = `${Math.round(step).toLocaleString("en-US")} ${data.words.steps}`;
    tipBox.append(head);
    const lines = [];
    for (const curve of view.curves) {
      const i = nearest(curve.steps, step);
      if (curve.value[i] !== null && step <= 1.02 * curve.steps[curve.steps.length - 1]) lines.push([curve, i]);
    }
    lines.sort((a, b) => b[0].value[b[1]] - a[0].value[a[1]]);
    for (const [curve, i] of lines) {
      const line = document.createElement("div"), swatch = document.createElement("span"), value = document.createElement("b");
      swatch.className = "swatch";
      swatch.setAttribute("style", colour(curve.setting));
      const band = curve.low ? ` [${number(curve.low[i])} – ${number(curve.high[i])}]` : "";
      value.textContent = number(curve.value[i]) + band;
      line.append(swatch, document.createTextNode(data.settings[curve.setting].label), value);
      tipBox.append(line);
    }
    tipBox.hidden = !lines.length;
    const room = box.clientWidth - tipBox.offsetWidth - 8;
    tipBox.style.left = `${Math.max(4, at + 22 > room ? Math.min(room, at - tipBox.offsetWidth - 4) : at + 22)}px`;
    tipBox.style.top = "40px";
  }
  function watch(view) {
    view.svg.addEventListener("pointermove", event => {
      if (!view.curves.length) return;
      const bounds = view.svg.getBoundingClientRect();
      const at = (event.clientX - bounds.left) * view.width / bounds.width;
      const step = Math.min(view.right, Math.max(0, (at - LEFT) / (view.width - LEFT - RIGHT) * view.right));
      for (const other of views) cross(other, step);
      tip(view, step, event.clientX - view.box.getBoundingClientRect().left);
    });
    view.svg.addEventListener("pointerleave", () => {
      for (const other of views) cross(other, null);
      view.tipBox.hidden = true;
    });
  }

  for (const box of document.querySelectorAll(".plot")) {
    const svg = element("svg", { role: "img", "aria-label": box.querySelector("h3").textContent });
    const tipBox = document.createElement("div");
    tipBox.className = "tip";
    tipBox.hidden = true;
    box.append(svg, tipBox);
    const view = { panel: data.panels[Number(box.dataset.panel)], box, svg, tipBox, curves: [] };
    views.push(view);
    watch(view);
  }
  const redraw = () => views.forEach(draw);
  for (const button of document.querySelectorAll(".legend button[data-setting]")) {
    button.addEventListener("click", () => {
      const place = Number(button.dataset.setting);
      hidden.has(place) ? hidden.delete(place) : hidden.add(place);
      button.setAttribute("aria-pressed", String(!hidden.has(place)));
      redraw();
    });
  }
  let waiting = 0;
  addEventListener("resize", () => { cancelAnimationFrame(waiting); waiting = requestAnimationFrame(redraw); });
  redraw();
})();
