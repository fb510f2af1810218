// json-server over customers.json, in memory; prints its address, and ends when its standard input does.
const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const jsonServer = require("json-server");

const app = jsonServer.create();
app.use(jsonServer.defaults({ logger: false }));
app.use(jsonServer.router(JSON.parse(readFileSync(join(__dirname, "customers.json")))));
const listener = app.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${listener.address().port}`));
process.stdin.on("end", () => process.exit(0)).resume();
