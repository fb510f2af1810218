// Asks a gateway with the clients that most people use: graphql-ws and graphql-sse. Prints what they got, as JSON.
import { createClient as overSse } from "graphql-sse";
import { createClient as overWebSocket } from "graphql-ws";
import WebSocket from "ws";

const url = process.argv[2];
const count = { query: "subscription ($to: Int!) { count(to: $to) { number } }", variables: { to: 1000 } };
const wait = { query: "subscription { onceAndWait { number } }" };
const clients = {
  "graphql-ws": overWebSocket({
    url: url.replace("http", "ws"),
    webSocketImpl: WebSocket,
    retryAttempts: 0,
    connectionParams: { authorization: "Bearer of the payload" },
  }),
  "graphql-sse": overSse({ url, retryAttempts: 0, headers: { authorization: "Bearer of the header" } }),
};

async function all(client, ask) {
  const answers = [];
  for await (const answer of client.iterate(ask)) answers.push(answer);
  return answers;
}

async function first(client, ask) {
  for await (const answer of client.iterate(ask)) return answer; // leaving the loop ends the subscription
}

const report = {};
for (const [name, client] of Object.entries(clients)) {
  const numbers = (await all(client, count)).map((answer) => answer.data.count.number);
  report[name] = {
    inOrder: numbers.length === 1000 && numbers.every((number, index) => number === index + 1),
    query: await all(client, { query: "{ __typename }" }),
    mutation: await all(client, { query: "mutation { touch }" }),
    credential: await all(client, { query: "subscription { count(to: 1) { credential } }" }),
    left: await first(client, wait),
    afterwards: await first(client, wait),
    // graphql-ws throws the errors of its `error` message, graphql-sse hands them on as an answer
    refused: await all(client, { query: "subscription { nothing }" }).catch((errors) => [{ errors }]),
  };
  client.dispose();
}
console.log(JSON.stringify(report));
process.exit(0);
