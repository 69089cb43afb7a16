"""A multiple-choice task made from the Python reference: which of four endings belongs to the beginning of a paragraph?

Every Python has the text, so that a demo needs no data set. Texts differ a little between versions of Python.
"""

import random
from typing import Any

from lorap.data.corpora import pydoc_rows

SEED = 0
# Words. A dense model of 135M parameters is right in four of five; longer texts make it too easy to tell models apart.
CONTEXT, ENDING = 8, 6
ENDINGS = 4
SIMILAR = 12  # texts from which the wrong endings are drawn


def choice_documents() -> list[dict[str, Any]]:
    """Documents ``context``, ``endings``, ``answer``: of the four endings, that at index ``answer`` is right.

    The wrong ones are from paragraphs of other topics and have about as many letters, since the likelihood of a whole
    ending says much of its length.
    """
    draw = random.Random(SEED)
    parts = _paragraphs()
    documents = []
    for topic, context, ending in parts:
        others = sorted({text for other, _, text in parts if other != topic}, key=lambda text: _gap(text, ending))
        endings = [ending, *draw.sample(others[:SIMILAR], ENDINGS - 1)]
        draw.shuffle(endings)
        documents.append({"context": context, "endings": endings, "answer": endings.index(ending)})
    return documents


def _paragraphs() -> list[tuple[int, str, str]]:
    """Of every paragraph of prose: its topic's number, its beginning, and the words that follow.

    Code, grammar and lists are left out.
    """
    found = []
    for topic, row in enumerate(pydoc_rows("evaluation")):
        for part in row.split("\n\n"):
            words = part.split()
            if len(words) >= CONTEXT + ENDING and words[0][0].isupper() and words[-1].endswith("."):
                found.append((topic, " ".join(words[:CONTEXT]), " ".join(words[CONTEXT : CONTEXT + ENDING])))
    return found


def _gap(text: str, other: str) -> tuple[int, str]:
    """How much two texts differ in length; the text itself decides between equals, for an order without chance."""
    return abs(len(text) - len(other)), text
