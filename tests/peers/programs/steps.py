"""How a program tells what its calls gave: one JSON object, by the name of the step. Imported by the programs alone.

A step that fails is told as {"failed": "Kind: what it said"} and the next one goes on, so that one run shows all that
works. What a release of a client does not have is told as {"lacks": what}.
"""

import json
import operator
import sys
from pathlib import Path

FOLDER = Path(sys.argv[1])  # with what is uploaded, and for what is written

FACTS = json.loads(
    Path(__file__).with_name("facts.json").read_text(encoding="utf-8")
)  # what programs of both kinds say
QUESTION, ANSWER = FACTS["question"], FACTS["answer"]  # what no model knows, asked as Gradient's own examples ask
TEXTS, LIKE_SECOND = FACTS["texts"], FACTS["like_second"]


class Lacks(Exception):
    """Raised by a step for which this release has no call."""


def need(thing, name):
    """An attribute of a client, or Lacks where its release has none."""
    if not hasattr(thing, name):
        raise Lacks(name)
    return getattr(thing, name)


def shape(vectors, query):
    """Of vectors of TEXTS and of LIKE_SECOND: how long they are, and which text is most like the question."""
    products = [sum(map(operator.mul, vector, query)) for vector in vectors]
    lengths = [round(sum(a * a for a in vector), 4) for vector in [*vectors, query]]
    return {"sizes": [len(v) for v in vectors], "squares": lengths, "nearest": products.index(max(products))}


def tell(*steps):
    """Runs the steps, or those that the command names after FOLDER, and prints what they return."""
    wanted = sys.argv[2:]
    print(json.dumps({step.__name__: _outcome(step) for step in steps if not wanted or step.__name__ in wanted}))


def _outcome(step):
    try:
        return step()
    except Lacks as missing:
        return {"lacks": str(missing)}
    except Exception as error:  # noqa: BLE001 - of any client
        body = getattr(error, "body", None)
        return {"failed": f"{type(error).__name__}: {body or error}"[:600]}
