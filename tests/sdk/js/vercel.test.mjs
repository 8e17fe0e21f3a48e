import assert from "node:assert/strict";
import { test } from "node:test";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { APICallError, embedMany, generateObject, generateText, stepCountIs, streamObject, streamText, tool } from "ai";
import { all, apiKey, baseURL, City, forEachProvider, SAY, TASK, Weather, weather } from "./street.mjs";

globalThis.AI_SDK_LOG_WARNINGS = false;
const openai = createOpenAI({ baseURL: `${baseURL}/v1`, apiKey });
const anthropic = createAnthropic({ baseURL: `${baseURL}/v1`, apiKey });
const CLIENTS = { chat: openai.chat, responses: openai.responses, messages: anthropic };
const tools = { weather: tool({ description: "The weather.", inputSchema: City, execute: weather }) };

for (const [surface, make] of Object.entries(CLIENTS)) {
  forEachProvider(`${surface}: text is generated and streamed`, async (model) => {
    const { text, usage, finishReason } = await generateText({ model: make(model("echo")), prompt: SAY, maxRetries: 0 });
    assert.equal(text, SAY);
    assert.equal(finishReason, "stop");
    assert.ok(usage.inputTokens > 0 && usage.outputTokens > 0);
    const streamed = streamText({ model: make(model("think")), prompt: SAY, maxRetries: 0 });
    assert.equal((await all(streamed.textStream)).join(""), SAY);
    assert.ok((await streamed.usage).outputTokens > 0);
  });

  forEachProvider(`${surface}: an agent calls its tools, and streams while it does`, async (model) => {
    const asked = { model: make(model("echo")), prompt: TASK, tools, stopWhen: stepCountIs(4), maxRetries: 0 };
    const whole = await generateText(asked);
    const streamed = streamText(asked);
    await streamed.consumeStream();
    for (const text of [whole.text, await streamed.text]) {
      assert.match(text, /fine in Oslo[^]*fine in Rome/);
    }
    assert.equal(whole.steps.length, 2);
    assert.equal((await streamed.steps).length, 2);
  });

  forEachProvider(`${surface}: an object is generated and streamed`, async (model) => {
    const prompt = surface === "messages" ? 'call:json({"city": "Oslo", "hours": []})' : SAY;
    const asked = { model: make(model("echo")), prompt, schema: Weather, maxRetries: 0 };
    assert.ok(Weather.parse((await generateObject(asked)).object));
    const streamed = streamObject(asked);
    assert.ok(Weather.parse((await all(streamed.partialObjectStream)).at(-1)));
    assert.ok(Weather.parse(await streamed.object));
  });

  forEachProvider(`${surface}: an error has its status, and a broken stream is one`, async (model) => {
    const onError = () => {};
    const failing = generateText({ model: make("nothing:x"), prompt: SAY, maxRetries: 0 });
    await assert.rejects(failing, (error) => APICallError.isInstance(error) && error.statusCode === 422);
    const broken = streamText({ model: make(model("fail-cut")), prompt: "a b c d e f", maxRetries: 0, onError });
    const parts = await all(broken.fullStream);
    assert.ok(parts.some((part) => part.type === "error"));
    assert.notEqual(parts.findLast((part) => part.type === "finish")?.finishReason, "stop");
  });
}

test("embeddings arrive", async () => {
  for (const model of ["chat-house:embed", "google:embed"]) {
    const { embeddings } = await embedMany({ model: openai.embedding(model), values: ["one", "two"], maxRetries: 0 });
    assert.deepEqual(embeddings.map((vector) => vector.length), [64, 64]);
  }
});
