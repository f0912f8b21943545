"""Completions: llama.cpp, in this process through xllamacpp, on the GGUF as it is, with adapters as GGUF LoRA files.

llama.cpp takes its adapters when a server is made. So the decoder keeps one *generation*: a server and the adapters in
it. A request for an adapter that is not among them makes the next generation, with all that others wait for by then. If
nobody is being answered, the old one leaves first, and its memory is used again. Otherwise it goes on answering;
requests in flight end on it, then it leaves, and only then may a third be made: so there are never more than two. Only
`engine.py` calls this; methods may be called from several threads.

The number of threads is fixed when a server is made as well. When the cores that are free have changed (`cores.py`),
the next request is answered by the generation that is there while one with the right number is made beside it. Until
then OpenMP's settings keep the threads apart (`_llama_cpp`), or the change would be paid for tenfold.

Measured: a generation takes 0.3 s to make and 320 MB, and for an adapter of rank 8 as much again as its file, 1.5 MB
(6 MB at rank 32).
"""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import math
import os
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .. import logs, malloc
from ..refusals import CallerGone, Failed, Refusal, TookTooLong, TooLong
from . import cores

CONTEXT_TOKENS = 1792  # prompt and answer; a token takes 12 KB in each slot, and llama.cpp counts in steps of 256
SLOTS = 8  # requests answered at once; further ones wait inside llama.cpp
COMPUTED_TOKENS = 128  # of prompts at a time: as fast as llama.cpp's 512, which sets 17 MB more aside
MAX_ADAPTER_BYTES = 150_000_000  # in memory, 98 adapters of rank 8 and 24 of rank 32; the least recently used leaves
COMPLETION_SECONDS = 300  # for one answer, the wait for its adapter and in llama.cpp's queue included
LOOK_SECONDS = 0.1  # how often a waiting request looks whether its caller is still there
# As a grammar for llama.cpp: of ASCII, as a token may be half of another character, and not the beginning of a `<s>`.
VISIBLE = "root ::= [!-;=-~] .*"
PROBABILITIES = 1000  # how many of the likeliest tokens a choice is looked up in

# Read by OpenMP's library on Linux when it is loaded; elsewhere nothing reads them. A thread that has waited for so
# many turns of its loop sleeps instead of using up its share of a core, and no two threads share one while another core
# holds none. Measured beside one busy process on two cores, 32 tokens: 1.4 s without, 0.8 s with both, and 7.8 s with
# the first alone; on a quiet machine 0.48 and 0.49 s.
OPENMP = {"GOMP_SPINCOUNT": "20000", "OMP_PROC_BIND": "true"}


@dataclass(frozen=True)
class Sampling:
    """How to choose tokens: temperature 0 is greedy; None switches a filter off; equal seeds repeat.

    Attributes:
        stop: a text that ends the answer and is no part of it, or None.
        visible: whether the answer has to begin with a character that can be seen; it is then never empty.
    """

    max_tokens: int
    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0
    stop: str | None = None
    visible: bool = False


@dataclass(eq=False)
class _Generation:
    """A llama.cpp server (None: it has been freed), the index of each adapter in it, how many threads it computes with,
    how many requests use it now."""

    server: Any
    adapters: dict[Path, int]
    threads: int = 0
    users: int = 0


class _Limit:
    """How long an answer may take: COMPLETION_SECONDS, and no longer than someone waits for it."""

    def __init__(self, given_up: threading.Event | None = None) -> None:
        self._given_up = given_up or threading.Event()
        self._deadline = time.monotonic() + COMPLETION_SECONDS

    @property
    def reached(self) -> bool:
        return self._given_up.is_set() or time.monotonic() > self._deadline

    def check(self) -> None:
        """Raises CallerGone or TookTooLong once the limit is reached."""
        if self._given_up.is_set():
            raise CallerGone
        if self.reached:
            raise TookTooLong(f"The answer took longer than {COMPLETION_SECONDS} seconds and was ended.")


class Decoder:
    """Continues prompts with one GGUF model and any number of adapters on it.

    Args:
        gguf: the model.
        threads: how many threads are right now; asked for each generation, and by each request whether it still is so.

    Raises:
        ValueError: llama.cpp can't load the model.
    """

    def __init__(self, gguf: Path, threads: Callable[[], int] = cores.limit) -> None:
        self._gguf = gguf
        self._threads = threads
        self._api_key = secrets.token_urlsafe(32)  # llama.cpp opens a loopback port of its own: close it to others
        self._building = threading.Lock()  # held by the one request that makes the next generation
        self._changed = threading.Condition()  # guards what follows
        self._recent: OrderedDict[Path, None] = OrderedDict()
        malloc.return_large_blocks()
        self._current = self._new_generation([])
        self._retired: _Generation | None = None

    @property
    def threads(self) -> int:
        """How many threads the current generation computes with."""
        return self._current.threads

    def complete(
        self,
        prompt: str,
        sampling: Sampling,
        adapter: Path | None = None,
        given_up: threading.Event | None = None,
    ) -> tuple[str, str]:
        """Continues a prompt.

        Args:
            prompt: text; `<|im_start|>` and the like are read as special tokens.
            sampling: how to choose tokens.
            adapter: a GGUF LoRA file, or None for the base model.
            given_up: ends the answer with the next token once it is set.

        Returns:
            The text, and "stop" (the model ended it) or "length".

        Raises:
            Refusal: the prompt is longer than the context; it took too long; the adapter's file can't be read;
                llama.cpp failed.
        """
        limit = _Limit(given_up)
        request = {
            "prompt": prompt,
            "n_predict": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_k": sampling.top_k or 0,
            "top_p": 1.0 if sampling.top_p is None else sampling.top_p,
            "min_p": 0.0,
            "seed": sampling.seed,
            "stop": [sampling.stop] if sampling.stop else [],
        }
        if sampling.visible:
            request["grammar"] = VISIBLE
        with self._using(adapter, limit) as generation:
            return _streamed(generation, request, adapter, limit)

    def choose(
        self,
        prompt: str,
        choices: Sequence[str],
        adapter: Path | None = None,
        given_up: threading.Event | None = None,
    ) -> list[float]:
        """Scores each choice as a continuation of the prompt.

        Args:
            prompt: text.
            choices: the strings to score.
            adapter: a GGUF LoRA file, or None.
            given_up: ends the scoring with the next token once it is set.

        Returns:
            One log-probability per choice, in nats: the sum over its tokens.

        Raises:
            Refusal: as `complete`.
        """
        limit = _Limit(given_up)
        with self._using(adapter, limit) as generation:
            prefix = self._tokens(generation, prompt, True)
            tails = [self._tokens(generation, choice, False) for choice in choices]
            (plain,) = self._tokens(generation, ".", False)
            seen: dict[tuple[int, ...], dict[int, float]] = {}
            for tail in tails:
                for end in range(len(tail)):
                    head = tuple(tail[:end])
                    if head not in seen:  # choices that begin alike share the work
                        limit.check()
                        seen[head] = _next_logprobs(generation, [*prefix, *head], plain, adapter)
        return [_sum_logprobs(tail, seen) for tail in tails]

    def tokenize(self, text: str, parse_special_tokens: bool = True) -> list[int]:
        """The tokens that llama.cpp makes of a text, without a begin-of-text token.

        Args:
            text: any.
            parse_special_tokens: whether `<|im_end|>` is a token, and not ten letters.
        """
        with self._using(None, _Limit()) as generation:
            return self._tokens(generation, text, parse_special_tokens)

    def pieces(self, text: str) -> list[tuple[int, str]]:
        """The tokens of a text as `tokenize` makes them, each with its piece of the text."""
        body = {"content": text, "add_special": False, "parse_special": True, "with_pieces": True}
        with self._using(None, _Limit()) as generation:
            found = self._post(generation, "/tokenize", body)["tokens"]
        return [(token["id"], _piece(token["piece"])) for token in found]

    def next_tokens(
        self, prompt: str, count: int, adapter: Path | None = None, given_up: threading.Event | None = None
    ) -> list[tuple[int, str, float]]:
        """The likeliest tokens after a prompt: id, piece and probability, the likeliest first.

        Args:
            prompt: text.
            count: how many at the most, up to PROBABILITIES.
            adapter: a GGUF LoRA file, or None.
            given_up: ends the wait for the adapter once it is set.

        Raises:
            Refusal: as `complete`.
        """
        with self._using(adapter, _Limit(given_up)) as generation:
            (plain,) = self._tokens(generation, ".", False)
            found = _next_entries(generation, self._tokens(generation, prompt, True), plain, adapter)
        return [(one["id"], _piece(one["bytes"]), math.exp(one["logprob"])) for one in found[:count]]

    def apply_template(self, query: str) -> str:
        """The query as the user's turn of the model's own chat template, ready for the answer."""
        with self._using(None, _Limit()) as generation:
            messages = {"messages": [{"role": "user", "content": query}]}
            return self._post(generation, "/apply-template", messages)["prompt"]

    def close(self) -> None:
        """Frees the model; requests in flight end first."""
        with self._changed:
            self._current, self._retired = _Generation(None, {}), None

    def _tokens(self, generation: _Generation, text: str, parse_special: bool) -> list[int]:
        body = {"content": text, "add_special": False, "parse_special": parse_special}
        return self._post(generation, "/tokenize", body)["tokens"]

    def _post(self, generation: _Generation, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Calls the in-process server's own loopback port, for what xllamacpp offers no method for."""
        address = urlsplit(generation.server.listening_address)
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
        headers = {"Authorization": f"Bearer {self._api_key}", "Content-Type": "application/json"}
        try:
            connection.request("POST", path, json.dumps(body), headers)
            return _checked(json.loads(connection.getresponse().read()))
        finally:
            connection.close()

    @contextlib.contextmanager
    def _using(self, adapter: Path | None, limit: _Limit) -> Iterator[_Generation]:
        """A generation that holds the adapter, kept alive until the block ends."""
        while (generation := self._acquire(adapter)) is None:
            limit.check()
            if self._building.acquire(timeout=LOOK_SECONDS):  # one builds; the others wait, and find theirs in it
                try:
                    if not self._holds(adapter):
                        self._build(adapter, limit)
                finally:
                    self._building.release()
        self._adjust_threads()
        try:
            yield generation
        finally:
            self._release(generation)

    def _acquire(self, adapter: Path | None) -> _Generation | None:
        """The current generation with one user more, or None if it can't serve the adapter, which is remembered."""
        with self._changed:
            if adapter is not None:
                self._recent[adapter] = None
                self._recent.move_to_end(adapter)
            if not self._holds(adapter):
                return None
            self._current.users += 1
            return self._current

    def _holds(self, adapter: Path | None) -> bool:
        with self._changed:
            return self._current.server is not None and (adapter is None or adapter in self._current.adapters)

    def _release(self, generation: _Generation) -> None:
        with self._changed:
            generation.users -= 1
            self._free_retired()

    def _swap_in(self, generation: _Generation) -> None:
        """Makes it the current one; the one before leaves with its last user, at once if it has none."""
        self._retired, self._current = self._current, generation
        self._free_retired()

    def _free_retired(self) -> None:
        if self._retired is not None and not self._retired.users:
            self._retired.server = None
            self._retired = None
            if self._current.server is not None:  # else the next one is made of what this one has left
                malloc.give_back()
            self._changed.notify_all()

    def _adjust_threads(self) -> None:
        """Begins to make a generation with the right number of threads, if this one has another, behind the request."""
        if self._current.threads in (0, self._threads()) or not self._building.acquire(blocking=False):
            return

        def rebuild() -> None:
            try:
                self._build(None, _Limit())
            except Refusal as error:  # the generation that is there goes on answering
                logs.event("rebuild-failed", logging.WARNING, error)
            finally:
                self._building.release()

        threading.Thread(target=rebuild, daemon=True, name="rebuild").start()

    def _build(self, adapter: Path | None, limit: _Limit) -> None:
        """Makes the next generation, outside the lock, and retires the current one."""
        with self._changed:
            while self._retired is not None:
                self._changed.wait(LOOK_SECONDS)
                limit.check()
            if not self._current.users:  # nobody is held up: whoever comes meanwhile waits for the next one
                self._swap_in(_Generation(None, {}))
            adapters = self._most_recent(adapter)
        try:
            made = self._new_generation(adapters)
        except RuntimeError:  # llama.cpp does not say which file it can't read
            made = self._generation_with_only([] if adapter is None else [adapter])
        with self._changed:
            self._swap_in(made)

    def _new_generation(self, adapters: list[Path]) -> _Generation:
        threads = self._threads()
        server = _server(self._gguf, adapters, self._api_key, threads)
        return _Generation(server, {path: index for index, path in enumerate(adapters)}, threads)

    def _generation_with_only(self, adapters: list[Path]) -> _Generation:
        """A generation for an adapter while another's file is damaged, which is told to whoever asks for that one."""
        try:
            return self._new_generation(adapters)
        except RuntimeError:
            with self._changed:
                for adapter in adapters:
                    self._recent.pop(adapter, None)
            raise Failed(
                "The file of this adapter can't be read: it is damaged, or was tuned on another model than the service "
                "runs. Start the service with that one (--model), or else delete the adapter and create it anew; "
                "others are unaffected."
            ) from None

    def _most_recent(self, adapter: Path | None) -> list[Path]:
        """An adapter and the most recently used ones beside it that still exist; a fine-tune replaces its file."""
        chosen: list[Path] = []
        total = 0
        if adapter is not None:
            self._recent.pop(adapter, None)
            chosen, total = [adapter], _size(adapter)
        for path in reversed(self._recent):
            size = _size(path)
            if size and total + size <= MAX_ADAPTER_BYTES:
                chosen.append(path)
                total += size
        self._recent = OrderedDict.fromkeys(reversed(chosen))
        return chosen


def _size(path: Path) -> int:
    """Bytes of a file, 0 if it is there no more."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _llama_cpp() -> Any:
    """The library; where it computes with OpenMP, under the settings OPENMP, unless the user has made others."""
    given = {name: os.environ.get(name) for name in OPENMP}
    bound_to = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    os.environ.update({name: value for name, value in OPENMP.items() if given[name] is None})
    try:
        import xllamacpp
    finally:
        for name, value in given.items():  # the tuner's process is to inherit none of them
            if value is None:
                del os.environ[name]
        if bound_to is not None and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, bound_to)  # the library has bound this thread, which loaded it, to one core
    return xllamacpp


def _server(gguf: Path, adapters: Sequence[Path], api_key: str, threads: int) -> Any:
    xllamacpp = _llama_cpp()
    params = xllamacpp.CommonParams()
    params.model.path = str(gguf)
    params.n_parallel = SLOTS
    params.n_ctx = SLOTS * CONTEXT_TOKENS
    params.n_ubatch = COMPUTED_TOKENS
    params.kv_unified = False  # a shared cache makes greedy answers depend on what else is in it
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_Q8_0  # half the memory of f16
    params.cache_ram_mib = 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.warmup = False
    params.fit_params = False  # it would load the model twice to see what fits: 0.15 s of 0.44
    params.verbosity = -1  # llama.cpp would write hundreds of lines to stderr
    params.ui = False
    params.api_keys = [api_key]
    params.lora_init_without_apply = True  # chosen per request
    infos = []
    for path in adapters:
        info = xllamacpp.CommonAdapterLoraInfo()
        info.path, info.scale = str(path), 0.0
        infos.append(info)
    params.lora_adapters = infos
    params.endpoint_metrics = True
    server = xllamacpp.Server(params)
    # Its loop may begin only now. A server that is freed before waits for itself for ever, and so does all of Python.
    server.handle_metrics()  # answered by the loop
    return server


def _with_adapter(request: dict[str, Any], generation: _Generation, adapter: Path | None) -> dict[str, Any]:
    scales = [{"id": index, "scale": float(path == adapter)} for path, index in generation.adapters.items()]
    return {**request, "lora": scales, "cache_prompt": True}


def _streamed(generation: _Generation, request: dict[str, Any], adapter: Path | None, limit: _Limit) -> tuple[str, str]:
    """Collects a streamed answer, so that one that takes too long, or that no one waits for, can be ended."""
    pieces: list[str] = []
    last: dict[str, Any] = {}

    def on_chunk(chunk: dict[str, Any]) -> bool:
        last.update(chunk)
        for choice in chunk.get("choices", ()):
            pieces.append(choice["text"])
        return limit.reached  # True ends the generation

    generation.server.handle_completions(_with_adapter({**request, "stream": True}, generation, adapter), on_chunk)
    _checked(last)
    limit.check()
    return "".join(pieces), last["choices"][0]["finish_reason"] or "length"


def _piece(piece: str | list[int]) -> str:
    """A token's piece of text; one that is a part of a character comes as bytes."""
    return piece if isinstance(piece, str) else bytes(piece).decode("utf-8", "replace")


def _next_logprobs(generation: _Generation, tokens: list[int], plain: int, adapter: Path | None) -> dict[int, float]:
    """Log-probabilities of the likeliest next tokens, by token id."""
    return {entry["id"]: entry["logprob"] for entry in _next_entries(generation, tokens, plain, adapter)}


def _next_entries(generation: _Generation, tokens: list[int], plain: int, adapter: Path | None) -> list[dict[str, Any]]:
    """The likeliest next tokens as llama.cpp lists them.

    The token that is then generated is forced to be a plain one: llama.cpp holds back half a character, and the
    probabilities with it. They are the model's own, taken before the force is applied.
    """
    request = {"prompt": tokens, "n_predict": 1, "temperature": 0.0, "n_probs": PROBABILITIES}
    request["logit_bias"] = [[plain, 1e6]]
    answer = _checked(generation.server.handle_completions(_with_adapter(request, generation, adapter)))
    return answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]


def _sum_logprobs(tail: list[int], seen: dict[tuple[int, ...], dict[int, float]]) -> float:
    total = 0.0
    for end, token in enumerate(tail):
        known = seen[tuple(tail[:end])]
        # A token too unlikely to be listed counts as a little less likely than the last that is.
        total += known.get(token, min(known.values()) - 1.0 if known else -math.inf)
    return total


def _checked(answer: dict[str, Any]) -> dict[str, Any]:
    """Turns llama.cpp's own error into ours."""
    error = answer.get("error")
    if error is None:
        return answer
    if error.get("type") == "exceed_context_size_error":
        raise TooLong(
            f"The prompt has {error['n_prompt_tokens']} tokens and the model's context holds {CONTEXT_TOKENS}, the "
            "answer included: shorten the prompt."
        )
    raise Failed(f"The model could not answer: {error.get('message', 'unknown reason')}.")
