// Asks an operator why, and then the gateway to do it.

const dialog = document.getElementById("ask");
const form = dialog.querySelector("form");
const [title, effect, sure, problem, go] = ["title", "effect", "sure", "error", "go"].map((each) => form.querySelector(`#ask-${each}`));

dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());

function words({ do: what, service, protocol, operation, mode }) {
  const circuit = `the ${protocol === "graphql" ? "GraphQL" : "REST"} circuit of ${service}${operation ? `, ${operation}` : ""}`;
  if (what === "purgeCache") return ["Purge the cache", `Nothing of ${service} can be served stale until it has answered again.`];
  if (what === "reloadSupergraph") return ["Reload the supergraph", "Its source is asked now. A bad one is refused, and what is served stays."];
  if (what === "resetCircuit") return [`Reset ${circuit}`, "It closes, forgets what it has counted, and decides by itself."];
  if (mode === "forced_open") return [`Force ${circuit} open`, "Its calls are refused until somebody gives it back."];
  return [`Give ${circuit} back to itself`, "It decides by itself again."];
}

/** Whether it was done; false when the operator thought better of it. */
export function ask(wanted, query, headers) {
  [title.textContent, effect.textContent] = words(wanted);
  const confirm = wanted.mode === "forced_open";
  form.reset();
  sure.hidden = !confirm;
  sure.firstElementChild.required = confirm;
  problem.textContent = "";
  go.textContent = title.textContent;
  go.className = confirm ? "danger" : "";
  const { reason } = form.elements;
  reason.required = query.includes("$reason");
  reason.parentElement.hidden = !reason.required;
  dialog.showModal();
  return new Promise((done) => {
    form.onsubmit = async (event) => {
      event.preventDefault();
      go.disabled = true;
      const wrong = await send(wanted, query, headers);
      go.disabled = false;
      problem.textContent = wrong;
      if (wrong) return;
      done(true);
      dialog.close();
    };
    dialog.onclose = () => done(false);
  });
}

async function send({ service, protocol, operation, mode }, query, headers) {
  const given = { service, protocol: protocol?.toUpperCase(), operation, mode: mode?.toUpperCase(), reason: form.elements.reason.value };
  const variables = Object.fromEntries(Object.entries(given).filter(([name]) => query.includes(`$${name}:`)));
  try {
    const response = await fetch("graphql", {
      method: "POST",
      headers: headers({ "content-type": "application/json", accept: "application/json" }),
      body: JSON.stringify({ query, variables }),
    });
    const body = await response.json();
    const failed = Object.values(body.data ?? {})[0]?.error;
    return failed ?? (body.errors ?? []).map((each) => each.message).join(" ");
  } catch {
    return "The gateway did not answer; look whether it was done before you try again.";
  }
}
