"""LlamaIndex's model, its engine that fine-tunes and its embeddings, as its notebooks on Gradient use them.

python llama_index_notebooks.py FOLDER [STEP …]

For LlamaIndex in one package (0.9) and in packages of its own (0.10).
"""

import asyncio
import contextlib
import io
import json

from gradientai import Gradient
from llama_index.embeddings.gradient import GradientEmbedding
from llama_index.llms.gradient import GradientBaseModelLLM, GradientModelAdapterLLM

try:
    from llama_index.core.llms import ChatMessage
except ImportError:
    from llama_index.llms import ChatMessage
from steps import ANSWER, FOLDER, LIKE_SECOND, QUESTION, TEXTS, Lacks, shape, tell

PROMPT = f"<s>{QUESTION}"  # as the notebooks write it: the first of Llama's own tokens
SAMPLE = f"<s>{QUESTION}{ANSWER}</s>"


def base_llm():
    return GradientBaseModelLLM(base_model_slug="nous-hermes2", max_tokens=40)


def completes():
    """The notebook's first cell, its asynchronous form, and a chat."""
    llm = GradientBaseModelLLM(base_model_slug="llama2-7b-chat", max_tokens=40)
    question = "Can you tell me about large language models?"
    said = llm.chat([ChatMessage(role="user", content=question)]).message.content
    return [llm.complete(question).text, asyncio.run(llm.acomplete(question)).text, said]


def learns():
    """An adapter that was tuned through the SDK, asked by LlamaIndex."""
    base = Gradient().get_base_model(base_model_slug="nous-hermes2")
    adapter = base.create_model_adapter(name="for LlamaIndex")
    adapter.fine_tune(samples=[{"inputs": SAMPLE}])
    after = GradientModelAdapterLLM(model_adapter_id=adapter.id, max_tokens=40).complete(PROMPT).text
    adapter.delete()
    return {"before": base_llm().complete(PROMPT).text, "after": after}


def learns_by_the_engine():
    """The notebook's own course: a file of samples, two epochs, and the model that the engine gives back."""
    before = base_llm().complete(PROMPT).text
    engine = engine_on([{"inputs": SAMPLE}], base_model_slug="nous-hermes2", name="my test finetune engine")
    for _ in range(2):
        engine.finetune()
    llm = engine.get_finetuned_model(max_tokens=40)
    after = llm.complete(PROMPT).text
    llm._model.delete()
    return {"before": before, "after": after}


def learns_in_steps():
    """As the notebooks on SQL and on structured answers: a sample a call, weighed, on an adapter that is there."""
    adapter = Gradient().get_base_model(base_model_slug="llama2-7b-chat").create_model_adapter(name="in steps")
    samples = [{"inputs": f"user: How much is {n}?\nassistant: It is {n}.", "multiplier": 1 + n} for n in range(3)]
    engine = engine_on(samples, model_adapter_id=adapter.id, verbose=True, max_steps=2, batch_size=1)
    with contextlib.redirect_stdout(io.StringIO()) as said:
        engine.finetune()
    adapter.delete()
    return said.getvalue().splitlines()


def engine_on(samples, **chosen):
    try:
        from llama_index.finetuning.gradient.base import GradientFinetuneEngine
    except ImportError:
        raise Lacks("GradientFinetuneEngine") from None
    data = FOLDER / "data.jsonl"
    data.write_text("".join(json.dumps(sample) + "\n" for sample in samples), encoding="utf-8")
    return GradientFinetuneEngine(data_path=str(data), **chosen)


def embeds():
    embed_model = GradientEmbedding(gradient_model_slug="bge-large")
    return shape(embed_model.get_text_embedding_batch(TEXTS), embed_model.get_query_embedding(LIKE_SECOND))


def retrieves():
    """An index over documents, and a question to it: the notebook's second flow."""
    index = index_of(base_llm(), GradientEmbedding(gradient_model_slug="bge-large", embed_batch_size=8))
    answer = index.as_query_engine(similarity_top_k=1).query(LIKE_SECOND)
    return {"found": [node.get_content() for node in answer.source_nodes], "answer": answer.response}


def index_of(llm, embed_model):
    try:
        from llama_index.core import Document, Settings, VectorStoreIndex
    except ImportError:
        from llama_index import Document, ServiceContext, VectorStoreIndex

        context = ServiceContext.from_defaults(chunk_size=256, llm=llm, embed_model=embed_model)
        return VectorStoreIndex.from_documents([Document(text=text) for text in TEXTS], service_context=context)
    Settings.llm, Settings.embed_model, Settings.chunk_size = llm, embed_model, 256
    return VectorStoreIndex.from_documents([Document(text=text) for text in TEXTS])


if __name__ == "__main__":
    tell(completes, learns, learns_by_the_engine, learns_in_steps, embeds, retrieves)
