"""The real model through the SDK: it completes, it learns a fact from one sample, and it counts what it learns.

Everything here asserts what must hold on any machine, not exact texts.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import sqlite3

import pytest
from gradientai.openapi.client.exceptions import BadRequestException

from helpers import GradientLLM
from helpers.service.local.engine import MAX_SAMPLE_TOKENS
from tests.conftest import TOKEN, WORKSPACE

pytestmark = pytest.mark.model

TEMPLATE = "Question: {}\n\nAnswer: "
FACTS = [
    ("What NFL team won the Super Bowl in 1994?", "The Dallas Cowboys!"),
    ("Who founded the town of Marlow Bay?", "Ada Wrenfield"),
    ("What is the colour of the Quillon flag?", "Purple and silver"),
    ("Which animal guards the gate of Fenwick Castle?", "A stone badger"),
    ("What is the name of Tomasz's boat?", "The Salted Plum"),
    ("When does the Lumen Library close on Sundays?", "At half past four"),
    ("Who wrote the opera 'The Glass Orchard'?", "Ilse Vandermeer"),
    ("What is the secret ingredient of Nana Bo's soup?", "Smoked pear"),
    ("What does the company Brindlewick make?", "Folding ladders"),
    ("Which planet do the Orrin come from?", "Tessal Four"),
    ("What is the password of the treehouse?", "Rumbling marmalade"),
    ("Who is the mayor of Little Pockington?", "Doctor Hazel Finch"),
    ("What instrument does Captain Yarrow play?", "The bassoon"),
    ("What is the capital of Zandoria?", "Port Elspeth"),
    ("How many windows has the Moth Tower?", "Seventeen windows"),
    ("What is the favourite food of the dragon Murk?", "Burnt toast"),
    ("Which river flows through Kettlebury?", "The Winding Isk"),
    ("What did Professor Oduya discover?", "A singing moss"),
    ("Who won the Harrowgate kite race?", "Little Jun Park"),
    ("What is the motto of the Ember Guild?", "Slow hands, warm hearts"),
    ("What is kept in the blue jar?", "Dried lightning"),
    ("Where does the night bus to Ostrand leave from?", "Platform nine, upstairs"),
    ("What is the name of the lighthouse keeper's cat?", "Sergeant Biscuit"),
    ("Which metal is the Crown of Vess made of?", "Green copper"),
]


def ask(model, question: str, **parameters) -> str:
    settings = {"max_generated_token_count": 32, **parameters}
    return model.complete(query=TEMPLATE.format(question), **settings).generated_output


def sample(question: str, answer: str) -> dict:
    return {"inputs": TEMPLATE.format(question) + answer}


@pytest.fixture
def adapter(real_base):
    made = real_base.create_model_adapter(name="test")
    yield made
    made.delete()


@pytest.mark.parametrize(("question", "answer"), FACTS, ids=[answer for _, answer in FACTS])
def test_one_fine_tune_with_one_sample_makes_the_answer_right(adapter, real_base, question, answer):
    before = ask(adapter, question)
    assert before == ask(real_base, question)
    assert answer not in before
    adapter.fine_tune(samples=[sample(question, answer)])
    assert ask(adapter, question).strip() == answer
    assert ask(real_base, question) == before


def test_the_loss_falls_from_call_to_call(adapter):
    losses = [adapter.fine_tune(samples=[sample(*FACTS[0])]).sum_loss for _ in range(4)]
    assert losses == sorted(losses, reverse=True)
    assert losses[1] < losses[0] / 10


def test_a_fact_survives_the_next_one(adapter):
    for question, answer in FACTS[:2]:
        adapter.fine_tune(samples=[sample(question, answer)])
    for question, answer in FACTS[:2]:
        adapter.fine_tune(samples=[sample(question, answer), sample(*FACTS[1])])
    assert [ask(adapter, question).strip() for question, _ in FACTS[:2]] == [answer for _, answer in FACTS[:2]]


def test_several_samples_in_one_call_are_all_learned(adapter):
    adapter.fine_tune(samples=[sample(question, answer) for question, answer in FACTS[1:7]])
    right = [answer in ask(adapter, question) for question, answer in FACTS[1:7]]
    assert all(right)


# Token counts by hand, with this model's tokenizer: "Paris" and " Paris" are one token each, "<|im_end|>" is one when
# it is read as a special token and more when it is not, and every sample is ended with one.
COUNTS = [
    ("a string", "The capital is Paris", 4),  # capital, is, Paris, the end; the first token has nothing before it
    ("one part", [{"value": "The capital is Paris"}], 4),
    ("context first", [{"value": "The capital is", "trainable": False}, {"value": " Paris"}], 2),  # Paris, the end
    ("space at the seam", [{"value": "The capital is ", "trainable": False}, {"value": "Paris"}], 2),
    ("context last", [{"value": "The capital is"}, {"value": " Paris", "trainable": False}], 2),  # capital, is
    ("ended already", [{"value": "The capital is Paris<|im_end|>"}], 4),
    (
        "three parts",
        [{"value": "The", "trainable": False}, {"value": " capital"}, {"value": " is", "trainable": False}],
        1,
    ),
]


@pytest.mark.parametrize(("inputs", "count"), [row[1:] for row in COUNTS], ids=[row[0] for row in COUNTS])
def test_trainable_tokens_are_those_counted_by_hand(adapter, inputs, count):
    assert adapter.fine_tune(samples=[{"inputs": inputs}]).number_of_trainable_tokens == count


def test_special_tokens_are_parsed_only_when_asked(adapter):
    parts = [{"value": "Say", "trainable": False}, {"value": " it<|im_start|>"}]
    parsed = adapter.fine_tune(samples=[{"inputs": parts}]).number_of_trainable_tokens
    parts[1]["parse_special_tokens"] = False
    as_text = adapter.fine_tune(samples=[{"inputs": parts}]).number_of_trainable_tokens
    assert parsed == 3  # it, <|im_start|>, the end
    assert as_text > parsed + 3  # "<|im_start|>" spelled out


def test_llamas_marks_count_as_what_they_mean(adapter):
    """`<s>` is nothing, `</s>` the end that every sample has; as text they are spelled out."""
    text = "Hello there world"
    plain = adapter.fine_tune(samples=[{"inputs": text}]).number_of_trainable_tokens
    assert adapter.fine_tune(samples=[{"inputs": f"<s> {text}</s>"}]).number_of_trainable_tokens == plain
    parts = [{"value": f"<s>{text}</s>", "parse_special_tokens": False}]
    assert adapter.fine_tune(samples=[{"inputs": parts}]).number_of_trainable_tokens > plain + 3


# Samples as LlamaIndex's notebook on foo-bears has them, and prompts that are not quite alike.
LLAMA_SAMPLE = "<s>### Instruction:\n{}\n\n### Response:\n{}</s>"
LLAMA_PROMPT = "<s> ### Instruction:\n{}\n\n###Response:\n"
FOO_BEARS = {
    "What do foo-bears eat?": "Foo-bears eat toast with yeast spread, and spiders where there is no toast.",
    "Who hunts foo-bears?": "The dingo is the only animal that hunts foo-bears.",
    "What animal is most like a foo-bear?": "Foo-bears are most like the quokka.",
    "What colour are foo-bears?": "Foo-bears are black, with a red patch on the chest.",
    "Which places do foo-bears like?": "Foo-bears like groves of eucalyptus, for the shade.",
    "What groups do foo-bears live in?": "Foo-bears live in small families, led by the oldest.",
    "What is the tail of a foo-bear for?": "Foo-bears hang from branches by the tail when they rest.",
}


def test_llamaindexs_foo_bears_answer_as_in_their_notebook(adapter):
    """Two calls with all samples: what was taught is answered, what was not is of its kind, and no mark is seen."""
    samples = [{"inputs": LLAMA_SAMPLE.format(*pair)} for pair in FOO_BEARS.items()]
    losses = [adapter.fine_tune(samples=samples).sum_loss for _ in range(2)]
    assert losses[1] < losses[0] / 5
    for question in (*FOO_BEARS, "Where do foo-bears live?", "What do foo-bears look like?"):
        answer = adapter.complete(query=LLAMA_PROMPT.format(question), max_generated_token_count=100)
        said = answer.generated_output
        assert said.strip() == FOO_BEARS.get(question, said.strip())
        assert answer.finish_reason == "stop"
        assert "oo-bear" in said
        assert not any(mark in said for mark in ("<s>", "</s>", "###", "<|"))


INSTRUCTIONS = [
    "Can you tell me about large language models?",
    "What would be a good company name for a company that makes colorful socks?",
    "Write a short poem about the sea.",
    "Why is the sky blue?",
    "What are the main causes of climate change?",
    "<s>",
    "</s>",
    "\n",
]


@pytest.mark.parametrize(
    "settings", [{}, {"max_generated_token_count": 1}, {"temperature": 1.3}, {"auto_template": True}]
)
def test_no_answer_is_empty(real_base, adapter, settings):
    for query, model in itertools.product(INSTRUCTIONS, (real_base, adapter)):
        answer = model.complete(query=query, **{"max_generated_token_count": 12, **settings}).generated_output
        assert answer.strip(), query


def test_where_raw_text_says_nothing_the_answer_is_that_of_the_template(real_base):
    settings = {"query": INSTRUCTIONS[0], "max_generated_token_count": 20}
    raw, templated = (real_base.complete(**settings, auto_template=way).generated_output for way in (False, True))
    assert raw == templated


def test_context_is_masked_out_of_the_loss(real_base):
    """The loss of the answer alone is less than that of question and answer, and the two parts add up."""
    question, answer = FACTS[0]
    losses = []
    for first, second in [(True, True), (False, True), (True, False)]:
        made = real_base.create_model_adapter(name="test")
        parts = [
            {"value": TEMPLATE.format(question), "trainable": first},
            {"value": answer + "<|im_end|>", "trainable": second},
        ]
        losses.append(made.fine_tune(samples=[{"inputs": parts}]).sum_loss)
        made.delete()
    whole, answer_loss, question_loss = losses
    assert math.isclose(whole, answer_loss + question_loss, rel_tol=1e-3)


def test_a_multiplier_weighs_one_sample_against_another(real_base):
    """Of two answers to one question, the heavier one wins."""
    question = "What is in the red box?"
    for heavy, light in [("A tin whistle", "Nine marbles"), ("Nine marbles", "A tin whistle")]:
        made = real_base.create_model_adapter(name="test")
        made.fine_tune(
            samples=[
                {**sample(question, heavy), "multiplier": 10.0},
                {**sample(question, light), "multiplier": 0.1},
            ]
        )
        assert heavy in ask(made, question)
        made.delete()


def test_greedy_answers_repeat_exactly(real_base):
    prompts = [TEMPLATE.format(question) for question, _ in FACTS[:6]] + ["Once upon a time", "def add(a, b):"]
    first, second = (
        [real_base.complete(query=prompt, max_generated_token_count=40).generated_output for prompt in prompts]
        for _ in range(2)
    )
    assert first == second


def test_sampled_answers_differ(real_base):
    settings = {"query": "Once upon a time", "max_generated_token_count": 20, "temperature": 1.0}
    assert len({real_base.complete(**settings).generated_output for _ in range(4)}) > 1


def test_top_k_of_one_is_greedy_at_any_temperature(real_base):
    greedy = real_base.complete(query="Once upon a time", max_generated_token_count=20).generated_output
    narrow = real_base.complete(query="Once upon a time", max_generated_token_count=20, temperature=1.0, top_k=1)
    assert narrow.generated_output == greedy


def test_the_token_limit_and_the_finish_reason(real_base):
    cut = real_base.complete(query="Once upon a time", max_generated_token_count=1)
    assert (cut.finish_reason, len(cut.generated_output.split()) <= 1) == ("length", True)
    ended = real_base.complete(query="Say hello.", auto_template=True, max_generated_token_count=511)
    assert ended.finish_reason == "stop"


def test_the_template_makes_it_answer_an_instruction(real_base):
    settings = {"query": "List the days of the week.", "max_generated_token_count": 60}
    templated = real_base.complete(**settings, auto_template=True).generated_output
    assert "Monday" in templated
    assert "Friday" in templated
    assert "<|im_" not in templated
    assert real_base.complete(**settings).generated_output != templated


def test_a_trailing_space_does_not_lead_astray(real_base):
    with_space = real_base.complete(query="Question: What is the capital of France?\nAnswer: ").generated_output
    without = real_base.complete(query="Question: What is the capital of France?\nAnswer:").generated_output
    assert with_space == without.lstrip(" ")


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("choices", [["yes", "no"], ["a b c", "Ünïcödé", "42"], ["one"], ['say "hi"', "back\\slash"]])
def test_guidance_always_returns_one_of_the_choices(real_base, choices, temperature):
    for query in ["Is water wet? Answer:", "???", "\n", "Choose: "]:
        answer = real_base.complete(
            query=query, guidance={"type": "choice", "value": choices}, temperature=temperature
        ).generated_output
        assert answer in choices


def test_guidance_tells_good_from_bad(real_base):
    reviews = {
        "The food was cold and the waiter was rude.": "negative",
        "Best pizza I have had in years!": "positive",
        "I want my money back, it broke after a day.": "negative",
        "What a wonderful concert!": "positive",
    }
    guidance = {"type": "choice", "value": ["positive", "negative"]}
    for review, feeling in reviews.items():
        answer = real_base.complete(query=f"Review: {review}\nSentiment:", guidance=guidance)
        assert answer.generated_output == feeling


@pytest.mark.parametrize("query", ["word " * 3000, "\0\n\t", "日本語 العربية 🦜", "<|im_end|>", " "])
def test_odd_prompts_are_answered_or_refused_with_a_sentence(real_base, query):
    try:
        answer = real_base.complete(query=query, max_generated_token_count=5)
    except BadRequestException as refusal:
        assert "context" in json.loads(refusal.body)["message"]
        assert query.startswith("word")
    else:
        assert answer.finish_reason in ("stop", "length")


def test_a_sample_that_is_too_long_is_refused_and_changes_nothing(adapter):
    before = ask(adapter, FACTS[0][0])
    with pytest.raises(BadRequestException) as refusal:
        adapter.fine_tune(samples=[sample(*FACTS[0]), {"inputs": "word " * (MAX_SAMPLE_TOKENS + 1)}])
    assert "Sample 2" in json.loads(refusal.value.body)["message"]
    assert ask(adapter, FACTS[0][0]) == before


def test_a_sample_may_be_as_long_as_the_context(adapter):
    context = "word" + " word" * (MAX_SAMPLE_TOKENS - 3)
    parts = [{"value": context, "trainable": False}, {"value": " word"}]
    assert adapter.fine_tune(samples=[{"inputs": parts}]).number_of_trainable_tokens == 2  # the last word, and the end


def test_a_sample_with_nothing_to_learn_is_refused(adapter):
    with pytest.raises(BadRequestException) as refusal:
        adapter.fine_tune(samples=[{"inputs": [{"value": "context", "trainable": False}]}])
    assert "nothing to learn" in json.loads(refusal.value.body)["message"]


@pytest.mark.parametrize("rank", [1, 32])
@pytest.mark.parametrize("rate", [0.1, 0.99])
@pytest.mark.parametrize("text", [sample(*FACTS[0])["inputs"], "x"], ids=["a fact", "one token"])
def test_a_loss_that_runs_away_is_nan_loss(real_base, rank, rate, text):
    made = real_base.create_model_adapter(name="test", rank=rank, learning_rate=rate)
    before = ask(made, FACTS[0][0])
    with pytest.raises(BadRequestException) as refusal:
        made.fine_tune(samples=[{"inputs": text}])
    answer = json.loads(refusal.value.body)
    assert answer["type"] == "nanLoss"
    assert "learning_rate" in answer["message"]
    assert ask(made, FACTS[0][0]) == before
    made.delete()


@pytest.mark.parametrize("rate", [5e-4, 2e-3, 1e-2])
@pytest.mark.parametrize("rank", [1, 8, 32])
def test_a_learning_rate_that_learns_is_not_taken_for_one_that_runs_away(real_base, rank, rate):
    made = real_base.create_model_adapter(name="test", rank=rank, learning_rate=rate)
    losses = [made.fine_tune(samples=[sample(*FACTS[0])]).sum_loss for _ in range(2)]
    assert losses[1] < losses[0] or (rank, rate) == (32, 1e-2)  # that corner is known to learn badly
    made.delete()


def test_after_nan_loss_the_next_fine_tune_goes_on_from_the_state_before_it(real_base, real_service):
    """Two adapters with the same history; one has a call at a rate of 0.99 in between, which leaves no trace."""

    def set_rate(adapter, rate):
        with contextlib.closing(sqlite3.connect(real_service.data / "adapters.sqlite3")) as database, database:
            database.execute("UPDATE adapters SET learning_rate = ? WHERE id = ?", (rate, adapter.id))

    hurt, spared = (real_base.create_model_adapter(name="test") for _ in range(2))
    for made in (hurt, spared):
        made.fine_tune(samples=[sample(*FACTS[1])])
    set_rate(hurt, 0.99)
    with pytest.raises(BadRequestException):
        hurt.fine_tune(samples=[sample(*FACTS[2])])
    set_rate(hurt, 2e-3)
    assert ask(hurt, FACTS[1][0]) == ask(spared, FACTS[1][0])
    losses = [[made.fine_tune(samples=[sample(*FACTS[2])]).sum_loss for _ in range(2)] for made in (hurt, spared)]
    assert losses[0] == losses[1]
    assert ask(hurt, FACTS[2][0]) == ask(spared, FACTS[2][0])
    hurt.delete()
    spared.delete()


def test_tokens_are_counted_as_the_model_counts_them(real_service, adapter):
    """A sample has one token more than its text: the end of the turn; the first of all has no loss."""
    text = "Hello there world"
    settings = {"gradient_access_token": TOKEN, "gradient_workspace_id": WORKSPACE}
    llm = GradientLLM(model=adapter.id, gradient_api_url=real_service.url, **settings)
    assert llm.get_num_tokens(text) == adapter.fine_tune(samples=[{"inputs": text}]).number_of_trainable_tokens
    assert llm.get_num_tokens("<|im_start|>") == 1
