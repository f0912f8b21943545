"""What a learner sees when a call fails: one sentence in a cell, the trace on request, and the same in a script."""

from __future__ import annotations

import asyncio
import io
import pickle
import sys
import traceback
import types
import weakref

import gradientai
import pydantic.v1
import pytest
import urllib3
from gradientai.openapi.client import exceptions as theirs
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from langchain_core.prompts import PromptTemplate

import helpers
from helpers import GradientLLM, cell_errors, connect, errors
from helpers.service.catalog import ALL_MODELS
from tests.conftest import TOKEN, WORKSPACE

SECRET = "a-token-that-no-one-may-see"
NOWHERE = "x" * 36 + "_model_adapter"
HINT = "An exception has occurred, use %tb to see the full traceback."
KINDS = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.GradientError)]

NO_ADAPTER = (
    "There is no model adapter with the id {} in this workspace: it was deleted or never created. "
    "list_models(only_base=False) shows those there are."
)
COMPLETE_HAS = "it has query, auto_template, guidance, max_generated_token_count, rag, temperature, top_k, top_p."
HAS_FINE_TUNE = "a ModelAdapter has: create_model_adapter(name=…) of a base model makes one."
NOT_IN_THE_KIT = (
    "{} is not part of this kit, langchain-core is: write `from helpers import GradientLLM`, "
    "`from langchain_core.prompts import PromptTemplate`, and `prompt | llm` for LLMChain."
)

# The cell, the kind of its error, and its sentence.
FAILURES = [
    # a model that there is not
    (
        'gradient.get_base_model(base_model_slug="nous-hermes")',
        "UnknownModel",
        "There is no base model with the slug 'nous-hermes': did you mean 'nous-hermes2'? There are {slugs}.",
    ),
    (
        "gradient.get_base_model(base_model_slug=None)",
        "UnknownModel",
        "There is no base model with the slug None: there are {slugs}.",
    ),
    (
        'gradient.get_model_adapter(model_adapter_id="nope")',
        "UnknownAdapter",
        "There is no model adapter with the id 'nope': an id has 50 characters; list_models(only_base=False) shows the "
        "adapters there are, each with its id and its name.",
    ),
    (
        f'gradient.get_model_adapter(model_adapter_id="{NOWHERE}")',
        "UnknownAdapter",
        NO_ADAPTER.format(repr(NOWHERE)),
    ),
    (
        'GradientLLM(model="nous-hermes2").invoke("x")',
        "UnknownModel",
        "'nous-hermes2' is the slug of a base model, and this call takes an id: "
        "get_base_model(base_model_slug='nous-hermes2').id is that model's.",
    ),
    ('GradientLLM(model="nope").invoke("x")', "UnknownAdapter", NO_ADAPTER.format("'nope'")),
    # a call that there is not
    ("base.fine_tune(samples=[])", "BadInput", f"A BaseModel has no fine_tune, {HAS_FINE_TUNE}"),
    ("gradient.fine_tune(samples=[])", "BadInput", f"A Gradient has no fine_tune, {HAS_FINE_TUNE}"),
    (
        "gradient.complete(query='x')",
        "BadInput",
        "A Gradient has no complete, a BaseModel has: get_base_model(base_model_slug=…) of the client gives one.",
    ),
    ("base.complet(query='x')", "BadInput", "A BaseModel has no complet: did you mean 'complete'?"),
    (
        "adapter.train",
        "BadInput",
        "A ModelAdapter has no train; it has acomplete, base_model_id, complete, delete, fine_tune, id, name, "
        "workspace_id.",
    ),
    # names of arguments
    ('base.complete("x")', "BadInput", "complete takes its arguments by name: complete(query=…)."),
    ('base.complete(prompt="x")', "BadInput", f"complete has no argument 'prompt'; {COMPLETE_HAS}"),
    (
        'base.complete(query="x", temprature=1)',
        "BadInput",
        "complete has no argument 'temprature': did you mean 'temperature'?",
    ),
    ("base.create_model_adapter()", "BadInput", "create_model_adapter needs name: create_model_adapter(name=…)."),
    (
        'gradient.get_base_model("nous-hermes2")',
        "BadInput",
        "get_base_model takes its arguments by name: get_base_model(base_model_slug=…).",
    ),
    # values of arguments
    ('base.complete(query="")', "BadInput", "query is empty: write some text."),
    ("base.complete(query=5)", "BadInput", "query has to be a text, not 5."),
    (
        'base.complete(query="x", temperature=3)',
        "BadInput",
        "temperature has to be a number from 0 to 2, not 3.",
    ),
    (
        'base.complete(query="x", max_generated_token_count=600)',
        "BadInput",
        "max_generated_token_count has to be a whole number from 1 to 511, not 600.",
    ),
    (
        'base.complete(query="x", guidance=["yes"])',
        "BadInput",
        'guidance has to be {"type": "choice", "value": ["…"]}, not [\'yes\'].',
    ),
    (
        'base.complete(query="x", guidance={"type": "choice", "value": "yes"})',
        "BadInput",
        'guidance.value has to be a list, such as ["…"], and this is one: put it into a list.',
    ),
    (
        'base.create_model_adapter(name="x", rank=64)',
        "BadInput",
        "rank has to be a whole number from 1 to 32, not 64.",
    ),
    (
        'base.create_model_adapter(name="x", learning_rate=2)',
        "BadInput",
        "learning_rate has to be a number above 0 and below 1, not 2.",
    ),
    ('gradient.list_models(only_base="yes")', "BadInput", "only_base has to be True or False, not 'yes'."),
    (
        'gradient.list_models(capability="complete")',
        "BadInput",
        "capability has to be CapabilityFilterOption.ANY or CapabilityFilterOption.FINE_TUNE or "
        "CapabilityFilterOption.COMPLETE of gradientai, not 'complete'.",
    ),
    # samples
    (
        'adapter.fine_tune(samples="text")',
        "BadInput",
        'samples has to be a list, such as [{"inputs": "…"}], not \'text\'.',
    ),
    (
        'adapter.fine_tune(samples={"inputs": "x"})',
        "BadInput",
        'samples has to be a list, such as [{"inputs": "…"}], and this is one: put it into a list.',
    ),
    ('adapter.fine_tune(samples=["x"])', "BadInput", 'samples[0] has to be {"inputs": "…"}, not \'x\'.'),
    (
        'adapter.fine_tune(samples=[{"input": "x"}])',
        "BadInput",
        "samples[0] has the key 'input': did you mean 'inputs'?",
    ),
    (
        'adapter.fine_tune(samples=[{"question": "x"}])',
        "BadInput",
        'samples[0] has no \'inputs\': it has to be {"inputs": "…"}.',
    ),
    ('adapter.fine_tune(samples=[{"inputs": ""}])', "BadInput", "samples[0].inputs is empty: write some text."),
    (
        'adapter.fine_tune(samples=[{"inputs": 5}])',
        "BadInput",
        'samples[0].inputs has to be a text or a list of {"value": "…"}, not 5.',
    ),
    (
        'adapter.fine_tune(samples=[{"inputs": "x"}, {"inputs": "x", "multiplier": -1}])',
        "BadInput",
        "samples[1].multiplier has to be a number above 0, not -1.",
    ),
    (
        'adapter.fine_tune(samples=[{"inputs": [{"value": "x", "trainabel": False}]}])',
        "BadInput",
        "samples[0].inputs[0] has the key 'trainabel': did you mean 'trainable'?",
    ),
    (
        'adapter.fine_tune(samples=[{"inputs": [{"value": "x", "weight": 2}]}])',
        "BadInput",
        "samples[0].inputs[0] has the key 'weight', which there is not: there are value, trainable, "
        "parse_special_tokens.",
    ),
    (
        'adapter.fine_tune(samples=[{"inputs": "x", "multiplyer": 2}])',
        "BadInput",
        "samples[0] has the key 'multiplyer': did you mean 'multiplier'?",
    ),
    (
        'adapter.fine_tune(samples=[{"inputs": "x", "fineTuningParameters": {"multiplier": 2}}])',
        "BadInput",
        'samples[0] has the key \'fineTuningParameters\': write "multiplier" beside "inputs" instead.',
    ),
    ("adapter.fine_tune(samples=[])", "BadInput", "samples is empty: give at least one."),
    (
        'adapter.fine_tune(samples=[{"inputs": "NaN"}])',
        "LossRanAway",
        "The loss ran away instead of falling, so this call was undone and the adapter is as it was before it. Create "
        "an adapter with a smaller learning_rate (2e-3 is the default) and fine-tune that.",
    ),
    # the rest of the SDK
    (
        'gradient.answer(question="x", source="text")',
        "BadInput",
        'source has to be {"collection_id": "…", "type": "rag"} or {"type": "document", "value": "…"}, not \'text\'.',
    ),
    (
        'gradient.summarize(document="x", length="short")',
        "BadInput",
        "length has to be SummarizeParamsLength.SHORT or SummarizeParamsLength.MEDIUM or SummarizeParamsLength.LONG of "
        "gradientai, not 'short'.",
    ),
    (
        'gradient.summarize(document="x", examples=["a"])',
        "BadInput",
        'examples[0] has to be {"document": "…", "summary": "…"}, not \'a\'.',
    ),
    (
        'gradient.extract(document="x", schema_={"name": "string"})',
        "BadInput",
        "schema_['name'] has to be {\"type\": ExtractParamsSchemaValueType.STRING}, not 'string'.",
    ),
    ('gradient.extract_pdf(filepath="nope.pdf")', "BadInput", "There is no file 'nope.pdf'."),
    (
        'gradient.create_rag_collection(name="x", slug="bge-large", chunker="big")',
        "BadInput",
        "chunker has to be MeaningBasedChunker or SentenceWithContextChunker or FileChunker or NormalChunker, "
        "not 'big'.",
    ),
    # async
    (
        'await base.acomplete(query="x", temperature=3)',
        "BadInput",
        "temperature has to be a number from 0 to 2, not 3.",
    ),
    ('await base.acomplete("x")', "BadInput", "complete takes its arguments by name: complete(query=…)."),
    (
        'async def f():\n    gradient.get_base_model(base_model_slug="x")\nawait f()',
        "UnknownModel",
        "There is no base model with the slug 'x': there are {slugs}.",
    ),
    ('await llm.ainvoke("")', "BadInput", "query is empty: write some text."),
    ('await chain.ainvoke({"q": ""})', "BadInput", "query is empty: write some text."),
    # GradientLLM, alone and in a chain
    (
        "GradientLLM(model=base.id, max_generated_token_count=60)",
        "BadInput",
        "max_generated_token_count is given in model_kwargs: "
        'GradientLLM(model=…, model_kwargs={"max_generated_token_count": …}).',
    ),
    (
        "GradientLLM(model=base.id, modle_kwargs={})",
        "BadInput",
        "A GradientLLM has no argument 'modle_kwargs': did you mean 'model_kwargs'?",
    ),
    ("GradientLLM(base.id)", "BadInput", "A GradientLLM takes its arguments by name: GradientLLM(model=…)."),
    (
        "GradientLLM()",
        "BadInput",
        "A GradientLLM needs model, the id of a base model or of an adapter: GradientLLM(model=…).",
    ),
    ('llm.invoke("x", temperature=3)', "BadInput", "temperature has to be a number from 0 to 2, not 3."),
    ('llm.bind(temperature=3).invoke("x")', "BadInput", "temperature has to be a number from 0 to 2, not 3."),
    ('chain.invoke({"q": ""})', "BadInput", "query is empty: write some text."),
    ('chain.batch([{"q": "x"}, {"q": ""}])', "BadInput", "query is empty: write some text."),
    (
        'llm("x")',
        "BadInput",
        "A model of langchain-core is no function: call invoke(…) with what you would have given to it.",
    ),
    (
        'llm.predict("x")',
        "BadInput",
        "A model of langchain-core has no predict: call invoke(…) with what you would have given to predict.",
    ),
]

# Faults of what is not ours: a cell says what to do, a script gets Python's own exception.
IN_A_CELL_ALONE = [
    (
        'chain.run(q="x")',
        "A chain of langchain-core has no run: call invoke(…) with what you would have given to run.",
    ),
    ('chain("x")', "A chain of langchain-core is no function: call invoke(…) with what you would have given to it."),
    ("from langchain.chains import LLMChain", NOT_IN_THE_KIT.format("langchain")),
    ("from langchain_community.llms import GradientLLM", NOT_IN_THE_KIT.format("langchain_community")),
    (
        'hand_made.get_base_model(base_model_slug="x")',
        "There is no model with this slug: list_models(only_base=True) shows those there are, each with its slug.",
    ),
    (
        'hand_made.list_models(only_base=True)[0].complete(query="")',
        "The call is not right: query: ensure this value has at least 1 characters.",
    ),
]


@pytest.fixture(scope="module")
def shell():
    """IPython's shell, with no history and no part in this process's own main module."""
    running = InteractiveShell.instance(colors="nocolor", user_module=types.ModuleType("cells"))
    running.history_manager.enabled = False
    yield running
    InteractiveShell.clear_instance()


@pytest.fixture
def names(server, monkeypatch) -> dict[str, object]:
    """What a lesson has at hand."""
    for name, value in (("API_URL", server.url), ("ACCESS_TOKEN", TOKEN), ("WORKSPACE_ID", WORKSPACE)):
        monkeypatch.setenv(f"GRADIENT_{name}", value)
    gradient = connect(quiet=True)
    base = gradient.get_base_model(base_model_slug="nous-hermes2")
    llm = GradientLLM(model=base.id)
    return {
        "gradient": gradient,
        "base": base,
        "adapter": base.create_model_adapter(name="mine"),
        "llm": llm,
        "chain": PromptTemplate.from_template("{q}") | llm,
        "GradientLLM": GradientLLM,
        "hand_made": gradientai.Gradient(),
        "slugs": ", ".join(repr(model.slug) for model in gradient.list_models(only_base=True)),
    }


@pytest.fixture
def cell(shell, names):
    """Runs a cell and gives all that it shows."""
    shell.set_custom_exc((), None)
    cell_errors.start()
    shell.push(names)

    def run(source: str) -> str:
        with capture_output() as shown:
            shell.run_cell(source)
        return shown.stdout + shown.stderr

    return run


def lines(shown: str) -> list[str]:
    return [line for line in shown.splitlines() if line]


def in_a_script(source: str, names: dict[str, object]) -> BaseException:
    """What the source raises outside IPython."""
    body = "\n    ".join(source.splitlines())
    scope = dict(names)
    exec(f"async def main():\n    {body}", scope)
    with pytest.raises(Exception) as raised:  # noqa: B017, PT011 - which one is for the test to say
        asyncio.run(scope["main"]())
    return raised.value


@pytest.mark.parametrize(("source", "kind", "sentence"), FAILURES, ids=[source for source, *_ in FAILURES])
def test_a_cell_that_fails_shows_one_sentence_and_a_script_raises_it(cell, names, source, kind, sentence):
    expected = sentence.replace("{slugs}", names["slugs"])
    assert lines(cell(source)) == [HINT, f"{kind}: {expected}"]
    error = in_a_script(source, names)
    assert isinstance(error, getattr(helpers, kind))
    assert (type(error).__name__, str(error)) == (kind, expected)
    assert traceback.format_exception_only(error) == [f"helpers.errors.{kind}: {expected}\n"]


@pytest.mark.parametrize(("source", "sentence"), IN_A_CELL_ALONE)
def test_a_fault_of_what_is_not_ours_is_one_sentence_in_a_cell(cell, source, sentence):
    kind = "UnknownModel" if "slug" in source else "BadInput"
    assert lines(cell(source)) == [HINT, f"{kind}: {sentence}"]


def test_percent_tb_shows_the_whole_trace(cell):
    cell('base.complete(query="")')
    trace = cell("%tb")
    for part in ("Traceback (most recent call last)", 'base.complete(query="")', "gradientai", "query is empty"):
        assert part in trace
    assert len(trace.splitlines()) > 20


def test_what_is_the_learners_own_is_shown_as_ever(cell):
    for source, last in (("1 / 0", "ZeroDivisionError: division by zero"), ("int('x')", "base 10: 'x'")):
        shown = cell(source)
        assert f"----> 1 {source}" in shown
        assert shown.strip().endswith(last)
    assert cell("def f(:").strip().endswith("SyntaxError: invalid syntax")
    assert cell("''.nope").strip().endswith("AttributeError: 'str' object has no attribute 'nope'")


def test_an_error_that_follows_another_is_still_one_sentence(cell):
    shown = cell('try:\n    1 / 0\nexcept ZeroDivisionError:\n    base.complete(query="")')
    assert lines(shown) == [HINT, "BadInput: query is empty: write some text."]


def test_a_handler_of_the_learners_own_stays(shell, cell):
    shell.set_custom_exc((KeyError,), lambda *_, **__: print("mine"))
    cell_errors.start()
    assert cell("{}['x']") == "mine\n"


# --- endpoints that fail


def test_a_room_that_stops_in_the_middle_is_one_sentence(cell, names, monkeypatch):
    api = names["base"]._api_instance.api_client
    monkeypatch.setattr(api.configuration, "host", "http://room.invalid:9/api")
    monkeypatch.setenv("GRADIENT_API_URL", "http://room.invalid:9/api")
    sentence = (
        "Nothing answers at http://room.invalid:9/api: the service there has stopped or can't be reached from here; "
        "ask who runs it, or check GRADIENT_API_URL and call connect() again."
    )
    assert lines(cell('base.complete(query="x")')) == [HINT, f"Unreachable: {sentence}"]
    error = in_a_script('base.complete(query="x")', names)
    assert str(error) == sentence
    assert isinstance(error, (helpers.Unreachable, ConnectionError))
    assert isinstance(error, urllib3.exceptions.MaxRetryError)


def test_a_wrong_token_is_one_sentence_without_it(cell, server, monkeypatch):
    monkeypatch.setenv("GRADIENT_ACCESS_TOKEN", SECRET)
    shown = cell("from helpers import connect; connect()")
    assert shown.startswith(f"{HINT}\n\nWrongCredentials: The access token is not the one of this service")
    assert SECRET not in shown + cell("%tb") + cell("%tb Verbose")


def test_a_broken_token_of_a_client_made_by_hand_is_in_no_cell(cell, names, server):
    names["hand_made"]._api_client.configuration.access_token = f"{SECRET}\r"
    shown = cell("hand_made.list_models()")
    assert shown.startswith(f"{HINT}\n\nBadInput: No header can carry the access token")
    assert SECRET not in shown + cell("%tb")


def test_no_frame_of_a_trace_holds_the_token(names):
    error = in_a_script(f'gradient.get_model_adapter(model_adapter_id="{NOWHERE}")', names)
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    assert any("api_client.py" in frame.f_code.co_filename for frame in frames)  # where the header is made
    assert TOKEN not in repr([frame.f_locals for frame in frames if "site-packages" in frame.f_code.co_filename])


# --- one family


def test_every_kind_is_a_gradient_error_that_helpers_exports():
    assert len(KINDS) > 10
    for kind in KINDS:
        assert getattr(helpers, kind.__name__) is kind
        assert kind.__doc__.startswith("Raised ")


def test_missing_credentials_are_of_the_family(monkeypatch):
    monkeypatch.setenv("GRADIENT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(helpers.GradientError, match="GRADIENT_ACCESS_TOKEN is not set"):
        connect(hosted=True)
    assert helpers.auth.MissingCredentials is helpers.MissingCredentials


@pytest.mark.parametrize(
    ("source", "caught"),
    [
        ('base.complete(query="x", temperature=3)', theirs.BadRequestException),
        (f'gradient.get_model_adapter(model_adapter_id="{NOWHERE}")', theirs.NotFoundException),
        ('base.complete(query="")', pydantic.v1.ValidationError),
        ('base.complete(query="")', ValueError),
        ('adapter.fine_tune(samples="text")', TypeError),
        ('adapter.fine_tune(samples=[{"question": "x"}])', KeyError),
        ("base.complete()", TypeError),
        ("base.fine_tune", AttributeError),
        ('gradient.extract_pdf(filepath="nope.pdf")', FileNotFoundError),
    ],
)
def test_code_that_knows_the_sdks_exceptions_alone_still_catches_them(names, source, caught):
    assert isinstance(in_a_script(source, names), caught)


def test_what_the_sdks_exceptions_held_is_there(names):
    refused = in_a_script('base.complete(query="x", temperature=3)', names)
    assert (refused.status, refused.reason, refused.type) == (400, "Bad Request", "bodyParsingError")
    assert b"temperature" in refused.body.encode() and "content-type" in refused.headers
    invalid = in_a_script('base.complete(query="")', names)
    assert invalid.errors()[0]["loc"] == ("query",)


def test_an_error_goes_to_another_process_as_its_kind(names):
    error = pickle.loads(pickle.dumps(in_a_script('GradientLLM(model="nope").invoke("x")', names)))
    assert (type(error), error.status, error.type) == (helpers.UnknownAdapter, 404, "unknownModelAdapter")
    assert "'nope'" in str(error)


# --- the client is the SDK's


def test_what_connect_gives_is_the_sdks_and_so_is_all_that_it_gives(names):
    gradient, base, adapter = names["gradient"], names["base"], names["adapter"]
    assert isinstance(gradient, gradientai.Gradient)
    assert isinstance(base, gradientai.BaseModel)
    found = gradient.get_model_adapter(model_adapter_id=adapter.id)
    for one in (adapter, found, *gradient.list_models(only_base=False)[len(ALL_MODELS) :]):
        assert isinstance(one, gradientai.ModelAdapter)
    assert type(adapter).__name__ == "ModelAdapter"
    assert not hasattr(base, "fine_tune")
    assert weakref.ref(base)() is base


def test_what_the_sdk_takes_is_taken(names, engine):
    adapter, base = names["adapter"], names["base"]
    parts = [{"value": "a", "trainable": False}, {"value": "b", "parseSpecialTokens": True}]
    samples = [{"inputs": "x", "source": "a book"}, {"inputs": parts, "multiplier": 2}]
    for given in (samples, tuple(samples), iter(samples)):
        assert adapter.fine_tune(samples=given).number_of_trainable_tokens == 2
    assert base.complete(query="x", guidance={"type": "choice", "value": ["a"]}).generated_output == "a"
    assert asyncio.run(base.acomplete(query="x")).generated_output == "echo: x"
    with names["gradient"] as client:
        assert client.list_models(only_base=True)
