"use strict";

// The page is served at the endpoint's own address. A query in the address fills the editor; it is not run.
const url = location.pathname;
const ask = GraphiQL.createFetcher({ url });
const query = new URLSearchParams(location.search).get("query") ?? undefined;

const kindOf = (document, name) =>
  document?.definitions.find((each) => each.operation && (!name || each.name?.value === name))?.operation;

// An event stream (graphql-sse), read as what GraphiQL takes for an observable.
const listen = (params, headers) => ({
  subscribe(observer) {
    const stopping = new AbortController();
    const read = async () => {
      const response = await fetch(url, {
        method: "POST",
        headers: { ...headers, accept: "text/event-stream", "content-type": "application/json" },
        body: JSON.stringify(params),
        signal: stopping.signal,
      });
      if (!response.ok) return observer.next(await response.json());
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let text = "", part = await reader.read(); !part.done; part = await reader.read()) {
        const events = (text + part.value).split("\n\n");
        text = events.pop();
        for (const event of events) {
          if (event.startsWith("event: next\ndata: ")) observer.next(JSON.parse(event.slice(18)));
        }
      }
    };
    read().then(
      () => observer.complete(),
      (error) => stopping.signal.aborted || observer.error(error),
    );
    return { unsubscribe: () => stopping.abort() };
  },
});

const fetcher = (params, options) =>
  kindOf(options?.documentAST, params.operationName) === "subscription"
    ? listen(params, options?.headers)
    : ask(params, options);

ReactDOM.createRoot(document.getElementById("graphiql")).render(React.createElement(GraphiQL, { fetcher, query }));
