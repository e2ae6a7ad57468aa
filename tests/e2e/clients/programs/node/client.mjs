// OpenAI's package for JavaScript: see ../told.py.
import OpenAI from "openai";

const [real, scripted] = process.argv.slice(2);
const client = new OpenAI({ baseURL: real, apiKey: "none", maxRetries: 0 });
const messages = [{ role: "user", content: "What is the range of the Orlo Hub?" }];
const tools = [{
  type: "function",
  function: {
    name: "find",
    description: "Finds a bicycle.",
    parameters: { type: "object", properties: { day: { type: "string" } }, required: ["day"] },
  },
}];
const schema = {
  type: "object",
  properties: { zeal: { type: "boolean" }, good: { type: "boolean" } },
  required: ["zeal", "good"],
  additionalProperties: false,
};
const read = (calls) => calls.map((call) => [call.function.name, JSON.parse(call.function.arguments)]);

async function streamed() {
  let text = "";
  for await (const chunk of await client.chat.completions.create({ model: "support", messages, stream: true })) {
    text += chunk.choices[0]?.delta?.content ?? "";
  }
  return text;
}

async function fails() {
  try {
    await client.chat.completions.create({ model: "nothing", messages });
    return "did not fail";
  } catch (error) {
    if (!(error instanceof OpenAI.NotFoundError)) throw error;
    return error.code;
  }
}

const whole = await client.chat.completions.create({ model: "support", messages });
const parsed = await client.chat.completions.parse({
  model: "support", messages, max_tokens: 60,
  response_format: { type: "json_schema", json_schema: { name: "rated", strict: true, schema } },
});
const caller = new OpenAI({ baseURL: scripted, apiKey: "secret-a", maxRetries: 0 });
const asked = (await caller.chat.completions.create({ model: "open", messages, tools })).choices[0].message;
const result = { role: "tool", tool_call_id: asked.tool_calls[0].id, content: "red" };
const answered = await caller.chat.completions.create({ model: "open", messages: [...messages, asked, result], tools });
const whole_stream = await caller.chat.completions.stream({ model: "open", messages, tools }).finalMessage();
console.log(JSON.stringify({
  whole: whole.choices[0].message.content,
  stream: await streamed(),
  asynchronous: [whole.choices[0].message.content, await streamed()],
  tokens: whole.usage.completion_tokens,
  parsed: Object.keys(JSON.parse(parsed.choices[0].message.content)),
  calls: read(asked.tool_calls),
  streamed_calls: read(whole_stream.tool_calls),
  after_a_call: answered.choices[0].message.tool_calls.length > 0,
  failure: await fails(),
}));
