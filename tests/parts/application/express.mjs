// An application with the router of docs/application.md. A header stands for the session of its own sign-in.
import express from "express";
import { chat, sidemint } from "./chat.mjs";

const app = express();
app.use((request, _response, next) => {
  if (request.get("X-Test-User") === "7") request.user = { id: 7, displayName: "Ålice 李" };
  next();
});
app.use(chat);
app.get("/sign-out", async (request, response) => {
  response.sendStatus((await sidemint("DELETE", request.user)).status);
});
app.listen(Number(process.env.PORT), process.env.HOST);
