// Reads [{id, subgraphs: [{name, url, sdl}]}] from standard input and writes {id: {sdl} | {codes}} to standard output.
import { readFileSync } from "node:fs";
import { composeServices } from "@apollo/composition";
import { parse } from "graphql";

const results = {};
for (const { id, subgraphs } of JSON.parse(readFileSync(0, "utf8"))) {
  const services = subgraphs.map(({ name, url, sdl }) => ({ name, url, typeDefs: parse(sdl) }));
  const { errors, supergraphSdl } = composeServices(services);
  results[id] = errors ? { codes: errors.map((error) => error.extensions?.code) } : { sdl: supergraphSdl };
}
process.stdout.write(JSON.stringify(results));
