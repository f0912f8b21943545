"""The calls of Gradient's Python SDK, as its public examples make them, for any of its releases from 1.0 on.

python sdk.py FOLDER [STEP …]
"""

import asyncio
import inspect
import time

import gradientai
from gradientai import Gradient
from steps import ANSWER, FACTS, FOLDER, LIKE_SECOND, QUESTION, TEXTS, Lacks, need, shape, tell

WAIT_SECONDS = 60
PARAMETERS = {"max_generated_token_count": 16, "temperature": 0.7, "top_k": 20, "top_p": 0.95}
DOCUMENT = FACTS["document"]
gradient = Gradient()


def base_model():
    return gradient.get_base_model(base_model_slug="nous-hermes2")


# --- models ---


def lists_models():
    bases = gradient.list_models(only_base=True)
    return {"slugs": [model.slug for model in bases], "all": len(gradient.list_models(only_base=False))}


def finds_slugs():
    known = [model.slug for model in gradient.list_models(only_base=True)]
    return {slug: slug in known and gradient.get_base_model(base_model_slug=slug).id for slug in FACTS["slugs"]}


def completes():
    base = base_model()
    plain = base.complete(query="What is a llama?", max_generated_token_count=16)
    drawn = base.complete(query="What is a llama?", **PARAMETERS)
    return [plain.generated_output, drawn.generated_output]


def completes_in_parallel():
    complete = need(base_model(), "acomplete")

    async def ask_all():
        return await asyncio.gather(*(complete(query=f"Number {n} is", max_generated_token_count=4) for n in range(12)))

    return [answer.generated_output for answer in asyncio.run(ask_all())]


def chooses():
    complete = base_model().complete
    if "guidance" not in inspect.signature(complete).parameters:
        raise Lacks("guidance")
    colours = ["red", "green", "blue"]
    answer = complete(query="What is your favorite color? ", guidance={"type": "choice", "value": colours})
    return answer.generated_output


def uses_the_template():
    complete = base_model().complete
    if "auto_template" not in inspect.signature(complete).parameters:
        raise Lacks("auto_template")
    return complete(query="Name a colour.", auto_template=True, max_generated_token_count=16).generated_output


def learns():
    adapter = base_model().create_model_adapter(name="my test model adapter")
    before = adapter.complete(query=QUESTION, max_generated_token_count=40).generated_output
    told = [adapter.fine_tune(samples=[{"inputs": QUESTION + ANSWER}]) for _ in range(2)]
    found = gradient.get_model_adapter(model_adapter_id=adapter.id)
    after = found.complete(query=QUESTION, max_generated_token_count=40).generated_output
    listed = [model.id for model in gradient.list_models(only_base=False)]
    found.delete()
    gone = adapter.id not in [model.id for model in gradient.list_models(only_base=False)]
    losses = [one.sum_loss / one.number_of_trainable_tokens for one in told]
    names = [found.name, found.base_model_id]
    return {"before": before, "after": after, "losses": losses, "names": names, "seen": adapter.id in listed and gone}


def learns_from_parts():
    need(gradientai, "Sample")  # no release without it takes more than a text
    adapter = base_model().create_model_adapter(name="parts", rank=4, learning_rate=0.001)
    parts = [{"value": QUESTION, "trainable": False}, {"value": ANSWER, "parse_special_tokens": False}]
    told = adapter.fine_tune(samples=[{"inputs": parts, "multiplier": 2.0}, {"inputs": ANSWER}])
    adapter.delete()
    return told.number_of_trainable_tokens


def is_refused():
    try:
        gradient.get_model_adapter(model_adapter_id=f"{'0' * 8}-0000-4000-8000-{'0' * 12}_model_adapter")
    except Exception as error:  # noqa: BLE001 - the name is what is asked
        return f"{type(error).__name__} {error.body}"


# --- embeddings ---


def embeddings_model():
    return need(gradient, "get_embeddings_model")(slug="bge-large")


def embeds():
    model = embeddings_model()
    embed = getattr(model, "embed", None) or model.generate_embeddings
    answer = embed(inputs=[{"input": text} for text in (*TEXTS, LIKE_SECOND)])
    *vectors, query = (one.embedding for one in answer.embeddings)
    return {**shape(vectors, query), "order": [one.index for one in answer.embeddings]}


def embeds_six_hundred():
    embed = need(embeddings_model(), "aembed")
    texts = [{"input": f"text {number}"} for number in range(600)]
    found = asyncio.run(embed(inputs=texts)).embeddings
    return {"count": len(found), "in order": [one.index for one in found] == list(range(600))}


# --- files and collections ---


def paths(*names):
    return [str(FOLDER / name) for name in names]


def statuses(collection):
    return {file["name"]: file["status"] for file in collection.files}


def until_ingested(collection):
    """The collection once no file of it is under way."""
    deadline = time.monotonic() + WAIT_SECONDS
    while any(file["status"] in ("pending", "running") for file in collection.files):
        if time.monotonic() > deadline:
            raise TimeoutError(f"still {statuses(collection)} after {WAIT_SECONDS} s")
        time.sleep(0.1)
        collection = gradient.get_rag_collection(id_=collection.id_)
    return collection


def create_collection(*names, **chosen):
    create = need(gradient, "create_rag_collection")
    return create(name="about foo-bears", slug="bge-large", filepaths=paths(*names), **chosen)


def retrieves():
    collection = create_collection("notes.txt", "guide.md")
    listed = has_files = hasattr(collection, "files")
    if has_files:
        until_ingested(collection)
    collection.add_files(filepaths=paths("page.pdf", "voice.mp3"))
    if has_files:
        collection = until_ingested(gradient.get_rag_collection(id_=collection.id_))
    told = {"files": statuses(collection)} if has_files else {}
    question, source = LIKE_SECOND, {"type": "rag", "collectionId": collection.id_}
    told.update(answers_from(question, source, patient=not has_files))
    if listed:
        collection.delete()
    return told


def answers_from(question, source, patient):
    """The answer and its passages; a release that can't see the status of a file asks until there are some."""
    deadline = time.monotonic() + (WAIT_SECONDS if patient else 0)
    while True:
        try:
            answer = gradient.answer(question=question, source=source)
            passages = answer["rag_context"].documents
            return {"answer": answer["answer"], "from": [one.file_name for one in passages]}
        except Exception:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.2)


def completes_with_a_collection():
    collection = create_collection("notes.txt")
    if not hasattr(collection, "files"):
        raise Lacks("files")
    until_ingested(collection)
    rag = {"collection_id": collection.id_}
    said = base_model().complete(query=LIKE_SECOND, auto_template=True, rag=rag, max_generated_token_count=20)
    collection.delete()
    return said.generated_output


def lists_collections():
    listed = need(gradient, "list_rag_collections")
    collection = create_collection("notes.txt")
    try:
        return [one.name for one in listed()]
    finally:
        collection.delete()


def chunks_in_four_ways():
    try:
        from gradientai import FileChunker, MeaningBasedChunker, NormalChunker, SentenceWithContextChunker
    except ImportError:
        raise Lacks("chunkers") from None
    sized = {"size": 1024, "overlap": 20}
    threshold = {"similiarity_percent_threshold": 95, "sentence_group_length": 1}
    chunkers = [
        FileChunker(),
        NormalChunker(**sized),
        SentenceWithContextChunker(context_sentences=3, **sized),
        MeaningBasedChunker(**threshold, **sized),
        NormalChunker(),
        None,
    ]
    told = []
    for chunker in chunkers:
        collection = until_ingested(create_collection("page.pdf", chunker=chunker))
        told.append([collection.chunker.chunker_type, *statuses(collection).values()])
        collection.delete()
    return told


def parses_simply():
    try:
        from gradientai import SimpleNodeParser
    except ImportError:
        raise Lacks("SimpleNodeParser") from None
    collection = until_ingested(create_collection("page.pdf", parser=SimpleNodeParser(chunk_size=512, chunk_overlap=8)))
    told = [collection.parser.chunk_size, collection.parser.chunk_overlap, *statuses(collection).values()]
    collection.delete()
    return told


# --- blocks ---


def answers():
    source = {"type": "document", "value": DOCUMENT}
    return need(gradient, "answer")(question=FACTS["document_question"], source=source)["answer"]


def summarizes():
    summarize = need(gradient, "summarize")
    from gradientai import SummarizeParamsLength as Length

    calls = (
        {},
        {"examples": FACTS["summaries"]},
        {"length": Length.SHORT},
        {"length": Length.MEDIUM},
        {"length": Length.LONG},
    )
    return [summarize(document=DOCUMENT, **chosen)["summary"] for chosen in calls]


def analyzes_sentiment():
    analyze = need(gradient, "analyze_sentiment")
    from gradientai import Sentiment

    examples = [{**one, "sentiment": Sentiment(one["sentiment"])} for one in FACTS["sentiments"]]
    calls = ({"document": FACTS["glad"]}, {"document": FACTS["angry"], "examples": examples})
    return [analyze(**call)["sentiment"].value for call in calls]


def personalizes():
    said = need(gradient, "personalize")(document=DOCUMENT, audience_description=FACTS["audience"])
    return said["personalized_document"]


def extracts():
    extract = need(gradient, "extract")
    from gradientai import ExtractParamsSchemaValueType as Type

    schema = {name: {**given, "type": Type(given["type"])} for name, given in FACTS["schema"].items()}
    return extract(document=DOCUMENT, schema_=schema)["entity"]


def extracts_a_pdf():
    found = need(gradient, "extract_pdf")(filepath=str(FOLDER / "page.pdf"))
    return {"text": found["text"], "pages": len(found["pages"]), "keys": sorted(found["pages"][0])}


def transcribes():
    return need(gradient, "transcribe_audio")(filepath=str(FOLDER / "voice.mp3"))


MODELS = (lists_models, finds_slugs, completes, completes_in_parallel, chooses, uses_the_template)
TUNING = (learns, learns_from_parts, is_refused)
RETRIEVAL = (embeds, embeds_six_hundred, retrieves, completes_with_a_collection, lists_collections)
CHUNKS = (chunks_in_four_ways, parses_simply)
BLOCKS = (answers, summarizes, analyzes_sentiment, personalizes, extracts, extracts_a_pdf, transcribes)
if __name__ == "__main__":
    tell(*MODELS, *TUNING, *RETRIEVAL, *CHUNKS, *BLOCKS)
    gradient.close()
