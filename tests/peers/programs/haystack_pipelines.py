"""Haystack's generator and its two embedders, alone and in pipelines.

python haystack_pipelines.py FOLDER [STEP …]
"""

from gradientai import Gradient
from haystack import Document, Pipeline
from haystack.components.builders import AnswerBuilder, PromptBuilder
from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
from haystack.components.writers import DocumentWriter
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack_integrations.components.embedders.gradient import GradientDocumentEmbedder, GradientTextEmbedder
from haystack_integrations.components.generators.gradient import GradientGenerator
from steps import ANSWER, LIKE_SECOND, QUESTION, TEXTS, shape, tell


def generates():
    generator = GradientGenerator(
        base_model_slug="llama2-7b-chat", max_generated_token_count=16, temperature=0.7, top_k=3, top_p=0.9
    )
    again = GradientGenerator.from_dict(generator.to_dict())
    again.warm_up()
    return again.run(prompt="What is the meaning of life?")["replies"]


def learns():
    """An adapter that was tuned through the SDK, asked by a pipeline."""
    base = Gradient().get_base_model(base_model_slug="nous-hermes2")
    adapter = base.create_model_adapter(name="for a pipeline")
    pipeline = Pipeline()
    pipeline.add_component("prompt", PromptBuilder("{{ question }}", required_variables=["question"]))
    pipeline.add_component("llm", GradientGenerator(model_adapter_id=adapter.id, max_generated_token_count=40))
    pipeline.add_component("answers", AnswerBuilder())
    pipeline.connect("prompt", "llm")
    pipeline.connect("llm.replies", "answers.replies")

    def ask():
        given = {"prompt": {"question": QUESTION}, "answers": {"query": QUESTION}}
        return pipeline.run(given)["answers"]["answers"][0].data

    before = ask()
    adapter.fine_tune(samples=[{"inputs": QUESTION + ANSWER}])
    after = ask()
    adapter.delete()
    return {"before": before, "after": after}


def embeds():
    documents, text = GradientDocumentEmbedder(progress_bar=False), GradientTextEmbedder()
    documents.warm_up()
    text.warm_up()
    found = documents.run([Document(content=text) for text in TEXTS])["documents"]
    return shape([document.embedding for document in found], text.run(LIKE_SECOND)["embedding"])


def retrieves():
    """Documents into a store, and a question through a retriever and a prompt to the generator."""
    store = InMemoryDocumentStore()
    indexing = Pipeline()
    indexing.add_component("embedder", GradientDocumentEmbedder(progress_bar=False))
    indexing.add_component("writer", DocumentWriter(document_store=store))
    indexing.connect("embedder", "writer")
    indexing.run({"embedder": {"documents": [Document(content=text) for text in TEXTS]}})

    asking = Pipeline()
    asking.add_component("embedder", GradientTextEmbedder())
    asking.add_component("retriever", InMemoryEmbeddingRetriever(store, top_k=1))
    template = "{% for one in documents %}{{ one.content }}{% endfor %}\nQuestion: {{ question }}\nAnswer:"
    asking.add_component("prompt", PromptBuilder(template, required_variables="*"))
    asking.add_component("llm", GradientGenerator(base_model_slug="llama2-7b-chat", max_generated_token_count=16))
    asking.connect("embedder.embedding", "retriever.query_embedding")
    asking.connect("retriever", "prompt.documents")
    asking.connect("prompt", "llm")
    given = {"embedder": {"text": LIKE_SECOND}, "prompt": {"question": LIKE_SECOND}}
    told = asking.run(given, include_outputs_from={"retriever"})
    return {"found": [one.content for one in told["retriever"]["documents"]], "replies": told["llm"]["replies"]}


if __name__ == "__main__":
    tell(generates, learns, embeds, retrieves)
