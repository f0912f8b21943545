"""The four chunkers: nothing is lost, nothing is too long, and each cuts where it says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.service import chunkers
from helpers.service.chunkers import (
    Chunk,
    FileChunker,
    MeaningBasedChunker,
    NormalChunker,
    SentenceWithContextChunker,
    first_words,
    made,
    pieces,
    split,
    texts_to_compare,
    words_in,
)
from tests.service.test_bad_input import checked

TEXT = "One is here. Two comes next! Is three last? Four is.\n\nFive stands alone"
texts = st.text(st.characters(codec="utf-8") | st.sampled_from(" .\n?!。字a"), max_size=300)
sizes = st.integers(1, 12).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, size - 1)))


def contents(text: str, chunker, vectors=()) -> list[str]:
    return [chunk.content for chunk in split(text, chunker, vectors)]


def test_a_file_chunker_leaves_a_file_whole():
    assert split(f"\n{TEXT}\n ", FileChunker()) == [Chunk(TEXT, TEXT)]


def test_a_normal_chunker_ends_where_sentences_end_and_repeats_the_last_ones():
    assert contents(TEXT, NormalChunker(size=6, overlap=0)) == [
        "One is here. Two comes next!",
        "Is three last? Four is.",
        "Five stands alone",
    ]
    assert contents(TEXT, NormalChunker(size=6, overlap=3)) == [
        "One is here. Two comes next!",
        "Two comes next! Is three last?",
        "Is three last? Four is.",
        "Four is.\n\nFive stands alone",
    ]


def test_a_sentence_that_is_too_long_is_cut():
    assert contents("a b c d e f g", NormalChunker(size=3, overlap=1)) == ["a b c", "d e f", "g"]


def test_a_sentence_is_searched_for_and_given_with_its_neighbours():
    found = split(TEXT, SentenceWithContextChunker(context_sentences=1))
    assert [chunk.searched for chunk in found][1:3] == ["Two comes next!", "Is three last?"]
    assert found[1].content == "One is here. Two comes next! Is three last?"
    assert found[0].content == "One is here. Two comes next!"
    assert len(found) == 5


def test_meaning_based_passages_end_where_the_vectors_differ_most():
    chunker = MeaningBasedChunker(similiarity_percent_threshold=75)
    assert texts_to_compare(TEXT, chunker) == contents(TEXT, NormalChunker(size=3, overlap=0))
    east, north = [1.0, 0.0], [0.0, 1.0]
    assert contents(TEXT, chunker, [east, east, north, north, north]) == [
        "One is here. Two comes next!",
        "Is three last? Four is.\n\nFive stands alone",
    ]


@pytest.mark.parametrize(("threshold", "passages"), [(100, 1), (0, 5)])
def test_the_threshold_says_how_many_borders_are_none(threshold, passages):
    chunker = MeaningBasedChunker(similiarity_percent_threshold=threshold)
    assert len(split(TEXT, chunker, [[1.0]] * 5)) == passages


def test_groups_are_compared_together():
    chunker = MeaningBasedChunker(sentence_group_length=2)
    assert texts_to_compare(TEXT, chunker) == [
        "One is here. Two comes next!",
        "Is three last? Four is.",
        "Five stands alone",
    ]


def test_scripts_without_spaces_are_cut_too():
    assert words_in("北京是中国的首都。") == 9
    assert contents("北京是中国的首都。东京是日本的首都。", NormalChunker(size=10, overlap=0)) == [
        "北京是中国的首都。",
        "东京是日本的首都。",
    ]


def test_a_text_of_one_endless_word_is_cut():
    assert max(map(len, contents("x" * 10_000, NormalChunker(size=10, overlap=0)))) == 400


def test_defaults_fill_what_was_not_chosen_and_never_exceed_the_size():
    assert made("normalChunker", {"size": None, "overlap": None}) == NormalChunker()
    assert made("normalChunker", {"size": 10, "overlap": None}) == NormalChunker(10, 2)
    assert made("normalChunker", {"size": 1}) == NormalChunker(1, 0)
    for kind in chunkers.KINDS:
        numbers = chunkers.as_dict(made(kind, {}))
        assert made(numbers.pop("kind"), numbers) == made(kind, {})


@checked
@given(texts, sizes)
def test_every_word_is_in_a_passage_and_no_passage_is_too_long(text, numbers):
    size, overlap = numbers
    passages = contents(text, NormalChunker(size, overlap))
    assert all(0 < words_in(passage) <= size for passage in passages)
    assert all(passage in text for passage in passages)
    at, covered = 0, set()
    for passage in passages:
        at = text.index(passage, at)
        covered.update(range(at, at + len(passage)))
    assert all(letter.isspace() or place in covered for place, letter in enumerate(text))


@checked
@given(texts, st.sampled_from(list(chunkers.KINDS)), st.integers(1, 5), st.integers(0, 100))
def test_any_text_is_cut_by_every_chunker(text, kind, number, percent):
    numbers = {"size": number, "overlap": 0} if kind != FileChunker.kind else {}
    if kind == MeaningBasedChunker.kind:
        numbers.update(sentence_group_length=number, similiarity_percent_threshold=percent)
    chunker = made(kind, numbers)
    vectors = [[1.0, 0.0] if len(one) % 2 else [0.0, 1.0] for one in texts_to_compare(text, chunker)]
    found = split(text, chunker, vectors)
    assert all(chunk.searched.strip() and chunk.content in text for chunk in found)
    assert bool(found) == bool(text.strip())


@checked
@given(texts, st.integers(1, 20))
def test_pieces_and_first_words_keep_to_their_numbers(text, count):
    assert all(words_in(piece) <= count for piece in pieces(text, count))
    assert words_in(first_words(text, count)) == min(count, words_in(text))
