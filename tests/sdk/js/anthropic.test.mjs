import assert from "node:assert/strict";
import { test } from "node:test";
import Anthropic from "@anthropic-ai/sdk";
import { betaZodTool } from "@anthropic-ai/sdk/helpers/beta/zod";
import { apiKey, baseURL, CITIES, City, forEachProvider, SAY, TASK, weather } from "./street.mjs";

const client = new Anthropic({ baseURL, apiKey, maxRetries: 0 });
const ask = (content = SAY) => ({ max_tokens: 512, messages: [{ role: "user", content }] });
const input_schema = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tools = [{ name: "weather", description: "The weather.", input_schema }];
const textOf = (message) => message.content.map((block) => block.text ?? "").join("");

forEachProvider("messages answer whole and streamed", async (model) => {
  const whole = await client.messages.create({ model: model("echo"), ...ask() });
  assert.equal(textOf(whole), SAY);
  assert.equal(whole.stop_reason, "end_turn");
  const pieces = [];
  const stream = client.messages.stream({ model: model("think"), ...ask() }).on("text", (piece) => pieces.push(piece));
  const message = await stream.finalMessage();
  assert.equal(pieces.join(""), SAY);
  assert.deepEqual(message.content.map((block) => block.type), ["thinking", "text"]);
  assert.ok(message.usage.output_tokens > 0);
});

forEachProvider("parallel tool uses are streamed", async (model) => {
  const message = await client.messages.stream({ model: model("echo"), tools, ...ask(TASK) }).finalMessage();
  assert.equal(message.stop_reason, "tool_use");
  assert.deepEqual(message.content.filter((block) => block.type === "tool_use").map((use) => use.input), CITIES);
});

forEachProvider("the tool runner runs, streamed too", async (model) => {
  const run = betaZodTool({ name: "weather", description: "The weather.", inputSchema: City, run: weather });
  for (const stream of [false, true]) {
    const runner = client.beta.messages.toolRunner({ model: model("echo"), tools: [run], stream, ...ask(TASK) });
    assert.match(textOf(await runner.runUntilDone()), /fine in Oslo[^]*fine in Rome/);
  }
});

forEachProvider("tokens are counted", async (model) => {
  const { messages } = ask("word ".repeat(100));
  const counted = await client.messages.countTokens({ model: model("echo"), messages });
  assert.ok(counted.input_tokens > 50 && counted.input_tokens < 400);
});

forEachProvider("what is wrong is a typed error", async (model) => {
  const asked = client.messages.create({ model: model("echo"), ...ask(), max_tokens: -1 });
  await assert.rejects(asked, (error) => error instanceof Anthropic.BadRequestError && error.status === 400);
});

test("a bad key is a typed error", async () => {
  const stranger = new Anthropic({ baseURL, apiKey: "sk-ant-nobody", maxRetries: 0 });
  await assert.rejects(stranger.messages.create({ model: "chat-house:echo", ...ask() }), Anthropic.AuthenticationError);
});

forEachProvider("a stream that breaks is an error", async (model) => {
  const stream = client.messages.stream({ model: model("fail-cut"), ...ask("one two three four five six seven") });
  await assert.rejects(stream.finalMessage(), Anthropic.APIError);
});
