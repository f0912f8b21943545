"""Retrieval with the real embedder and the real model: what is found, and what is answered from it."""

from __future__ import annotations

import pytest
from gradientai._rag import FileChunker, MeaningBasedChunker, NormalChunker, SentenceWithContextChunker

from tests.support.waiting import wait_until

pytestmark = pytest.mark.model

LIBRARY = """The Harbour Library opened in 1962 in an old fish market. Its first librarian was Edda Thorsen, who brought
four hundred books from her own house. Today the library holds eighty thousand books.

The library is open from nine to six on weekdays. On Saturdays it closes at one o'clock. It is closed on Sundays and on
public holidays.

A library card costs five euros a year. Children under fourteen pay nothing. Who loses a card pays two euros for a new
one.

Books may be kept for three weeks. They can be renewed twice, by telephone or at the desk. A book that is late costs
twenty cents a day.

Every Thursday at four, Mr. Okafor reads stories to children in the blue room. In July and August there are no readings.

The building was renovated in 2011 by the architect Lena Brandt. She kept the old iron roof and added a glass tower.

The cafe on the ground floor is run by the Petrov family. Its apple cake is known in the whole town.

A van brings books to the villages of Norby and Askel each Tuesday. Its driver is called Jonas.

Guitars, two violins and a trumpet can be borrowed too. A deposit of fifty euros is asked for.

The library cat is called Pepper. She was found in a box of donated books in 2019."""
QUESTIONS = {
    "Who was the first librarian?": "Thorsen",
    "When does the library close on Saturdays?": "one o'clock",
    "How much does a library card cost?": "five euros",
    "How long may I keep a book?": "three weeks",
    "Who reads stories to children?": "Okafor",
    "Who was the architect of the new tower?": "Brandt",
    "Which family runs the cafe?": "Petrov",
    "What is the driver's name?": "Jonas",
    "What must I pay to borrow a guitar?": "fifty",
    "What is the name of the library's cat?": "Pepper",
}


@pytest.fixture
def library(tmp_path) -> str:
    (tmp_path / "library.txt").write_text(LIBRARY, encoding="utf-8")
    return str(tmp_path / "library.txt")


def made(gradient, library: str, chunker=None):
    """A collection of that file, once it is read."""
    collection = gradient.create_rag_collection(name="c", slug="bge-large", filepaths=[library], chunker=chunker)
    wait_until(lambda: gradient.get_rag_collection(id_=collection.id_).files[0]["status"] == "succeeded", 300)
    return collection


@pytest.mark.parametrize(
    "chunker",
    [NormalChunker(size=25), SentenceWithContextChunker(), MeaningBasedChunker(), FileChunker()],
    ids=lambda chunker: chunker.chunker_type,
)
def test_files_of_every_chunker_are_read_and_asked(real_gradient, real_base, library, chunker):
    collection = made(real_gradient, library, chunker)
    rag = {"collectionId": collection.id_}
    assert real_base.complete(
        query="Who was the first librarian?", rag=rag, max_generated_token_count=20
    ).generated_output
    collection.delete()


def test_more_questions_are_answered_right_with_the_collection_than_without(real_gradient, real_base, library):
    collection = made(real_gradient, library, MeaningBasedChunker())

    def right(**rag) -> int:
        said = [
            real_base.complete(query=question, max_generated_token_count=40, auto_template=True, **rag).generated_output
            for question in QUESTIONS
        ]
        return sum(key.lower() in answer.lower() for key, answer in zip(QUESTIONS.values(), said, strict=True))

    assert right(rag={"collectionId": collection.id_}) >= right() + 2
