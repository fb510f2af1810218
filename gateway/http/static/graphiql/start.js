"use strict";

// The page is served at the endpoint's own address. A query in the address fills the editor; it is not run.
const fetcher = GraphiQL.createFetcher({ url: location.pathname });
const query = new URLSearchParams(location.search).get("query") ?? undefined;

ReactDOM.createRoot(document.getElementById("graphiql")).render(React.createElement(GraphiQL, { fetcher, query }));
