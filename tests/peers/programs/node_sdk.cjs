// The calls of Gradient's Node SDK, as its public examples make them.
//
//   node node_sdk.cjs FOLDER [STEP …]
const { Gradient } = require("@gradientai/nodejs-sdk");
const { FACTS, QUESTION, ANSWER, TEXTS, LIKE_SECOND, shape, paths, tell } = require("./steps.cjs");

const WAIT_SECONDS = 60;
const DOCUMENT = FACTS.document;
const gradient = new Gradient({});
const baseModel = () => gradient.getBaseModel({ baseModelSlug: "nous-hermes2" });

// --- models ---

async function lists_models() {
  const bases = await gradient.listModels({ onlyBase: true });
  const able = await gradient.listModels({ onlyBase: true, capability: "fineTune" });
  return { slugs: bases.map((model) => model.slug), able: able.length };
}

async function finds_slugs() {
  const bases = await gradient.listModels({ onlyBase: true });
  const found = FACTS.slugs.map((slug) => [slug, bases.find((model) => model.slug === slug)?.id ?? false]);
  return Object.fromEntries(found);
}

async function completes() {
  const base = await baseModel();
  const plain = await base.complete({ query: "What is a llama?", maxGeneratedTokenCount: 16 });
  const drawn = await base.complete({
    query: "What is a llama?", maxGeneratedTokenCount: 16, temperature: 0.7, topK: 20, topP: 0.95,
  });
  return [plain.generatedOutput, drawn.generatedOutput, plain.finishReason];
}

async function chooses() {
  const base = await baseModel();
  const guidance = { type: "choice", value: ["red", "green", "blue"] };
  return (await base.complete({ query: "What is your favorite color? ", guidance })).generatedOutput;
}

async function uses_the_template() {
  const base = await baseModel();
  return (await base.complete({ query: "Name a colour.", autoTemplate: true, maxGeneratedTokenCount: 16 })).generatedOutput;
}

async function learns() {
  const adapter = await (await baseModel()).createModelAdapter({ name: "my test model adapter" });
  const ask = async (model) => (await model.complete({ query: QUESTION, maxGeneratedTokenCount: 40 })).generatedOutput;
  const before = await ask(adapter);
  const losses = [];
  for (let call = 0; call < 2; call++) {
    const told = await adapter.fineTune({ samples: [{ inputs: QUESTION + ANSWER }] });
    losses.push(told.sumLoss / told.numberOfTrainableTokens);
  }
  const after = await ask(await gradient.getModelAdapter({ modelAdapterId: adapter.id }));
  await adapter.delete();
  return { before, after, losses };
}

// What programs give beside the inputs, which this SDK passes on as it is.
async function learns_from_parts() {
  const adapter = await (await baseModel()).createModelAdapter({ name: "parts", rank: 4, learningRate: 0.001 });
  const parts = [{ value: QUESTION, trainable: false }, { value: ANSWER, parseSpecialTokens: false }];
  const samples = [
    { inputs: parts, fineTuningParameters: { multiplier: 2 } },
    { inputs: ANSWER, source: "a key of the program's own" },
  ];
  const told = await adapter.fineTune({ samples });
  await adapter.delete();
  return told.numberOfTrainableTokens;
}

// --- embeddings ---

async function embeds() {
  const model = await gradient.getEmbeddingsModel({ slug: "bge-large" });
  const inputs = [...TEXTS, LIKE_SECOND].map((input) => ({ input }));
  const { embeddings } = await model.generateEmbeddings({ inputs });
  const vectors = embeddings.map((one) => one.embedding);
  return { ...shape(vectors.slice(0, -1), vectors.at(-1)), order: embeddings.map((one) => one.index) };
}

// --- files and collections ---

async function untilIngested(id) {
  const deadline = Date.now() + WAIT_SECONDS * 1000;
  for (;;) {
    const collection = await gradient.getRagCollection({ id });
    if (!collection.files.some((file) => ["pending", "running"].includes(file.status))) return collection;
    if (Date.now() > deadline) throw new Error(`still ${JSON.stringify(collection.files)}`);
    await new Promise((done) => setTimeout(done, 100));
  }
}

const statuses = (collection) => Object.fromEntries(collection.files.map((file) => [file.name, file.status]));
const create = (names, chosen) =>
  gradient.createRagCollection({ name: "about foo-bears", slug: "bge-large", filepaths: paths(...names), ...chosen });

async function retrieves() {
  const created = await create(["notes.txt", "guide.md"]);
  await created.addFiles({ filepaths: paths("page.pdf", "voice.mp3") });
  const collection = await untilIngested(created.id);
  const source = { type: "rag", collectionId: collection.id };
  const { answer, ragContext } = await gradient.answer({ question: LIKE_SECOND, source });
  await collection.delete({});
  return { files: statuses(collection), answer, from: ragContext.documents.map((one) => one.fileName) };
}

async function completes_with_a_collection() {
  const { id } = await create(["notes.txt"]);
  const collection = await untilIngested(id);
  const base = await baseModel();
  const said = await base.complete({
    query: LIKE_SECOND, autoTemplate: true, rag: { collectionId: id }, maxGeneratedTokenCount: 20,
  });
  await collection.delete({});
  return said.generatedOutput;
}

async function lists_collections() {
  const collection = await create(["notes.txt"]);
  const names = (await gradient.listRagCollections({})).map((one) => one.name);
  await collection.delete({});
  return names;
}

async function chunks_in_four_ways() {
  const sized = { size: 1024, overlap: 20 };
  const chunkers = [
    { chunkerType: "fileChunker" },
    { chunkerType: "normalChunker", ...sized },
    { chunkerType: "sentenceWithContextChunker", contextSentences: 3, ...sized },
    { chunkerType: "meaningBasedChunker", sentenceGroupLength: 1, similiarityPercentThreshold: 95, ...sized },
    { chunkerType: "normalChunker" },
    undefined,
  ];
  const told = [];
  for (const chunker of chunkers) {
    const collection = await untilIngested((await create(["page.pdf"], { chunker })).id);
    told.push([collection.chunker.chunkerType, ...Object.values(statuses(collection))]);
    await collection.delete({});
  }
  return told;
}

// --- blocks ---

async function answers() {
  const source = { type: "document", value: DOCUMENT };
  return (await gradient.answer({ question: FACTS.document_question, source })).answer;
}

async function summarizes() {
  const calls = [{}, { examples: FACTS.summaries }, { length: "short" }, { length: "medium" }, { length: "long" }];
  const told = [];
  for (const chosen of calls) told.push((await gradient.summarize({ document: DOCUMENT, ...chosen })).summary);
  return told;
}

async function analyzes_sentiment() {
  const calls = [{ document: FACTS.glad }, { document: FACTS.angry, examples: FACTS.sentiments }];
  const told = [];
  for (const call of calls) told.push((await gradient.analyzeSentiment(call)).sentiment);
  return told;
}

async function personalizes() {
  const told = await gradient.personalize({ document: DOCUMENT, audienceDescription: FACTS.audience });
  return told.personalizedDocument;
}

async function extracts() {
  return (await gradient.extract({ document: DOCUMENT, schema: FACTS.schema })).entity;
}

async function extracts_a_pdf() {
  const found = await gradient.extractPdf({ filepath: paths("page.pdf")[0] });
  return { text: found.text, pages: found.pages.length, keys: Object.keys(found.pages[0]).sort() };
}

async function transcribes() {
  return gradient.transcribeAudio({ filepath: paths("voice.mp3")[0] });
}

tell(
  lists_models, finds_slugs, completes, chooses, uses_the_template, learns, learns_from_parts, embeds, retrieves,
  completes_with_a_collection, lists_collections, chunks_in_four_ways, answers, summarizes, analyzes_sentiment,
  personalizes, extracts, extracts_a_pdf, transcribes,
);
