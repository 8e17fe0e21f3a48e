import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";
import { zodFunction, zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { all, apiKey, baseURL, CITIES, City, forEachProvider, SAY, TASK, Weather, weather } from "./street.mjs";

const client = new OpenAI({ baseURL: `${baseURL}/v1`, apiKey, maxRetries: 0 });
// The stream helper of this client leaves `output_text` out.
const textOf = ({ output }) =>
  output.filter((item) => item.type === "message").flatMap((item) => item.content).map((part) => part.text).join("");
const messages = (content = SAY) => [{ role: "user", content }];
const responsesTool = {
  type: "function",
  name: "weather",
  parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  strict: false,
};

forEachProvider("chat answers whole and streamed", async (model) => {
  const whole = await client.chat.completions.create({ model: model("echo"), messages: messages() });
  assert.equal(whole.choices[0].message.content, SAY);
  const options = { stream: true, stream_options: { include_usage: true } };
  const stream = await client.chat.completions.create({ model: model("echo"), messages: messages(), ...options });
  const chunks = await all(stream);
  assert.equal(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join(""), SAY);
  assert.ok(chunks.at(-1).usage.completion_tokens > 0);
});

forEachProvider("the stream helper of chat puts tool calls together", async (model) => {
  const tools = [zodFunction({ name: "weather", parameters: City })];
  const stream = client.chat.completions.stream({ model: model("echo"), messages: messages(TASK), tools });
  const { message, finish_reason } = (await stream.finalChatCompletion()).choices[0];
  assert.equal(finish_reason, "tool_calls");
  assert.deepEqual(message.tool_calls.map((call) => call.function.parsed_arguments), CITIES);
});

forEachProvider("the parse helper of chat reads structured output", async (model) => {
  const response_format = zodResponseFormat(Weather, "weather");
  const parsed = await client.chat.completions.parse({ model: model("echo"), messages: messages(), response_format });
  assert.ok(Weather.parse(parsed.choices[0].message.parsed));
});

forEachProvider("the tool runner of chat runs, streamed too", async (model) => {
  const run = { type: "function", function: { name: "weather", function: weather, parse: JSON.parse } };
  run.function.parameters = responsesTool.parameters;
  for (const stream of [false, true]) {
    const runner = client.chat.completions.runTools({
      model: model("echo"), messages: messages(TASK), tools: [run], stream,
    });
    const text = await runner.finalContent();
    assert.match(text, /fine in Oslo[^]*fine in Rome/);
  }
});

forEachProvider("responses answer whole, streamed and parsed", async (model) => {
  const whole = await client.responses.create({ model: model("think"), input: SAY });
  assert.equal(whole.output_text, SAY);
  const stream = client.responses.stream({ model: model("think"), input: SAY });
  const events = await all(stream);
  assert.equal(events.at(-1).type, "response.completed");
  assert.equal(textOf(await stream.finalResponse()), SAY);
  const text = { format: zodTextFormat(Weather, "weather") };
  const parsed = await client.responses.parse({ model: model("echo"), input: SAY, text });
  assert.ok(Weather.parse(parsed.output_parsed));
});

forEachProvider("an agent on responses goes through its turns", async (model) => {
  const input = messages(TASK);
  const asked = { model: model("think"), tools: [responsesTool], store: false };
  const include = ["reasoning.encrypted_content"];
  const first = await client.responses.stream({ ...asked, include, input }).finalResponse();
  const calls = first.output.filter((item) => item.type === "function_call");
  assert.deepEqual(calls.map((call) => JSON.parse(call.arguments)), CITIES);
  for (const { call_id, arguments: given } of calls) {
    input.push({ type: "function_call_output", call_id, output: weather(JSON.parse(given)) });
  }
  input.splice(1, 0, ...first.output.map(({ parsed_arguments, ...item }) => item));
  const last = await client.responses.stream({ ...asked, include, input }).finalResponse();
  assert.match(textOf(last), /fine in Oslo[^]*fine in Rome/);
});

test("embeddings arrive, in base64 too, which is what this client asks for", async () => {
  const input = ["one", "two"];
  for (const model of ["chat-house:embed", "google:embed"]) {
    const found = await client.embeddings.create({ model, input, dimensions: 8 });
    assert.deepEqual(found.data.map((item) => item.embedding.length), [8, 8]);
  }
});

forEachProvider("what is wrong is a typed error", async (model) => {
  const asked = client.chat.completions.create({ model: model("echo"), messages: "hello" });
  const isNamed = (error) => error.param === "messages" && error.status === 400;
  await assert.rejects(asked, (error) => error instanceof OpenAI.BadRequestError && isNamed(error));
});

test("an unknown model and a bad key are typed errors", async () => {
  const unknown = client.models.retrieve("nothing");
  await assert.rejects(unknown, (error) => error instanceof OpenAI.NotFoundError && error.code === "not_found");
  const stranger = new OpenAI({ baseURL: `${baseURL}/v1`, apiKey: "sk-nobody", maxRetries: 0 });
  await assert.rejects(stranger.models.list().asResponse(), OpenAI.AuthenticationError);
});

forEachProvider("a stream that breaks is an error", async (model) => {
  const asked = { model: model("fail-cut"), messages: messages("one two three four five six seven"), stream: true };
  const stream = await client.chat.completions.create(asked);
  await assert.rejects(all(stream), OpenAI.APIError);
});
