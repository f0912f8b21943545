"""LangChain's two pages on Gradient and what other programs do with its classes.

python langchain_python.py FOLDER [STEP …]
"""

import asyncio

from gradientai import Gradient
from langchain_classic.chains import LLMChain
from langchain_community.embeddings import GradientEmbeddings
from langchain_community.llms import GradientLLM
from langchain_community.tools.memorize.tool import Memorize
from langchain_core.prompts import PromptTemplate
from langchain_core.vectorstores import InMemoryVectorStore
from steps import ANSWER, LIKE_SECOND, QUESTION, TEXTS, shape, tell

TEMPLATE = "Question: {question}\n\nAnswer: "
QUESTIONS = [f"Number {number} is" for number in range(10)]


def new_adapter():
    """The last of the base models, as LangChain's page takes it, with an adapter on it."""
    return Gradient().list_models(only_base=True)[-1].create_model_adapter(name="my_model_adapter")


def llm_of(model, **parameters):
    return GradientLLM(model=model.id, model_kwargs={"max_generated_token_count": 40, **parameters})


def takes_the_last_model():
    return [model.id for model in Gradient().list_models(only_base=True)[-3:]]


def completes():
    """All four ways to ask, with the parameters that programs send."""
    base = Gradient().list_models(only_base=True)[-1]
    llm = llm_of(base, temperature=0.75, top_p=0.95, top_k=20, stop=[])

    async def ask_all():
        return [await llm.ainvoke("A llama is"), *await llm.abatch(QUESTIONS)]

    return [llm.invoke("A llama is"), *llm.batch(QUESTIONS), *asyncio.run(ask_all())]


def stops():
    return llm_of(Gradient().list_models(only_base=True)[-1]).invoke("one two three", stop=["two"])


def learns():
    """The page's chain, asked before and after a fine-tune of the adapter behind it."""
    adapter = new_adapter()
    prompt = PromptTemplate.from_template(TEMPLATE)
    chain = prompt | llm_of(adapter)
    question = "Where do foo-bears live?"
    before = chain.invoke({"question": question})
    adapter.fine_tune(samples=[{"inputs": TEMPLATE.format(question=question) + ANSWER}])
    after = [chain.invoke({"question": question}), LLMChain(prompt=prompt, llm=llm_of(adapter)).run(question=question)]
    adapter.delete()
    return {"before": before, "after": after}


def memorizes():
    """The page on learning by a tool: train_unsupervised, its asynchronous form, and weighed samples."""
    adapter = new_adapter()
    llm = llm_of(adapter)
    said = Memorize(llm=llm).run(QUESTION + ANSWER)
    losses = [
        asyncio.run(llm.atrain_unsupervised([QUESTION + ANSWER]))["loss"],
        llm.train_unsupervised([QUESTION + ANSWER], multipliers=[2.0])["loss"],
    ]
    after = llm.invoke(QUESTION)
    adapter.delete()
    return {"said": said, "losses": losses, "after": after}


def is_refused():
    try:
        return GradientLLM(model=f"{'0' * 8}-0000-4000-8000-{'0' * 12}_model_adapter").invoke("Hello")
    except Exception as error:  # noqa: BLE001 - LangChain raises no other
        return str(error)


def embeds():
    embeddings = GradientEmbeddings(model="bge-large")
    asked = asyncio.run(embeddings.aembed_query(LIKE_SECOND))
    return [
        shape(embeddings.embed_documents(TEXTS), asked),
        shape(asyncio.run(embeddings.aembed_documents(TEXTS)), embeddings.embed_query(LIKE_SECOND)),
    ]


def retrieves():
    store = InMemoryVectorStore.from_texts(TEXTS, GradientEmbeddings(model="bge-large"))
    return [found.page_content for found in store.similarity_search(LIKE_SECOND, k=1)]


if __name__ == "__main__":
    tell(takes_the_last_model, completes, stops, learns, memorizes, is_refused, embeds, retrieves)
