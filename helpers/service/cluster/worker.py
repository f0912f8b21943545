"""A worker: an engine on its own machine, with calls that come from the service and can be given up from there.

`on_ray.py` makes an actor of it, in a process of its own. Its methods are called from several threads. A refusal is
returned, not raised: Ray would wrap it into an exception of its own.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ...environment import VERSION
from .. import logs
from ..engine import Completion, CompletionRequest, Engine, LikelyToken, Token, TuningOutcome, TuningSample
from ..refusals import Failed, Refusal
from .parcels import Inbox, Parcel, SentAdapter, pack
from .routing import About

FORGET = 1000  # how many calls that were given up are remembered, for those that are heard of only later


@dataclass(frozen=True)
class Tuned:
    """What a fine-tune did, and what it wrote."""

    outcome: TuningOutcome
    parcel: Parcel


class Worker:
    """An engine and the adapters that it was sent.

    Args:
        make_engine: makes the engine, which may take minutes where a model has to be downloaded first.
        fetch: gives the parcel for a ticket.
    """

    def __init__(self, make_engine: Callable[[], Engine], fetch: Callable[[Any], Parcel]) -> None:
        self._inbox = Inbox(fetch)
        self._lock = threading.Lock()
        self._given_up: OrderedDict[str, threading.Event] = OrderedDict()  # by call
        self._engine = make_engine()

    def about(self) -> About:
        """What it is and does."""
        engine = self._engine
        parts = (engine.weights, engine.places, engine.load(), engine.doing)
        return About(VERSION, *parts, socket.gethostname(), os.getpid())

    def prepare_tuning(self) -> None:
        """As `Engine.prepare_tuning`."""
        self._engine.prepare_tuning()

    def give_up(self, call: str) -> None:
        """No one waits for a call any more, which may not have come yet."""
        self._event_of(call).set()

    def call(self, call: str, method: str, *arguments: Any) -> Any:
        """Runs one of the methods below.

        Args:
            call: its id, by which it can be given up.
            method: its name.
            arguments: of it, without the last.

        Returns:
            What it returns, or the refusal that it raised.
        """
        try:
            with self._wanted(call) as given_up:
                return getattr(self, method)(*arguments, given_up)
        except Refusal as refusal:
            return refusal
        except OSError as error:
            logs.event("call-failed", logging.ERROR, error, call=method)
            return Failed(
                f"A worker could not keep what it needs ({error.strerror}): make room on {socket.gethostname()}."
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, the worker lives, and the service has to be told
            logs.event("call-failed", logging.ERROR, error, call=method)
            return Failed(f"The call failed in a worker on {socket.gethostname()} ({type(error).__name__}).")

    def complete(
        self, request: CompletionRequest, base_slug: str, sent: SentAdapter | None, given_up: threading.Event
    ) -> Completion:
        """As `Engine.complete`."""
        with self._inbox.open(sent) as adapter:
            return self._engine.complete(request, base_slug, adapter, given_up)

    def next_tokens(
        self, prompt: str, count: int, base_slug: str, sent: SentAdapter | None, given_up: threading.Event
    ) -> list[LikelyToken]:
        """As `Engine.next_tokens`."""
        with self._inbox.open(sent) as adapter:
            return self._engine.next_tokens(prompt, count, base_slug, adapter, given_up)

    def fine_tune(self, samples: list[TuningSample], sent: SentAdapter, given_up: threading.Event) -> Tuned:
        """As `Engine.fine_tune`; the adapter that comes of it stays here too, for the completions that follow."""
        with self._inbox.open(sent) as adapter, self._inbox.new() as into:
            assert adapter is not None
            outcome = self._engine.fine_tune(samples, adapter, into, given_up)
            parcel = pack(into)
            self._inbox.keep(parcel, into)
        return Tuned(outcome, parcel)

    def embed(self, texts: list[str], given_up: threading.Event) -> list[list[float]]:
        """As `Engine.embed`."""
        return self._engine.embed(texts, given_up)

    def embedding_tokens(self, texts: list[str], given_up: threading.Event) -> int:
        """As `Engine.embedding_tokens`."""
        return self._engine.embedding_tokens(texts, given_up)

    def tokenize(self, text: str, given_up: threading.Event) -> list[Token]:
        """As `Engine.tokenize`."""
        return self._engine.tokenize(text)

    @contextlib.contextmanager
    def _wanted(self, call: str) -> Iterator[threading.Event]:
        """A call's event, which is set once it is given up."""
        event = self._event_of(call)
        try:
            yield event
        finally:
            with self._lock:
                self._given_up.pop(call, None)

    def _event_of(self, call: str) -> threading.Event:
        with self._lock:
            event = self._given_up.setdefault(call, threading.Event())
            while len(self._given_up) > FORGET:
                self._given_up.popitem(last=False)
            return event
