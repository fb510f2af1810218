// Asks the gateway as Apollo Client does, and prints what was sent and what came back.
// node client.mjs URL (automatic|get|listed|plain|batch) FOLDER
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { ApolloClient, gql, HttpLink, InMemoryCache } from "@apollo/client";
import { BatchHttpLink } from "@apollo/client/link/batch-http";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { generatePersistedQueryIdsFromManifest } from "@apollo/persisted-query-lists";

const [uri, mode, folder] = process.argv.slice(2);
const requests = [];
const recorded = async (address, options) => {
  const response = await fetch(address, options);
  requests.push({ method: options.method, status: response.status, sent: String(options.body ?? address) });
  return response;
};
const headers = { "apollo-require-preflight": "true" };
const http =
  mode === "batch"
    ? new BatchHttpLink({ uri, fetch: recorded, batchInterval: 10 })
    : new HttpLink({ uri, fetch: recorded, headers });
const sha256 = (text) => createHash("sha256").update(text).digest("hex");
const listed = () =>
  generatePersistedQueryIdsFromManifest({
    loadManifest: async () => JSON.parse(readFileSync(`${folder}/manifest.json`, "utf8")),
  });
const named = { automatic: () => ({ sha256 }), get: () => ({ sha256, useGETForHashedQueries: true }), listed };
const link = mode in named ? new PersistedQueryLink(named[mode]()).concat(http) : http;
const client = new ApolloClient({ link, cache: new InMemoryCache() });
const query = gql(readFileSync(`${folder}/customer.graphql`, "utf8"));
const ask = async (id) => (await client.query({ query, variables: { id }, fetchPolicy: "no-cache" })).data;
const data = mode === "batch" ? await Promise.all(["1", "2"].map(ask)) : [await ask("1"), await ask("2")];
console.log(JSON.stringify({ data, requests }));
