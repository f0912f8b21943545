"""Adapters' folders on their way: as bytes that Ray's object store carries, and unpacked where a worker needs them.

A parcel is named by what is in it, so that a worker that has it already, because it tuned it or was sent it before,
needs no second one. `engine.py` packs, `worker.py` unpacks and the other way round.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import filelock

from ... import renaming
from ..engine import AdapterState

KEPT_BYTES = 1_000_000_000  # of unpacked folders on a worker, about 90 adapters of rank 8
SENT_BYTES = 300_000_000  # of parcels that stay in the service's object store for workers that have not had them yet
_PREFIX = "gradient-worker-"
_LOCK = "in-use.lock"


@dataclass(frozen=True)
class Parcel:
    """The files of a folder.

    Attributes:
        key: a digest of what is in it.
        files: their bytes, by name.
    """

    key: str
    files: dict[str, bytes]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(map(len, self.files.values()))


@dataclass(frozen=True)
class SentAdapter:
    """An adapter as a worker is told of it.

    Attributes:
        state: it, without its folder, which is on another machine.
        key: of the parcel with the folder; None before the first fine-tune.
        ticket: by which the worker fetches the parcel if it lacks it. It stands in a tuple because Ray would otherwise
            send the parcel along with each call.
    """

    state: AdapterState
    key: str | None = None
    ticket: tuple[Any, ...] = ()


def pack(folder: Path) -> Parcel:
    """The files of a folder, which has no folders in it."""
    files = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(f"{name}\n{len(content)}\n".encode())
        digest.update(content)
    return Parcel(digest.hexdigest(), files)


def unpack(parcel: Parcel, into: Path) -> None:
    """Writes the files into a folder that is there.

    Raises:
        OSError: the disk is full or forbidden.
    """
    for name, content in parcel.files.items():
        (into / Path(name).name).write_bytes(content)


class Outbox:
    """The parcels that the service has for its workers: each version of an adapter is read and packed once.

    Args:
        put: hands a parcel to the object store and returns what fetches it there.
    """

    def __init__(self, put: Callable[[Parcel], Any]) -> None:
        self._put = put
        self._lock = threading.Lock()
        self._sent: OrderedDict[Path, tuple[str, int, Any]] = OrderedDict()  # key, size and ticket

    def send(self, adapter: AdapterState) -> SentAdapter:
        """An adapter, ready to be sent."""
        state = replace(adapter, folder=None)
        if adapter.folder is None:
            return SentAdapter(state)
        with self._lock:
            if adapter.folder not in self._sent:  # a folder never changes once it is written
                parcel = pack(adapter.folder)
                self._sent[adapter.folder] = (parcel.key, parcel.size, self._put(parcel))
            self._sent.move_to_end(adapter.folder)
            key, _, ticket = self._sent[adapter.folder]
            while sum(size for _, size, _ in self._sent.values()) > SENT_BYTES and len(self._sent) > 1:
                self._sent.popitem(last=False)
        return SentAdapter(state, key, (ticket,))


class Inbox:
    """The folders that a worker has unpacked or tuned, by their parcels' keys; those not used for longest leave.

    They lie in a temporary folder of this process. Workers end by being killed; what others left of theirs is removed.

    Args:
        fetch: gives the parcel for a ticket.
        most: bytes to keep.
    """

    def __init__(self, fetch: Callable[[Any], Parcel], most: int = KEPT_BYTES) -> None:
        self._fetch = fetch
        self._most = most
        _remove_those_of_the_dead()
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._in_use = filelock.FileLock(self.folder / _LOCK, thread_local=False)
        self._in_use.acquire()
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, int] = OrderedDict()  # their sizes
        self._users: Counter[str] = Counter()

    @contextlib.contextmanager
    def open(self, sent: SentAdapter | None) -> Iterator[AdapterState | None]:
        """An adapter with a folder on this machine, which stays until the block ends; None for no adapter.

        Raises:
            OSError: the disk is full or forbidden.
        """
        if sent is None or sent.key is None:
            yield None if sent is None else sent.state
            return
        with self._using(sent.key):
            if not self._has(sent.key):
                with self.new() as folder:
                    parcel = self._fetch(*sent.ticket)
                    unpack(parcel, folder)
                    self.keep(parcel, folder)
            yield replace(sent.state, folder=self.folder / sent.key)

    @contextlib.contextmanager
    def new(self) -> Iterator[Path]:
        """An empty folder, which is gone after the block unless it was kept."""
        folder = Path(tempfile.mkdtemp(prefix="new-", dir=self.folder))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def keep(self, parcel: Parcel, folder: Path) -> None:
        """Keeps a folder that `new` gave and that has the parcel's files; if they are kept already, those."""
        with self._lock:
            if parcel.key not in self._kept:
                renaming.replace(folder, self.folder / parcel.key)
            self._kept[parcel.key] = parcel.size
            self._make_room(parcel.key)

    @contextlib.contextmanager
    def _using(self, key: str) -> Iterator[None]:
        with self._lock:
            self._users[key] += 1
        try:
            yield
        finally:
            with self._lock:
                self._users[key] -= 1

    def _has(self, key: str) -> bool:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return key in self._kept

    def _make_room(self, newest: str) -> None:
        for key in [key for key in self._kept if key != newest and not self._users[key]]:
            if sum(self._kept.values()) <= self._most:
                return
            del self._kept[key]
            shutil.rmtree(self.folder / key, ignore_errors=True)


def _remove_those_of_the_dead() -> None:
    """A living worker holds the lock in its folder, and the system lets go of it however a process ends."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError, filelock.Timeout):  # of another user, or just being made
            if (folder / _LOCK).exists():
                with filelock.FileLock(folder / _LOCK, timeout=0):
                    pass
                shutil.rmtree(folder, ignore_errors=True)
