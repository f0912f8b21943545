"""The questions of the lessons, by lesson: what is asked, the choices, which is right, and why each is or is not.

`quiz.py` asks them. A wrong choice is one that someone could make, and its explanation says what is true instead.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Question:
    """A question with a few choices, of which one is right.

    Attributes:
        lesson: the number of its lesson.
        text: what is asked.
        choices: what can be chosen, in the order in which it is shown.
        why: for each choice why it is right, or what is true instead.
        right: the letter of the right one.
    """

    lesson: int
    text: str
    choices: tuple[str, ...]
    why: tuple[str, ...]
    right: str

    @property
    def letters(self) -> tuple[str, ...]:
        """What the choices are called: a, b and so on."""
        return tuple("abcdefgh"[: len(self.choices)])


QUESTIONS = {
    "misread": Question(
        4,
        "The right fact was among those that were looked up, and the answer is wrong. What failed?",
        (
            "The embeddings.",
            "The reading.",
            "The store.",
        ),
        (
            "They found it: twenty of twenty were among the first three.",
            "The model chose among the three lines, and chose wrong. A better prompt or a fine-tune helps here.",
            "It gave what it was asked for.",
        ),
        "b",
    ),
    "changes_weekly": Question(
        4,
        "A fact changes every week. Which way?",
        (
            "Learn it anew each week.",
            "Look it up.",
            "Raise the temperature.",
        ),
        (
            "That costs a fine-tune a week, and the old fact has to be unlearned or the adapter made anew.",
            "One line is replaced, and the next question gets the new answer.",
            "Chance knows no facts.",
        ),
        "b",
    ),
    "the_limit": Question(
        4,
        "What does the limit of 0.4 do in `with_facts`?",
        (
            "It makes the search faster.",
            "It makes answers about the library more precise.",
            "It leaves questions alone that have nothing to do with the library.",
        ),
        (
            "All vectors are compared either way.",
            "It changes nothing for questions whose facts are near.",
            "Without it three facts stand before every question, and some of the answers follow them.",
        ),
        "c",
    ),
    "ninety_of_a_hundred": Question(
        5,
        "Ninety of a hundred mails are about billing, and a classifier gets ninety right. How good is it?",
        (
            "Good: nine of ten.",
            "That can't be said without its confusion table.",
            "Bad: it must be guessing.",
        ),
        (
            "One that says *billing* to everything gets ninety as well.",
            "Ninety may mean that it has understood nearly everything, or nothing.",
            "It may be; a guess by the toss of a coin would get fewer, and the table tells.",
        ),
        "b",
    ),
    "in_both_halves": Question(
        5,
        "A mail is in the half to learn from and in the held-out half, too. What does that do to the score?",
        (
            "It becomes too high.",
            "It becomes too low.",
            "Nothing, it is one mail of forty.",
        ),
        (
            "That mail may just be remembered. The checker of projects refuses such a data set.",
            "A mail that was learned is seldom answered wrong.",
            "It is one for which the score tells nothing, and where one slipped in there are more.",
        ),
        "a",
    ),
    "one_class": Question(
        5,
        "With examples in the prompt, a model says one class to everything. What first?",
        (
            "Add the same examples once more.",
            "Raise the temperature.",
            "Try other examples and other orders, on mails that are not held out, and count.",
        ),
        (
            "What made it lean to one side is then there twice.",
            "That mixes chance into the answers, and no knowledge.",
            "The choice and the order decide, and the held-out half stays clean only if it is asked at the end.",
        ),
        "c",
    ),
    "all_right": Question(
        5,
        "All twelve tickets are right after a fine-tune. What is missing?",
        (
            "More fine-tuning, to be sure.",
            "A look at what was forgotten.",
            "Nothing.",
        ),
        (
            "What is learned gets no better, and more of the rest goes.",
            "Twelve of twelve came with one unrelated answer of ten.",
            "Not for those who will ask it something else one day.",
        ),
        "b",
    ),
    "a_zero": Question(
        6,
        "B begins at zero. What if A began at zero as well?",
        (
            "It would learn at half the speed.",
            "It would never learn anything.",
            "It would begin further away from the base model.",
        ),
        (
            "B's gradient is made with A x, and A's with B; with both at zero, both gradients are zero.",
            "Each waits for the other for ever.",
            "B A is zero either way, so it begins exactly there.",
        ),
        "b",
    ),
    "nats": Question(
        6,
        "The mean loss is 0.69 nats. How likely is the right token, roughly?",
        (
            "69 of 100",
            "31 of 100",
            "50 of 100",
        ),
        (
            "0.69 is the loss; the chance is e to the minus 0.69.",
            "A chance is not 1 minus the loss, which can be far above 1.",
            "E to the minus 0.69 is a half. The tuner stops when every token is at least there.",
        ),
        "c",
    ),
    "not_trainable": Question(
        6,
        "A token is marked `trainable: False`. What can a fine-tune do to it?",
        (
            "Nothing, it is frozen.",
            "It may be predicted better or worse afterwards.",
            "It is no longer read.",
        ),
        (
            "What is frozen are the base model's matrices. The adapter works on every token.",
            'No one looks at its loss, and the steps for the other tokens move it along, as "cat" above.',
            "The tokens after it look at it as before: it is their context.",
        ),
        "b",
    ),
    "first_step": Question(
        6,
        "Why was the first step of AdamW as long as the rate?",
        (
            "The gradients had been clipped to 1.",
            "B was zero.",
            "The mean and the root of the mean square were the same number.",
        ),
        (
            "Clipping shortens all gradients together, and these were short enough.",
            "A number that is not zero moves as far in a first step.",
            "After one gradient both are its size, and only the sign is left.",
        ),
        "c",
    ),
}
