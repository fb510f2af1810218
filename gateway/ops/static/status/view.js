// What the page looks like: data in, elements out.

import { chart, legend } from "./chart.js";
import { h } from "./dom.js";
import { ago, mark, ms, rate, share, since, span, when } from "./words.js";

const SHOWN_CHANGES = 20;

/** All of it. `now` is the server's time in milliseconds. */
export function page(data, link, now) {
  const upstreams = [...data.upstreams].sort((a, b) => trouble(a) - trouble(b) || a.name.localeCompare(b.name));
  return h(
    "main",
    { id: "main", class: link.lostAt ? "late" : "" },
    head(data, link, now, upstreams),
    link.lostAt && lost(link),
    h(
      "section",
      { key: "upstreams", id: "upstreams" },
      h("h2", null, "Upstreams"),
      h("ul", null, upstreams.map((each) => row(each, data.documents, now))),
    ),
    h("section", { key: "stale" }, h("h2", null, "Served stale now"), stale(upstreams)),
    h("section", { key: "requests" }, h("h2", null, "Requests"), requests(data)),
    h("section", { key: "changes" }, h("h2", null, "Recent changes of circuits"), changes(upstreams, now)),
  );
}

function head(data, link, now, upstreams) {
  const unwell = upstreams.filter((each) => trouble(each) < 3).map((each) => each.name);
  const others = data.checks.filter((each) => each.status !== "ok" && !each.name.startsWith("upstream:"));
  const { inFlight, limit, loopLagMs, shed } = data.load;
  const reload = data.documents.reloadSupergraph && h("button", { type: "button", "data-do": "reloadSupergraph" }, "Reload the supergraph");
  return h(
    "header",
    { key: "head" },
    h(
      "div",
      { class: "head" },
      h("h1", null, mark(data.status)),
      unwell.length
        ? h("p", { class: "warn" }, `▲ Look at ${unwell.join(", ")}`)
        : h("p", null, `${upstreams.length} upstreams, all well`),
    ),
    others.map((each) => h("p", { class: "warn" }, `▲ ${each.name}: ${each.reason}`)),
    h(
      "p",
      { class: "figures dim" },
      [
        `Breakwater ${data.version}`,
        `${data.host}, process ${data.worker}`,
        `up ${span((now - Date.parse(data.startedAt)) / 1000)}`,
        `${inFlight} in flight${limit == null ? "" : ` of ${limit}`}`,
        `loop lag ${ms(loopLagMs)}`,
        `${shed} shed`,
      ].map((each) => h("span", null, each)),
      h("span", null, "as of ", when(data.timestamp), link.live ? ", live" : ", every 2 s"),
    ),
    reload && h("p", { class: "buttons" }, reload),
  );
}

const lost = (link) =>
  h(
    "p",
    { key: "lost", class: "notice" },
    h("b", { class: "bad" }, "✖ Not connected"),
    " since ",
    when(new Date(link.lostAt).toISOString()),
    ` (${link.why}). What is below is of then; asking again every 2 s.`,
  );

function requests(data) {
  const minute = data.requests.lastMinute;
  return [
    figures(minute, figure("degraded", share(minute.degraded, minute.calls), minute.degraded && "warn")),
    chart(data.requests.recent, { large: true, what: "requests", kept: "degraded" }),
    legend(),
  ];
}

const figures = (minute, more) =>
  h(
    "p",
    { class: "figures" },
    figure("rate", rate(minute.perS)),
    figure("errors", share(minute.failed, minute.calls), minute.failed && "bad"),
    figure("p95", ms(minute.p95Ms)),
    more,
  );

const figure = (name, value, kind) =>
  h("span", null, h("span", { class: "dim" }, `${name} `), h("b", { class: kind || false }, value));

function row(upstream, documents, now) {
  const { name, health, reason, lastMinute: minute } = upstream;
  const id = `upstream-${name}`;
  const well = trouble(upstream) === 3;
  const circuits = h("ul", { class: "circuits" }, upstream.circuits.map((circuit) => circuitLine(circuit, now)));
  return h(
    "li",
    { key: id, id, class: `upstream trouble-${trouble(upstream)}` },
    h(
      "div",
      { class: "top" },
      h(
        "div",
        { class: "head" },
        h("h3", null, h("a", { href: `#${id}` }, name)),
        h("span", null, mark(health), !well && ` ${reason}`),
        well && circuits,
      ),
      chart(upstream.recent),
      figures(minute, figure("served by", servedBy(minute))),
    ),
    !well && circuits,
    actions(upstream, documents),
  );
}

function servedBy({ calls, failed, servedBy: ways }) {
  const named = { graphql: "GraphQL", rest: "REST", fresh: "cache", stale: "STALE", alternative: "another service" };
  const used = Object.entries(ways).filter(([, count]) => count > 0).map(([way, count]) => `${named[way] ?? way} ${share(count, calls)}`);
  return [...used, ...(failed ? [`nobody ${share(failed, calls)}`] : [])].join(", ") || "–";
}

function circuitLine(circuit, now) {
  const { protocol, operation, state, reason, mode, modeChange, nextProbeAt, lastFailure, failureRate } = circuit;
  const well = isWell(circuit);
  return h(
    "li",
    { key: `${protocol} ${operation}`, class: well && "well" },
    h("b", null, protocolName(protocol), operation && ` ${operation}`),
    " ",
    mark(state),
    mode !== "automatic" && h("b", { class: "warn" }, ` ▲ ${mode.replace("_", " ")} by ${modeChange?.by ?? "an operator"}`),
    " ",
    h("span", { class: well && "dim" }, since(circuit.since, now), !well && `: ${reason}`),
    nextProbeAt && `; next probe ${Date.parse(nextProbeAt) > now ? `in ${span((Date.parse(nextProbeAt) - now) / 1000)}` : "with the next call"}`,
    well && failureRate > 0 && h("span", { class: "warn" }, `; ${share(failureRate, 1)} of the latest calls failed`),
    !well && lastFailure && h("span", { class: "dim" }, `; last error ${ago(lastFailure.at, now)}: ${lastFailure.message}`),
  );
}

function actions({ name, circuits }, documents) {
  const { forceCircuit, resetCircuit, purgeCache } = documents;
  if (!forceCircuit && !resetCircuit && !purgeCache) return null;
  const button = (what, label, circuit, mode) =>
    h(
      "button",
      {
        key: what + mode,
        type: "button",
        class: mode === "forced_open" && "danger",
        "data-do": what,
        "data-service": name,
        "data-protocol": circuit?.protocol,
        "data-operation": circuit?.operation,
        "data-mode": mode,
      },
      label,
      h("span", { class: "unseen" }, ` ${name} ${circuit?.protocol ?? ""} ${circuit?.operation ?? ""}`),
    );
  return h(
    "details",
    { key: "act" },
    h("summary", null, "Act", h("span", { class: "unseen" }, ` on ${name}`)),
    circuits.map((circuit) =>
      h(
        "p",
        { class: "buttons", key: circuit.protocol + circuit.operation },
        h("span", null, protocolName(circuit.protocol), circuit.operation && ` ${circuit.operation}`, " circuit:"),
        forceCircuit && circuit.mode !== "forced_open" && button("forceCircuit", "Force open", circuit, "forced_open"),
        forceCircuit && circuit.mode !== "automatic" && button("forceCircuit", "Automatic", circuit, "automatic"),
        resetCircuit && button("resetCircuit", "Reset", circuit),
      ),
    ),
    purgeCache && h("p", { class: "buttons" }, button("purgeCache", "Purge the cache")),
  );
}

function stale(upstreams) {
  const served = upstreams.filter((each) => each.oldestStaleMs != null || each.lastMinute.stale > 0);
  if (!served.length) return h("p", { class: "dim" }, "Nothing.");
  return h(
    "ul",
    null,
    served.map(({ name, oldestStaleMs, lastMinute: { calls, stale: count } }) =>
      h(
        "li",
        { key: name },
        h("b", { class: "warn" }, `▲ ${name}`),
        `: ${count} of ${calls} calls in the last minute`,
        oldestStaleMs != null && `; up to ${span(oldestStaleMs / 1000)} old, and the service has not answered since`,
      ),
    ),
  );
}

function changes(upstreams, now) {
  const all = upstreams
    .flatMap(({ name, circuits }) => circuits.flatMap((circuit) => circuit.history.map((moved) => ({ name, circuit, ...moved }))))
    .sort((a, b) => Date.parse(b.at) - Date.parse(a.at))
    .slice(0, SHOWN_CHANGES);
  if (!all.length) return h("p", { class: "dim" }, "None since the start.");
  return h(
    "ul",
    { class: "changes" },
    all.map(({ name, circuit: { protocol, operation }, previous, state, at, reason }) =>
      h(
        "li",
        { key: `${name} ${protocol} ${operation} ${at} ${state}` },
        h("span", null, when(at), h("span", { class: "dim" }, ` ${ago(at, now)}`)),
        h("b", null, `${name} ${protocolName(protocol)} ${operation ?? ""}`),
        h("span", null, mark(previous), " → ", mark(state)),
        h("span", null, reason),
      ),
    ),
  );
}

const protocolName = (protocol) => (protocol === "graphql" ? "GraphQL" : "REST");

/** 0 is the worst, 3 is well: a closed circuit may still have calls that fail, or that are answered with what is kept. */
function trouble({ health, circuits, lastMinute }) {
  if (health === "unhealthy") return 0;
  if (health === "degraded") return 1;
  return lastMinute.failed || lastMinute.stale || !circuits.every(isWell) ? 2 : 3;
}

const isWell = ({ state, mode }) => state === "closed" && mode === "automatic";

export const locked = (message) =>
  h(
    "main",
    { id: "main" },
    h("h1", null, "For operators only"),
    h("p", null, message),
    h(
      "form",
      { key: "token", id: "token" },
      h("label", null, "Admin token", h("input", { type: "password", name: "token", autocomplete: "off", required: true })),
      h("p", { class: "dim" }, "It is ", h("code", null, "ops.admin_token"), " of gateway.yaml. This tab keeps it until it is closed."),
      h("p", null, h("button", { type: "submit" }, "Show the status")),
    ),
  );

/** What became different, in words for who does not see it. */
export function news(before, data) {
  const known = new Map(before.upstreams.map((each) => [each.name, each.health]));
  return data.upstreams
    .filter((each) => known.has(each.name) && known.get(each.name) !== each.health)
    .map((each) => `${each.name} is ${each.health}: ${each.reason}.`)
    .join(" ");
}
