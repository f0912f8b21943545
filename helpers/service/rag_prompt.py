"""The prompt of a question that is answered from passages. Called by `calls.py`.

Chosen by trying: sixteen questions on twelve passages about a library, the right passage first and others after it,
answered by SmolLM2-135M-Instruct, greedily. Right of 16, with one, two, three and four passages:

    Text: … What does the text say about this: …         12  10  11  10
    Context: … Answer the question from the context. …   10   9  10   9
    Answer the question with the text below. …           11   8   8  10
    the same, asking for words from the text             10   8   9   .

With four, six others (question alone, first and last, `Answer:` at the end) had 6 to 8, and the right passage at the
end, not the beginning, cost up to three. With passages that were really searched for, cut by size (30 words) and by
sentence, right of 10 by the first of these prompts: 7 and 9 with one passage, 5 and 4 with two.
"""

from __future__ import annotations

from collections.abc import Sequence

from .chunkers import first_words, words_in
from .collections import Passage

PASSAGES = 1  # the first one found was right in 9 to 10 of 10, and any second one confuses the model
MAX_WORDS = 700  # of the passages together; with question and answer they have to fit the model's context


def prompt(passages: Sequence[Passage], question: str) -> str:
    """Passages and a question as one prompt for the chat template.

    Args:
        passages: the likest first; as many as fit are used. One that is too long by itself is cut to what follows the
            place that was found.
        question: what was asked.
    """
    room = MAX_WORDS
    kept: list[str] = []
    for passage in passages:
        words = words_in(passage.content)
        if kept and words > room:
            break
        kept.append(passage.content if words <= room else first_words(passage.content[passage.start :], room))
        room -= words
    return "Text:\n" + "\n\n".join(kept) + f"\n\nWhat does the text say about this: {question}"
