"""`python -m tests.bench.crowd`: many learners at one service, in a process of its own; prints what they met, as JSON.

Each learner is a workspace with a connection of its own and a fine-tuned adapter of its own, and makes calls one after
the other: some are fine-tunes of one sample, the others ask. Refused for now (503), it waits for as long as
the answer says and tries again, as the client of `connect()` does (`helpers/sdk.py`). The client is bare, because what
it computes is taken from the service, which runs on the same cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
from collections.abc import Awaitable, Callable
from time import perf_counter
from urllib.parse import urlsplit

from helpers.sdk import BUSY_RETRIES
from helpers.service.catalog import base_models
from helpers.service.http.serve import allow_many_connections

CALL_SECONDS = 320  # more than the service lets one wait; an answer that takes longer is an error
SAMPLES = [{"inputs": "Question: What is under the bridge?\n\nAnswer: A letter"}]


class Learner:
    """One workspace and its connection.

    Args:
        url: the service's.
        token: its token.
        number: which learner.

    Attributes:
        waits: seconds from the first try of each call that was answered.
        refused: how many tries were refused for now.
        failed: what happened to calls that were not answered at all.
    """

    def __init__(self, url: str, token: str, number: int) -> None:
        address = urlsplit(url)
        self._host, self._port, self._path = address.hostname, address.port, address.path
        self._headers = f"Host: {address.netloc}\r\nAuthorization: Bearer {token}\r\n"
        self._headers += f"X-Gradient-Workspace-Id: learner_{number}\r\nContent-Type: application/json\r\n"
        self._open: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._adapter = ""
        self.waits: list[float] = []
        self.refused = 0
        self.failed: list[str] = []

    async def begin(self) -> None:
        """Makes the adapter."""
        model = {"name": "mine", "baseModelId": base_models("")[-1].id}
        made = await self._call("/models", {"model": model})
        self._adapter = made.get("id", "")

    async def ask(self) -> None:
        """Asks the adapter."""
        await self._call(f"/models/{self._adapter}/complete", {"query": "Question:", "maxGeneratedTokenCount": 16})

    async def tune(self) -> None:
        """Fine-tunes it."""
        await self._call(f"/models/{self._adapter}/fine-tune", {"samples": SAMPLES})

    async def _call(self, path: str, body: dict) -> dict:
        began = perf_counter()
        for _ in range(1 + BUSY_RETRIES):
            try:
                status, retry_after, answer = await asyncio.wait_for(self._try(path, body), CALL_SECONDS)
            except (OSError, EOFError, asyncio.TimeoutError) as error:
                self._open = None
                self.failed.append(type(error).__name__)
                return {}
            if status == 200:
                self.waits.append(perf_counter() - began)
                return answer
            if status != 503:
                self.failed.append(str(status))
                return {}
            self.refused += 1
            await asyncio.sleep(retry_after)
        self.failed.append("refused each time")
        return {}

    async def _try(self, path: str, body: dict) -> tuple[int, float, dict]:
        """Status, seconds until a next try makes sense, and the body."""
        if self._open is None:
            self._open = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._open
        content = json.dumps(body).encode()
        head = f"POST {self._path}{path} HTTP/1.1\r\n{self._headers}Content-Length: {len(content)}\r\n\r\n"
        writer.write(head.encode() + content)
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        answer = await reader.readexactly(int(headers["content-length"]))
        return int(first.split()[1]), float(headers.get("retry-after", 0)), json.loads(answer)


async def _all(learners: list[Learner], do: Callable[[Learner], Awaitable[None]]) -> dict:
    """What all met who did something at once, and how long it took."""
    for learner in learners:
        learner.waits, learner.refused, learner.failed = [], 0, []
    began = perf_counter()
    await asyncio.gather(*map(do, learners))
    return {
        "seconds": perf_counter() - began,
        "waits": [seconds for learner in learners for seconds in learner.waits],
        "refused": sum(learner.refused for learner in learners),
        "failed": [what for learner in learners for what in learner.failed],
    }


async def _crowd(options: argparse.Namespace) -> dict:
    learners = [Learner(options.url, options.token, number) for number in range(options.learners)]
    chance = random.Random(0)

    async def work(learner: Learner) -> None:
        ends = perf_counter() + options.seconds
        while True:
            await asyncio.sleep(min(chance.uniform(0, 2 * options.pause), max(0.0, ends - perf_counter())))
            if perf_counter() >= ends:
                return
            await (learner.tune() if chance.random() < options.tunes else learner.ask())

    return {"begin": await _all(learners, Learner.begin), "work": await _all(learners, work)}


def main() -> int:
    """Runs the learners of the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.crowd")
    parser.add_argument("url")
    parser.add_argument("token")
    parser.add_argument("learners", type=int)
    parser.add_argument("--seconds", type=float, required=True, help="how long they begin new calls")
    parser.add_argument("--pause", type=float, required=True, help="seconds between two calls of a learner, on average")
    parser.add_argument("--tunes", type=float, required=True, help="the part of the calls that are fine-tunes")
    options = parser.parse_args()
    allow_many_connections()
    print(json.dumps(asyncio.run(_crowd(options))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
