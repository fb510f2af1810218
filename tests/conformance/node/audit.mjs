// Runs the audit of GraphQL over HTTP against the address given, and prints its results as JSON.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { auditServer } from "graphql-http";

const manifest = new URL("../package.json", import.meta.resolve("graphql-http"));
const { version } = JSON.parse(readFileSync(fileURLToPath(manifest), "utf8"));
const results = await auditServer({ url: process.argv[2] });
const audits = results.map(({ id, name, status, reason }) => ({ id, name, status, reason: reason ?? null }));
console.log(JSON.stringify({ version, audits }));
