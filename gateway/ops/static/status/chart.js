// The last 15 minutes: bars for calls (stale and failed ones at the foot), a line for p95. Both begin at nought.

import { h } from "./dom.js";
import { ms, rate } from "./words.js";

const SPAN_S = 900;
const HEIGHT = 100;

export function chart(recent, { large = false, what = "calls", kept = "stale" } = {}) {
  const degraded = recent[kept];
  const perS = recent.seconds.map((seconds, i) => recent.calls[i] / Math.max(seconds, 5)); // one just begun would leap
  const most = Math.max(...perS);
  const slowest = Math.max(...recent.p95Ms);
  const bars = { calls: "", stales: "", fails: "" };
  let line = "";
  let x = SPAN_S - sum(recent.seconds);
  let pen = "M";
  recent.seconds.forEach((width, i) => {
    const calls = recent.calls[i];
    if (calls) {
      const tall = (perS[i] / most) * HEIGHT;
      const part = (count) => count && Math.max(4, (tall * count) / calls); // one in a thousand is to be seen as well
      const failed = part(recent.failed[i]);
      const all = Math.min(failed + part(degraded[i]), HEIGHT);
      bars.calls += bar(x, width, 0, tall);
      if (all > failed) bars.stales += bar(x, width, failed, all);
      if (failed) bars.fails += bar(x, width, 0, failed);
      line += `${pen}${fixed(x + width / 2)} ${fixed(HEIGHT - (recent.p95Ms[i] / slowest) * HEIGHT * 0.95)}`;
    }
    pen = calls ? "L" : "M";
    x += width;
  });
  const said =
    `Last 15 minutes: ${sum(recent.calls)} ${what}, ${sum(recent.failed)} failed, ${sum(degraded)} ${kept}; up to ${rate(most)}, p95 up to ${ms(slowest || null)}`;
  const drawn = h(
    "svg",
    { viewBox: `0 0 ${SPAN_S} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": said },
    Object.entries(bars).map(([kind, path]) => h("path", { class: kind, d: path || "M0 0" })),
    h("path", { class: "p95s", d: line || "M0 0" }),
  );
  return h(
    "div",
    { class: large ? "chart large" : "chart", title: said },
    large && h("p", { class: "axis" }, h("span", null, `up to ${rate(most)}`), h("span", null, `p95 up to ${ms(slowest || null)}`)),
    drawn,
    large && h("p", { class: "axis" }, h("span", null, "15 min ago"), h("span", null, "now")),
  );
}

export const legend = () =>
  h(
    "p",
    { class: "dim" },
    "Figures: this process, the last minute. Bars: the last 15 minutes, ",
    [["calls", "well"], ["stales", "stale or otherwise degraded"], ["fails", "failed"], ["p95s", "p95"]].map(([kind, what]) => [
      h("span", { class: `key ${kind}`, "aria-hidden": "true" }),
      what,
    ]),
  );

const sum = (values) => values.reduce((all, each) => all + each, 0);
const fixed = (value) => value.toFixed(1);
const bar = (x, width, from, to) => `M${fixed(x)} ${fixed(HEIGHT - from)}V${fixed(HEIGHT - to)}h${fixed(width)}V${fixed(HEIGHT - from)}z`;
