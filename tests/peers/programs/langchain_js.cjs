// LangChain.js' model and embeddings, as its examples use them.
//
//   node langchain_js.cjs FOLDER [STEP …]
const { Gradient } = require("@gradientai/nodejs-sdk");
const { GradientEmbeddings } = require("@langchain/community/embeddings/gradient_ai");
const { GradientLLM } = require("@langchain/community/llms/gradient_ai");
const { PromptTemplate } = require("@langchain/core/prompts");
const { QUESTION, ANSWER, TEXTS, LIKE_SECOND, shape, tell } = require("./steps.cjs");

const SOCKS = "What would be a good company name for a company that makes colorful socks?";

async function completes() {
  const inferenceParameters = { maxGeneratedTokenCount: 20, temperature: 0 };
  const model = new GradientLLM({ modelSlug: "llama2-7b-chat", inferenceParameters });
  const chain = PromptTemplate.fromTemplate("Name a {thing}.").pipe(model);
  return [await model.invoke(SOCKS), await chain.invoke({ thing: "colour" }), ...(await model.batch(["one", "two", "three"]))];
}

async function learns() {
  const base = await new Gradient({}).getBaseModel({ baseModelSlug: "nous-hermes2" });
  const adapter = await base.createModelAdapter({ name: "for LangChain.js" });
  const model = new GradientLLM({ adapterId: adapter.id, inferenceParameters: { maxGeneratedTokenCount: 40 } });
  const before = await model.invoke(QUESTION);
  await adapter.fineTune({ samples: [{ inputs: QUESTION + ANSWER }] });
  const after = await model.invoke(QUESTION);
  await adapter.delete();
  return { before, after };
}

async function embeds() {
  const model = new GradientEmbeddings({});
  return shape(await model.embedDocuments(TEXTS), await model.embedQuery(LIKE_SECOND));
}

async function embeds_six_hundred() {
  const texts = Array.from({ length: 600 }, (_, number) => `text ${number}`);
  return (await new GradientEmbeddings({}).embedDocuments(texts)).length;
}

tell(completes, learns, embeds, embeds_six_hundred);
