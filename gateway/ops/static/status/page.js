// Asks for the status every two seconds, and at once when a circuit changes; draws it; acts for operators.

import { patch } from "./dom.js";
import { ask } from "./act.js";
import { locked, news, page } from "./view.js";

const EVERY_MS = 2000;
const SOON_MS = 400;
const GIVE_UP_MS = 8000;
const LISTEN_AGAIN_MS = 10_000;
const TOKEN = "breakwater admin token";

const link = { live: false, lostAt: null, why: "" };
let data = null;
let receivedAt = 0;
let timer = null;
let asking = false;
let isLocked = false;
let again = false;
let listening = null;

const main = () => document.getElementById("main");
const say = (text) => text && (document.getElementById("said").textContent = text);

const headers = (more) => {
  const token = sessionStorage.getItem(TOKEN);
  return { ...more, ...(token && { "x-admin-token": token }) };
};

async function poll() {
  clearTimeout(timer);
  if (document.hidden) return;
  if (asking) {
    again = true;
    return;
  }
  asking = true;
  again = false;
  let response, body;
  try {
    const signal = AbortSignal.timeout(GIVE_UP_MS);
    response = await fetch("monitoring/status", { headers: headers(), cache: "no-store", signal });
    body = await response.json();
  } catch {
    body = null;
  }
  asking = false;
  if (!body) lost("no answer");
  else if (response.ok) shown({ ...body.data, timestamp: body.timestamp });
  else if ([401, 403].includes(response.status) || (response.status === 429 && !data)) return lock(body.error.message);
  else lost(body.error.message);
  timer = setTimeout(poll, again ? SOON_MS : EVERY_MS);
}

// A circuit that flaps is not looked at more often than the eye can follow.
function pollSoon() {
  clearTimeout(timer);
  if (asking) again = true;
  else timer = setTimeout(poll, receivedAt + SOON_MS - performance.now());
}

function shown(next) {
  if (link.lostAt) say("Connected again.");
  else if (data?.startedAt === next.startedAt) say(news(data, next));
  data = next;
  receivedAt = performance.now();
  link.lostAt = null;
  draw();
  listen();
}

function lock(why) {
  const wrong = sessionStorage.getItem(TOKEN) ? "This token is not right. " : "";
  sessionStorage.removeItem(TOKEN);
  data = link.lostAt = null;
  isLocked = true;
  quiet();
  patch(main(), locked(wrong + why));
  const input = main().querySelector("input");
  input.value = "";
  input.focus();
}

function lost(why) {
  if (!link.lostAt) say("Not connected.");
  link.lostAt ??= Date.now();
  link.why = why;
  quiet();
  if (data) draw();
  else main().textContent = `Not connected (${why}); asking again every 2 s.`;
}

function draw() {
  const now = Date.parse(data.timestamp) + performance.now() - receivedAt;
  const drawn = page(data, link, now);
  main().className = drawn.className;
  patch(main(), drawn);
  document.title = `${data.status === "ok" ? "" : `${data.status.toUpperCase()} · `}Status · Breakwater`;
}

// The gateway tells of changes where its own schema is served; without, or when it will not, asking every 2 s is enough.
async function listen() {
  if (listening || !data.documents.changes) return;
  const own = (listening = new AbortController());
  try {
    const response = await fetch("graphql", {
      method: "POST",
      headers: headers({ accept: "text/event-stream", "content-type": "application/json" }),
      body: JSON.stringify({ query: data.documents.changes }),
      signal: own.signal,
    });
    if (response.ok && response.headers.get("content-type")?.startsWith("text/event-stream")) {
      link.live = true;
      draw();
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        if (part.value.includes('"errors"')) own.abort();
        else if (part.value.includes("event: next")) pollSoon();
      }
    }
  } catch {
    // the next answer to a poll asks again, after a while
  }
  if (listening !== own) return;
  link.live = false;
  setTimeout(() => listening === own && (listening = null), LISTEN_AGAIN_MS);
}

function quiet() {
  listening?.abort();
  listening = null;
  link.live = false;
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    clearTimeout(timer);
    quiet();
  } else if (!isLocked) poll();
});

document.addEventListener("submit", (event) => {
  if (event.target.id !== "token") return;
  event.preventDefault();
  sessionStorage.setItem(TOKEN, event.target.elements.token.value);
  isLocked = false;
  poll();
});

document.addEventListener("click", async (event) => {
  const wanted = { ...event.target.closest("[data-do]")?.dataset }; // as it is now: the button may be drawn anew
  if (wanted.do && (await ask(wanted, data.documents[wanted.do], headers))) {
    say("Done.");
    poll();
  }
});

poll();
