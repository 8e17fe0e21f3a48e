// What the tests share: where the gateway is, who is behind it, and what an agent can do there.
import { test } from "node:test";
import { z } from "zod";

export const baseURL = process.env.TOLLWAY_URL;
export const apiKey = process.env.TOLLWAY_KEY;

const providers = process.env.TOLLWAY_PROVIDERS.split(",");

export const SAY = "one two three four";
export const TASK = 'call:weather({"city": "Oslo"}) and call:weather({"city": "Rome"})';
export const CITIES = [{ city: "Oslo" }, { city: "Rome" }];
export const City = z.object({ city: z.string() });
export const Weather = z.object({ city: z.string(), hours: z.array(z.object({ at: z.string(), wet: z.boolean() })) });

export const weather = ({ city }) => `fine in ${city}`;

/** All that a stream has to say. */
export const all = async (stream) => {
  const said = [];
  for await (const each of stream) said.push(each);
  return said;
};

/** The same test for a provider of each dialect; `model` makes a model's name. */
export const forEachProvider = (sentence, body) => {
  for (const provider of providers) {
    test(`${sentence} (${provider})`, { timeout: 20_000 }, () => body((name) => `${provider}:${name}`, provider));
  }
};
