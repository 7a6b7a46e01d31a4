// openai-node against the gateway.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import OpenAI from "openai";

const base = process.env.CLOWDER_URL;
const client = new OpenAI({ baseURL: `${base}/v1`, apiKey: "unused", maxRetries: 0 });
const model = "kitten";
const user = (content) => [{ role: "user", content }];

async function ask(content) {
  const answer = await client.chat.completions.create({ model, messages: user(content), temperature: 0 });
  return answer.choices[0].message.content;
}

async function inFlight() {
  const token = readFileSync(`${process.env.CLOWDER_HOME}/admin.token`, "utf8").trim();
  const answer = await fetch(`${base}/api/v1/status`, { headers: { authorization: `Bearer ${token}` } });
  return (await answer.json()).in_flight;
}

test("models are listed", async () => {
  const ids = [];
  for await (const entry of client.models.list()) ids.push(entry.id);
  assert.ok(ids.includes(model));
});

test("chat answers sensibly", async () => {
  assert.match(await ask("What is Clowder?"), /Clowder/);
});

test("a stream with usage is the answer in pieces", async () => {
  const whole = await ask("What is Clowder?");
  const stream = await client.chat.completions.create({
    model,
    messages: user("What is Clowder?"),
    temperature: 0,
    stream: true,
    stream_options: { include_usage: true },
  });
  let text = "";
  let usage;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta?.content ?? "";
    usage = chunk.usage ?? usage;
  }
  assert.equal(text, whole);
  assert.ok(usage.completion_tokens > 0);
});

test("several turns, accents, Chinese and emoji stay intact", async () => {
  assert.ok((await ask("Repeat after me: 你好 🐱")).includes("你好 🐱"));
  const messages = user("My name is Zoë.");
  const first = await client.chat.completions.create({ model, messages, temperature: 0 });
  messages.push(first.choices[0].message, ...user("What is my name?"));
  const second = await client.chat.completions.create({ model, messages, temperature: 0 });
  assert.match(second.choices[0].message.content, /Zoë/);
});

test("stop, seed and max_tokens are honoured", async () => {
  const stopped = await client.chat.completions.create({
    model,
    messages: user("Count from 1 to 200."),
    temperature: 0,
    stop: "7",
  });
  assert.equal(stopped.choices[0].finish_reason, "stop");
  assert.ok(!stopped.choices[0].message.content.includes("7"));
  const draw = async () => {
    const drawn = { model, messages: user("hello"), temperature: 1.5, seed: 7, max_tokens: 16 };
    return (await client.chat.completions.create(drawn)).choices[0].message.content;
  };
  assert.equal(await draw(), await draw());
  const cut = await client.chat.completions.create({ model, messages: user("Count from 1 to 200."), max_tokens: 3 });
  assert.equal(cut.choices[0].finish_reason, "length");
});

test("an aborted stream frees its place", async () => {
  const stream = await client.chat.completions.create({ model, messages: user("Count from 1 to 200."), stream: true });
  for await (const _ of stream) {
    stream.controller.abort();
  }
  const deadline = Date.now() + 30_000;
  while ((await inFlight()) !== 0) {
    assert.ok(Date.now() < deadline, "the aborted request is still in flight");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
});

test("an unknown model names those that exist", async () => {
  await assert.rejects(client.chat.completions.create({ model: "gpt-9", messages: user("hi") }), (error) => {
    assert.equal(error.status, 404);
    assert.match(error.message, /kitten/);
    return true;
  });
});
