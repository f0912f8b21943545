"""`python -m tests.bench.adjusted_service`: the service with two choices of its tuner changed, and nothing else.

TUNER_SEED is the seed of LoRA's first matrices (`recipe.SEED`), so that a score can be had over several draws of them.
TUNER_IDLE_SECONDS is how long the tuner's process stays after a fine-tune (`process.IDLE_SECONDS`), so that the
memory after it can be seen without waiting for ten minutes. Neither is an option of the service, because no learner
needs one. The tuner's process imports this module again when it starts, and changes the seed there.
"""

from __future__ import annotations

import os
import sys


def _change(module: object, name: str, value: float | None) -> None:
    if value is None:
        return
    if not hasattr(module, name):
        raise AttributeError(f"{module.__name__} has no {name} any more: change {__file__} too")
    setattr(module, name, type(getattr(module, name))(value))


def _setting(name: str) -> float | None:
    return float(os.environ[name]) if name in os.environ else None


if __name__ != "__mp_main__":  # the name that multiprocessing gives it in the tuner's process
    from helpers.service.tuner import process

    _change(process, "IDLE_SECONDS", _setting("TUNER_IDLE_SECONDS"))
elif "TUNER_SEED" in os.environ:
    from helpers.service.tuner import recipe

    _change(recipe, "SEED", _setting("TUNER_SEED"))

if __name__ == "__main__":
    from helpers.service.__main__ import main

    sys.exit(main())
