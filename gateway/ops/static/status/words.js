// Numbers, times and states as people read them.

import { h } from "./dom.js";

const HEALTH = {
  ok: ["ok", "●", "OK"],
  healthy: ["ok", "●", "healthy"],
  degraded: ["warn", "▲", "degraded"],
  down: ["bad", "✖", "DOWN"],
  unhealthy: ["bad", "✖", "unhealthy"],
  closed: ["ok", "●", "closed"],
  half_open: ["warn", "▲", "half open"],
  open: ["bad", "✖", "OPEN"],
};

// A state as a shape, a word and a colour.
export function mark(state) {
  const [kind, shape, word] = HEALTH[state] ?? ["dim", "?", state];
  return h("span", { class: `mark ${kind}` }, h("span", { "aria-hidden": "true" }, shape), ` ${word}`);
}

/** Seconds in two units at the most: 7 s, 3 min 5 s, 2 h 10 min, 4 d 3 h. */
export function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const first = units.findIndex(([size]) => s >= size);
  if (first < 0) return "0 s";
  const [[size, name], next] = [units[first], units[first + 1]];
  const rest = next ? Math.floor((s % size) / next[0]) : 0;
  return `${Math.floor(s / size)} ${name}${rest ? ` ${rest} ${next[1]}` : ""}`;
}

/** 14:03:22 today, with the date otherwise. */
export function when(text) {
  const at = new Date(text);
  const today = at.toDateString() === new Date().toDateString();
  const shown = today ? at.toLocaleTimeString([], { hour12: false }) : at.toLocaleString([], { hour12: false });
  return h("time", { datetime: text, title: text }, shown);
}

/** 2 min 5 s, since 14:03:22. */
export const since = (text, now) => [span((now - Date.parse(text)) / 1000), ", since ", when(text)];

export const ago = (text, now) => `${span((now - Date.parse(text)) / 1000)} ago`;

export function ms(value) {
  if (value == null) return "–";
  if (value >= 1000) return `${(value / 1000).toFixed(value < 10_000 ? 1 : 0)} s`;
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
}

export const rate = (value) => `${value && value < 10 ? value.toFixed(1) : Math.round(value)}/s`;

export function share(part, whole) {
  if (!whole) return "–";
  const percent = (100 * part) / whole;
  return part && percent < 1 ? "< 1 %" : `${Math.round(percent)} %`;
}
