// Elements without markup in strings, and a page that is drawn anew without losing focus, openness or place.

const SVG = "http://www.w3.org/2000/svg";
const DRAWN = new Set(["svg", "path"]);

/** An element; null, undefined and false are left out. `key` tells it from its siblings when they change places. */
export function h(tag, attributes, ...content) {
  const made = DRAWN.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name === "key") made.key = value;
    else if (value != null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...content.flat(Infinity).filter((each) => each != null && each !== false));
  return made;
}

/** Make an element's content look like that of another one, which is used up. */
export function patch(old, drawn) {
  const focused = document.activeElement;
  content(old, drawn);
  if (focused !== document.activeElement && focused?.isConnected) focused.focus({ preventScroll: true });
}

function content(old, drawn) {
  const wanted = [...drawn.childNodes];
  const keyed = new Map([...old.childNodes].filter((node) => node.key).map((node) => [node.key, node]));
  wanted.forEach((next, index) => {
    const there = old.childNodes[index] ?? null;
    const same = next.key ? keyed.get(next.key) : there;
    const kept = same && same.nodeName === next.nodeName && same.key === next.key;
    if (!kept || same !== there) old.insertBefore(kept ? same : next, there);
    if (!kept) return;
    if (same.nodeType === Node.TEXT_NODE) {
      if (same.data !== next.data) same.data = next.data;
      return;
    }
    attributes(same, next);
    content(same, next);
  });
  while (old.childNodes.length > wanted.length) old.lastChild.remove();
}

function attributes(old, next) {
  for (const { name, value } of next.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  for (const { name } of [...old.attributes]) {
    if (name !== "open" && !next.hasAttribute(name)) old.removeAttribute(name); // who opened something wants it open
  }
}
