"""GradientLLM in chains of langchain-core, against the service with a fake engine."""

from __future__ import annotations

import asyncio
import copy
import os
import pickle
import signal
import threading
import time
from fractions import Fraction

import numpy as np
import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import PromptTemplate
from langchain_core.runnables import ConfigurableField

from helpers import BadInput, GradientError, GradientLLM, sdk
from helpers.service import refusals
from tests.conftest import TOKEN, WORKSPACE
from tests.support.waiting import wait_until

SECRET = "a-secret-access-token"


@pytest.fixture
def settings(server, base) -> dict:
    return {
        "model": base.id,
        "gradient_access_token": TOKEN,
        "gradient_workspace_id": WORKSPACE,
        "gradient_api_url": server.url,
    }


@pytest.fixture
def chain(settings):
    return PromptTemplate.from_template("Q: {q}") | GradientLLM(**settings) | StrOutputParser()


def test_a_chain_invokes(chain):
    assert chain.invoke({"q": "why"}) == "echo: Q: why"


def test_a_chain_streams(chain):
    assert "".join(chain.stream({"q": "why"})) == "echo: Q: why"


def test_async_calls_work(chain):
    assert asyncio.run(chain.ainvoke({"q": "why"})) == "echo: Q: why"
    assert asyncio.run(chain.abatch([{"q": "a"}, {"q": "b"}])) == ["echo: Q: a", "echo: Q: b"]


@pytest.mark.parametrize("way", ["batch", "abatch"])
def test_batches_keep_their_order_and_run_side_by_side(settings, engine, way):
    llm = GradientLLM(**settings)
    engine.complete_seconds = 0.3
    prompts = [str(number) for number in range(8)]
    started = time.monotonic()
    answers = llm.batch(prompts) if way == "batch" else asyncio.run(llm.abatch(prompts))
    assert answers == [f"echo: {prompt}" for prompt in prompts]
    assert time.monotonic() - started < 8 * 0.3  # one after another would take that and more


def test_it_uses_the_variables_that_connect_sets(connected, base):
    assert GradientLLM(model=base.id).invoke("x") == "echo: x"


def test_parameters_reach_the_service_and_a_call_wins_over_the_model(settings, engine):
    llm = GradientLLM(**settings, model_kwargs={"temperature": 0.5, "top_k": 5}, auto_template=True)
    llm.invoke("x", temperature=0.9, max_generated_token_count=7)
    request = engine.requests[-1][0]
    assert (request.temperature, request.top_k, request.max_tokens, request.auto_template) == (0.9, 5, 7, True)


def test_choices_restrict_the_answer(settings, engine):
    assert GradientLLM(**settings, choices=["yes", "no"]).invoke("x") == "yes"
    assert GradientLLM(**settings).bind(choices=["no"]).invoke("x") == "no"
    assert engine.requests[-1][0].choices == ("no",)


def test_stop_cuts_the_answer(settings):
    assert GradientLLM(**settings, stop=["!", "two"]).invoke("one two! three") == "echo: one "
    assert GradientLLM(**settings).invoke("one two", stop=[" two"]) == "echo: one"


BATCHES = {
    "batch": lambda llm, *arguments, **options: llm.batch(*arguments, **options),
    "abatch": lambda llm, *arguments, **options: asyncio.run(llm.abatch(*arguments, **options)),
}


@pytest.mark.parametrize("config", [None, {"max_concurrency": 2}, [{}, {}, {}, {}]], ids=["none", "two", "each"])
@pytest.mark.parametrize("way", BATCHES)
def test_an_exception_stands_in_the_place_of_its_own_prompt(settings, way, config):
    llm = GradientLLM(**settings)
    first, second, third, fourth = BATCHES[way](llm, ["Hi", "", "Ho", 5], config, return_exceptions=True)
    assert (first, third) == ("echo: Hi", "echo: Ho")
    assert isinstance(second, GradientError)
    assert isinstance(fourth, ValueError)
    chain = PromptTemplate.from_template("{q}") | llm | StrOutputParser()
    asked = [{"q": "Hi"}, {"q": ""}, {"r": "Ho"}]
    answers = BATCHES[way](chain, asked, return_exceptions=True, choices=["yes"])
    assert all(map(isinstance, answers, (str, BadInput, KeyError))), answers
    with pytest.raises(GradientError):
        BATCHES[way](llm, ["Hi", ""])
    assert BATCHES[way](llm, [], return_exceptions=True) == []


@pytest.mark.parametrize("way", BATCHES)
def test_a_batch_with_exceptions_runs_side_by_side_and_takes_parameters(settings, engine, way):
    llm = GradientLLM(**settings)
    engine.complete_seconds = 0.3
    started = time.monotonic()
    answers = BATCHES[way](llm, ["a", ""] * 6, return_exceptions=True, choices=["yes"])
    assert answers[::2] == ["yes"] * 6
    assert time.monotonic() - started < 6 * 0.3


@pytest.mark.parametrize("way", BATCHES)
def test_a_batch_of_one_string_is_refused_and_no_letter_is_asked(settings, engine, way):
    for options in ({}, {"return_exceptions": True}):
        with pytest.raises(ValueError, match="list of prompts"):
            BATCHES[way](GradientLLM(**settings), "fish", **options)
    assert engine.requests == []


STOPS = {
    "a call": lambda settings, stop: GradientLLM(**settings).invoke("a fish is his", stop=stop),
    "the model": lambda settings, stop: GradientLLM(**settings, stop=stop).invoke("a fish is his"),
    "bind": lambda settings, stop: GradientLLM(**settings).bind(stop=stop).invoke("a fish is his"),
    "batch": lambda settings, stop: GradientLLM(**settings).batch(["a fish is his"], stop=stop)[0],
    "async": lambda settings, stop: asyncio.run(GradientLLM(**settings).ainvoke("a fish is his", stop=stop)),
    "stream": lambda settings, stop: "".join(GradientLLM(**settings).stream("a fish is his", stop=stop)),
}


@pytest.mark.parametrize("way", STOPS)
def test_a_string_is_one_stop_and_not_its_letters(settings, way):
    assert STOPS[way](settings, "fish") == "echo: a "
    assert STOPS[way](settings, ("fish", "his")) == "echo: a "
    for wrong in ("", ["fish", ""], 5, [5], {"fish": 1}):
        with pytest.raises(ValueError, match="stop has to be a string or a list of strings"):
            STOPS[way](settings, wrong)


def test_a_string_is_one_choice_and_not_its_letters(settings, engine):
    assert GradientLLM(**settings, choices="yes").invoke("x") == "yes"
    assert GradientLLM(**settings).invoke("x", choices="yes") == "yes"
    assert GradientLLM(**settings, model_kwargs={"choices": "yes"}).invoke("x") == "yes"
    assert {request.choices for request, *_ in engine.requests} == {("yes",)}
    with pytest.raises(ValueError, match="choices has to be a string"):
        GradientLLM(**settings).invoke("x", choices=[1, 2])


@pytest.fixture(params=["the model's", "the global"])
def cached(request, settings) -> GradientLLM:
    """A model with a cache."""
    cache = InMemoryCache()
    if request.param == "the model's":
        yield GradientLLM(**settings, cache=cache)
    else:
        set_llm_cache(cache)
        yield GradientLLM(**settings)
        set_llm_cache(None)


WAYS = {
    "a call": lambda llm, asked, **parameters: llm.invoke(asked, **parameters),
    "bind": lambda llm, asked, **parameters: llm.bind(**parameters).invoke(asked),
    "batch": lambda llm, asked, **parameters: llm.batch([asked], **parameters)[0],
    "stream": lambda llm, asked, **parameters: "".join(llm.stream(asked, **parameters)),
    "async": lambda llm, asked, **parameters: asyncio.run(llm.ainvoke(asked, **parameters)),
    "async batch": lambda llm, asked, **parameters: asyncio.run(llm.abatch([asked], **parameters))[0],
    "generate": lambda llm, asked, **parameters: llm.generate([asked], **parameters).generations[0][0].text,
    "a chain": lambda llm, asked, **parameters: (
        PromptTemplate.from_template("{q}") | llm.bind(**parameters) | StrOutputParser()
    ).invoke({"q": asked}),
    "model_kwargs": lambda llm, asked, **parameters: llm.model_copy(update={"model_kwargs": parameters}).invoke(asked),
    "a config": lambda llm, asked, **parameters: llm.configurable_fields(
        model_kwargs=ConfigurableField(id="parameters")
    ).invoke(asked, {"configurable": {"parameters": parameters}}),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_cache_answers_for_no_other_parameters(cached, engine, way):
    ask = WAYS[way]
    assert ask(cached, "good?", choices=["positive", "negative"]) == "positive"
    assert ask(cached, "good?", choices=["yes", "no"]) == "yes"
    assert ask(cached, "good?", guidance={"type": "choice", "value": ["maybe"]}) == "maybe"
    assert ask(cached, "good?", temperature=0.5) == "echo: good?"
    assert ask(cached, "good?", temperature=0.6, max_generated_token_count=5) == "echo: good?"
    asked = len(engine.requests)
    assert asked == 5
    assert ask(cached, "good?", choices=["yes", "no"]) == "yes"
    assert len(engine.requests) == asked


def test_a_cache_gives_no_answer_from_before_a_fine_tune(settings, server, engine):
    client = sdk.shared_client(server.url, TOKEN, WORKSPACE)
    adapter = client.get_base_model(base_model_slug="nous-hermes2").create_model_adapter(name="mine")
    llm = GradientLLM(**{**settings, "model": adapter.id}, cache=InMemoryCache())
    answers = [llm.invoke("q")]
    for text in ("one", "two"):
        adapter.fine_tune(samples=[{"inputs": text}])
        answers += [llm.invoke("q"), llm.invoke("q")]
    assert answers == ["echo: q", "one", "one", "two", "two"]
    assert len(engine.requests) == 3  # and what was asked since comes from the cache


def test_a_cache_answers_for_no_other_stop(settings):
    cache = InMemoryCache()
    one, two = (GradientLLM(**settings, cache=cache, stop=[end]) for end in ("two", "three"))
    assert one.invoke("one two three") == "echo: one "
    assert two.invoke("one two three") == "echo: one two "
    assert two.invoke("one two three", stop=["one"]) == "echo: "
    assert one.invoke("one two three") == "echo: one "


def test_the_finish_reason_is_kept(settings):
    (answer,) = GradientLLM(**settings).generate(["x"]).generations[0]
    assert answer.generation_info == {"finish_reason": "length"}


@pytest.mark.parametrize(
    ("parameters", "word"),
    [
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_k": 0}, "top_k"),
        ({"top_k": 2.5}, "top_k"),
        ({"top_p": 1.1}, "top_p"),
        ({"max_generated_token_count": 0}, "max_generated_token_count"),
        ({"max_generated_token_count": 512}, "max_generated_token_count"),
        ({"max_tokens": 5}, "max_tokens"),
    ],
)
def test_bad_parameters_are_refused_when_it_is_built(settings, parameters, word):
    with pytest.raises(BadInput, match=word):
        GradientLLM(**settings, model_kwargs=parameters)


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"gradient_access_token": "short"}, "GRADIENT_ACCESS_TOKEN"),
        ({"gradient_access_token": None}, "GRADIENT_ACCESS_TOKEN"),
        ({"gradient_workspace_id": "two words"}, "GRADIENT_WORKSPACE_ID"),
        ({"gradient_workspace_id": None}, "GRADIENT_WORKSPACE_ID"),
        ({"model": ""}, "model"),
        ({"model": " "}, "model"),
        ({"no_such_field": 1}, "no_such_field"),
    ],
)
def test_bad_settings_are_refused_when_it_is_built(settings, changed, word):
    with pytest.raises(BadInput, match=word):
        GradientLLM(**{**settings, **changed})


def test_errors_are_the_services_sentence(settings):
    with pytest.raises(GradientError) as refusal:
        GradientLLM(**{**settings, "model": "x" * 50}).invoke("q")
    assert (refusal.value.status, refusal.value.type) == (404, "unknownModelAdapter")
    assert "HTTP response" not in str(refusal.value)
    with pytest.raises(GradientError, match="query"):
        GradientLLM(**settings).invoke("")


def test_a_service_that_is_not_there_is_said_so(settings):
    with pytest.raises(GradientError, match=r"connect\(\)"):
        GradientLLM(**{**settings, "gradient_api_url": "http://127.0.0.1:9/api"}).invoke("q")


def test_the_token_is_in_no_repr_trace_or_error(settings):
    llm = GradientLLM(**{**settings, "gradient_access_token": SECRET})
    with pytest.raises(BadInput) as refusal:
        GradientLLM(**{**settings, "gradient_access_token": SECRET, "model_kwargs": {"top_k": 0}})
    shown = [repr(llm), str(llm), str(llm.asdict()), str(refusal.value), repr(llm._identifying_params)]
    assert not any(SECRET in text for text in shown)


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ({"temperature": np.float32(0.5)}, 0.5),
        ({"temperature": np.float64(0.5)}, 0.5),
        ({"temperature": np.array(0.5)}, 0.5),
        ({"temperature": Fraction(1, 2)}, 0.5),
        ({"temperature": np.int64(1)}, 1),
        ({"top_k": np.int64(5)}, 5),
        ({"top_k": 5.0}, 5),
        ({"top_p": np.float16(0.5)}, 0.5),
        ({"max_generated_token_count": np.uint8(7)}, 7),
    ],
)
def test_numbers_of_any_kind_are_taken_as_pythons_own(settings, engine, given, taken):
    (name,) = given
    wire = {"max_generated_token_count": "max_tokens"}.get(name, name)
    GradientLLM(**settings, model_kwargs=given).invoke("x")
    GradientLLM(**settings).invoke("x", **given)
    assert [getattr(request, wire) for request, *_ in engine.requests] == [taken, taken]


@pytest.mark.parametrize("wrong", [np.float32("nan"), np.bool_(True), True, np.array([0.5]), "0.5", 1j, np.float32(9)])
def test_other_numbers_are_refused_with_a_sentence(settings, wrong):
    with pytest.raises(ValueError, match="temperature has to be a number from 0 to"):
        GradientLLM(**settings).invoke("x", temperature=wrong)


COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda llm: pickle.loads(pickle.dumps(llm)),
    "model_copy": lambda llm: llm.model_copy(deep=True),
}


@pytest.mark.parametrize("way", COPIES)
def test_a_copy_after_a_call_works(settings, way):
    llm = GradientLLM(**settings, model_kwargs={"top_k": 5}, stop="!")
    assert llm.invoke("x") == "echo: x"
    copied = COPIES[way](llm)
    assert copied.invoke("y!") == "echo: y"
    assert copied._identifying_params == llm._identifying_params
    assert COPIES[way](PromptTemplate.from_template("Q: {q}") | llm).invoke({"q": "z"}) == "echo: Q: z"


def test_a_copy_with_another_model_asks_that_one(settings, gradient, engine):
    llm = GradientLLM(**settings)
    llm.invoke("x")
    other = gradient.get_base_model(base_model_slug="bloom-560m")
    llm.model_copy(update={"model_id": other.id}).invoke("x")
    assert [slug for _, slug, _ in engine.requests] == ["nous-hermes2", "bloom-560m"]


LONG = 5.0  # seconds that an answer takes, if someone waits for it


async def given_up_soon(work) -> None:
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(work, 0.3)


ASYNC_WAYS = {
    "ainvoke": lambda llm: llm.ainvoke("x"),
    "abatch": lambda llm: llm.abatch(["x"]),
    "abatch with exceptions": lambda llm: llm.abatch(["x"], return_exceptions=True),
    "a chain": lambda llm: (PromptTemplate.from_template("{q}") | llm | StrOutputParser()).ainvoke({"q": "x"}),
    "agenerate": lambda llm: llm.agenerate(["x"]),
}


@pytest.mark.parametrize("way", ASYNC_WAYS)
def test_an_answer_that_no_one_waits_for_ends_here_and_in_the_service(settings, engine, way):
    engine.complete_seconds = LONG
    llm = GradientLLM(**settings)
    started = time.monotonic()
    asyncio.run(given_up_soon(ASYNC_WAYS[way](llm)))  # which waits for its threads
    assert time.monotonic() - started < LONG / 2
    wait_until(lambda: engine.given_up == 1)
    engine.complete_seconds = 0
    assert llm.invoke("x") == "echo: x"
    assert len(engine.requests) == 2  # and none was sent again


def test_each_of_many_that_no_one_waits_for_ends(settings, engine):
    engine.complete_seconds = LONG
    started = time.monotonic()
    asyncio.run(given_up_soon(GradientLLM(**settings).abatch([str(number) for number in range(12)])))
    assert time.monotonic() - started < LONG / 2
    wait_until(lambda: engine.given_up == len(engine.requests))


def test_one_that_is_given_up_leaves_the_others_alone(settings, engine):
    engine.complete_seconds = 0.8
    llm = GradientLLM(**settings)

    async def both() -> str:
        other = asyncio.ensure_future(llm.ainvoke("y"))
        await given_up_soon(llm.ainvoke("x"))
        return await other

    assert asyncio.run(both()) == "echo: y"
    wait_until(lambda: engine.given_up == 1)


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no signal to a thread")
def test_an_interrupted_batch_ends_here_and_in_the_service(settings, engine):
    engine.complete_seconds = LONG
    threading.Timer(0.5, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT)).start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        GradientLLM(**settings).batch(["a", "b", "c"])
    assert time.monotonic() - started < LONG / 2
    wait_until(lambda: engine.given_up == 3)


def test_a_wait_for_a_busy_service_ends_with_its_caller(settings, engine):
    engine.fail = refusals.Busy("busy", retry_after_seconds=8)
    started = time.monotonic()
    asyncio.run(given_up_soon(GradientLLM(**settings).ainvoke("x")))
    assert time.monotonic() - started < LONG / 2
    assert len(engine.requests) == 1
