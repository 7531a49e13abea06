// What makes the charts answer: pointing shows the values of a step, dragging enlarges, a switch makes the axis
// logarithmic, arrow keys do what pointing does. Nothing is loaded and nothing is sent.

extension ReportPage {
  static let script = #"""
    "use strict";
    (() => {
      const space = "http://www.w3.org/2000/svg";
      const make = (name, attributes, parent) => {
        const element = document.createElementNS(space, name);
        for (const key in attributes) element.setAttribute(key, attributes[key]);
        if (parent) parent.appendChild(element);
        return element;
      };
      const label = value => {
        const size = Math.abs(value);
        for (const [limit, by, unit] of [[1e9, 1e9, "G"], [1e6, 1e6, "M"], [1e4, 1e3, "k"]])
          if (size >= limit) return String(+(value / by).toPrecision(6)) + unit;
        return size > 0 && size < 1e-3 ? String(+value.toPrecision(6)).replace("e-0", "e-") : String(+value.toPrecision(6));
      };
      const ticks = (low, high, count) => {
        const span = high - low, unit = Math.pow(10, Math.floor(Math.log10(span / count)));
        const step = [1, 2, 5, 10].map(k => k * unit).find(k => span / k <= count) || unit * 10;
        const found = [];
        for (let k = Math.ceil(low / step); k <= Math.floor(high / step) && found.length < 50; k++) found.push(k * step);
        return found;
      };
      const logTicks = (low, high) => {
        const found = [];
        for (let power = Math.floor(low); power <= Math.ceil(high); power++)
          for (const k of high - low > 2 ? [1] : [1, 2, 5]) {
            const value = Math.log10(k) + power;
            if (value >= low && value <= high) found.push(value);
          }
        return found.length > 1 ? found : ticks(low, high, 4);
      };
      const prepare = chart => {
        const figure = document.getElementById("chart-" + chart.id);
        if (!figure) return;
        const svg = figure.querySelector(".plot svg"), plot = figure.querySelector(".plot");
        const left = 58, right = 12, top = 10, bottom = 30, height = 260;
        const all = chart.curves.flatMap(curve => curve.x);
        const whole = [Math.min(...all), Math.max(...all)];
        if (whole[0] === whole[1]) { whole[0] -= 1; whole[1] += 1; }
        let range = whole.slice(), log = false, width = 520, toX, toY, at = null, drag = null;
        const tools = document.createElement("span");
        tools.className = "tools";
        const button = (text, action) => {
          const element = document.createElement("button");
          element.type = "button"; element.textContent = text;
          element.addEventListener("click", action);
          tools.appendChild(element);
          return element;
        };
        const back = button("whole run", () => { range = whole.slice(); draw(); });
        const logButton = button("log axis", () => { log = !log; draw(); });
        figure.querySelector("figcaption").appendChild(tools);
        const tip = document.createElement("div");
        tip.className = "tip"; tip.hidden = true; tip.setAttribute("role", "status");
        plot.appendChild(tip);
        svg.setAttribute("tabindex", "0");
        const positive = chart.curves.every(curve => curve.y.every(y => y >= 0)) && chart.curves.some(curve => curve.y.some(y => y > 0));
        logButton.hidden = !positive;
        const draw = () => {
          width = Math.max(240, plot.clientWidth);
          svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
          svg.replaceChildren();
          back.hidden = range[0] === whole[0] && range[1] === whole[1];
          logButton.setAttribute("aria-pressed", String(log));
          const value = y => log ? (y > 0 ? Math.log10(y) : NaN) : y;
          const visible = chart.curves.flatMap(curve => curve.y.filter((_, i) => curve.x[i] >= range[0] && curve.x[i] <= range[1])).map(value).filter(Number.isFinite);
          let low = Infinity, high = -Infinity;
          for (const y of visible) { low = Math.min(low, y); high = Math.max(high, y); }
          if (!visible.length) { low = 0; high = 1; }
          if (chart.zero && !log) low = Math.min(low, 0);
          const room = high > low ? (high - low) * 0.06 : Math.max(Math.abs(high) * 0.1, 1e-12);
          if (low !== 0 || !chart.zero || log) low -= room;
          high += room;
          toX = x => left + (x - range[0]) / (range[1] - range[0]) * (width - left - right);
          toY = y => height - bottom - (value(y) - low) / (high - low) * (height - top - bottom);
          const grid = make("g", { class: "grid" }, svg);
          for (const tick of log ? logTicks(low, high) : ticks(low, high, 5)) {
            const y = height - bottom - (tick - low) / (high - low) * (height - top - bottom);
            make("line", { x1: left, x2: width - right, y1: y, y2: y }, grid);
            make("text", { x: left - 6, y, dy: ".32em", class: "y" }, grid).textContent = label(log ? Math.pow(10, tick) : tick);
          }
          for (const tick of ticks(range[0], range[1], Math.max(2, Math.floor(width / 90))))
            if (Number.isInteger(tick)) make("text", { x: toX(tick), y: height - 10, class: "x" }, grid).textContent = label(tick);
          for (const curve of chart.curves) {
            const points = [];
            curve.x.forEach((x, i) => {
              if (x >= range[0] && x <= range[1] && Number.isFinite(toY(curve.y[i]))) points.push([toX(x), toY(curve.y[i])]);
            });
            const style = "curve " + curve.kind;
            make("polyline", { class: style, points: points.map(p => p[0].toFixed(1) + "," + p[1].toFixed(1)).join(" ") }, svg);
            if (curve.kind === "marks" || points.length === 1)
              for (const p of points) make("circle", { class: style, cx: p[0], cy: p[1], r: 3 }, svg);
          }
          show();
        };
        const show = () => {
          svg.querySelectorAll(".cursor, .zoom").forEach(element => element.remove());
          if (drag && drag.to !== drag.from) {
            const [a, b] = [Math.min(drag.from, drag.to), Math.max(drag.from, drag.to)];
            make("rect", { class: "zoom", x: a, y: top, width: b - a, height: height - top - bottom }, svg);
          }
          if (at === null || at < range[0] || at > range[1]) { tip.hidden = true; return; }
          make("line", { class: "cursor", x1: toX(at), x2: toX(at), y1: top, y2: height - bottom }, svg);
          const lines = ["step " + at];
          for (const curve of chart.curves) {
            const i = curve.x.indexOf(at);
            if (i >= 0) lines.push(curve.name + " " + label(+curve.y[i].toPrecision(5)));
          }
          tip.textContent = lines.join("\n");
          tip.hidden = false;
          const scale = plot.clientWidth / width, x = toX(at) * scale;
          const place = x + 12 + tip.offsetWidth > plot.clientWidth ? x - 12 - tip.offsetWidth : x + 12;
          tip.style.transform = `translate(${Math.max(0, place)}px, ${top}px)`;
        };
        const steps = [...new Set(all)].sort((a, b) => a - b);
        const nearest = x => steps.reduce((best, step) => Math.abs(step - x) < Math.abs(best - x) ? step : best, steps[0]);
        const position = event => {
          const box = svg.getBoundingClientRect();
          return Math.min(width - right, Math.max(left, (event.clientX - box.left) / box.width * width));
        };
        const stepAt = x => range[0] + (x - left) / (width - left - right) * (range[1] - range[0]);
        svg.addEventListener("pointermove", event => {
          const x = position(event);
          if (drag) drag.to = x;
          at = nearest(stepAt(x)); show();
        });
        svg.addEventListener("pointerleave", () => { if (!drag) { at = null; show(); } });
        svg.addEventListener("pointerdown", event => {
          if (event.pointerType === "touch" || event.button !== 0) return;
          drag = { from: position(event), to: position(event) };
          svg.setPointerCapture(event.pointerId);
        });
        svg.addEventListener("pointerup", () => {
          if (!drag) return;
          const [a, b] = [stepAt(Math.min(drag.from, drag.to)), stepAt(Math.max(drag.from, drag.to))];
          const wide = Math.abs(drag.to - drag.from) > 8 && steps.filter(step => step >= a && step <= b).length > 1;
          drag = null;
          if (wide) range = [a, b];
          draw();
        });
        svg.addEventListener("dblclick", () => { range = whole.slice(); draw(); });
        svg.addEventListener("keydown", event => {
          const inside = steps.filter(step => step >= range[0] && step <= range[1]);
          const i = at === null ? -1 : inside.indexOf(at);
          if (event.key === "ArrowRight") at = inside[Math.min(inside.length - 1, i + 1)];
          else if (event.key === "ArrowLeft") at = inside[Math.max(0, i < 0 ? inside.length - 1 : i - 1)];
          else if (event.key === "Home") at = inside[0];
          else if (event.key === "End") at = inside[inside.length - 1];
          else if (event.key === "Escape") { at = null; range = whole.slice(); draw(); return; }
          else return;
          event.preventDefault(); show();
        });
        svg.addEventListener("blur", () => { at = null; show(); });
        new ResizeObserver(() => { requestAnimationFrame(() => { if (Math.max(240, plot.clientWidth) !== width) draw(); }); }).observe(plot);
        draw();
      };
      JSON.parse(document.getElementById("charts-data").textContent).forEach(prepare);
    })();
    """#
}
