// Apollo Server over customers.json; prints its address, and ends when its standard input does.
import { readFileSync } from "node:fs";
import { ApolloServer } from "@apollo/server";
import { startStandaloneServer } from "@apollo/server/standalone";

const { customers } = JSON.parse(readFileSync(new URL("customers.json", import.meta.url)));
const find = (id) => customers.find((customer) => customer.id === id) ?? null;

const server = new ApolloServer({
  introspection: true,
  typeDefs: `
    type Customer { id: ID! name: String! email: String! tier: String! }
    type Query { customers(ids: [ID!]!): [Customer]! customer(id: ID!): Customer }
  `,
  resolvers: {
    Query: { customers: (_, { ids }) => ids.map(find), customer: (_, { id }) => find(id) },
  },
});
const { url } = await startStandaloneServer(server, { listen: { host: "127.0.0.1", port: 0 } });
console.log(url.replace(/\/$/, ""));
process.stdin.on("end", () => process.exit(0)).resume();
