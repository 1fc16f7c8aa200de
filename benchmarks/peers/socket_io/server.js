// One Socket.IO server of two: `node server.js edge|worker|room REDIS_URL`. Prints its port.
//
// The edge holds the sockets. What one says goes to the worker with serverSideEmit, and the worker
// answers the room that each socket is alone in; both ways go through the Redis adapter.
// In the role of a room, sockets join one, and what one publishes goes to all of it.
import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-adapter";
import { Redis } from "ioredis";
import { Server } from "socket.io";

const [role, redisUrl] = process.argv.slice(2);
const publishing = new Redis(redisUrl);
const subscribing = publishing.duplicate();

const http = createServer();
const io = new Server(http, {
  adapter: createAdapter(publishing, subscribing),
  transports: ["websocket"],
  perMessageDeflate: false,
  serveClient: false,
});

if (role === "edge") {
  io.on("connection", (socket) => {
    socket.on("msg", (text) => io.serverSideEmit("work", socket.id, text));
  });
} else if (role === "room") {
  io.on("connection", (socket) => {
    socket.on("join", (channel, joined) => { socket.join(channel); joined(); });
    socket.on("pub", (channel, text) => io.to(channel).emit("msg", text));
  });
} else {
  io.on("work", (id, text) => io.to(id).emit("msg", text));
}

http.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => {
  console.log(http.address().port);
});
