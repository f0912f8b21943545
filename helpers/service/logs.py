"""The service's log: one line an event, `key=value`, in a file of bounded size that only its user can read.

    time=2026-11-23T13:04:05.678Z level=info event=request request=5f0c… workspace=learner_07 method=POST path=/api/…

What a caller sent stands in quotes with everything but plain ASCII escaped, so that it can't end a line or begin a
field. Tokens, prompts and answers are never logged; nor is an unexpected error's own text, which can quote them: its
type and where it happened are. `server.py` calls `configure`; `http/guard.py` writes the lines of requests by `event`.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import traceback
from datetime import datetime, timezone
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

LOG_FILE = "service.log"
MAX_BYTES = 2_000_000  # of one file, about 10,000 requests
OLDER_FILES = 2
MAX_VALUE_CHARACTERS = 300

_PLAIN = re.compile(r"[A-Za-z0-9_.:/@+-]+")
_log = logging.getLogger("gradient.service")


def configure(data: Path | None, quiet: bool = False) -> None:
    """Sends the process's log to the data folder, and to stderr too unless quiet.

    Args:
        data: the service's data folder; None for a process that has none, a worker of a cluster.
        quiet: write to the file alone.
    """
    handlers: list[logging.Handler] = [] if data is None else [PrivateRotatingFile(data / LOG_FILE)]
    if not quiet:
        handlers.append(logging.StreamHandler(sys.stderr))
    for handler in handlers:
        handler.setFormatter(KeyValues())
    logging.basicConfig(level=logging.WARNING, handlers=handlers, force=True)
    _log.setLevel(logging.INFO)


def event(name: str, level: int = logging.INFO, error: Exception | None = None, /, **fields: object) -> None:
    """Writes one line.

    Args:
        name: what happened, in a word.
        level: how much it matters, as in `logging`.
        error: an exception whose type and place, and not whose text, belong to it.
        fields: what else there is to say; None is shown as "-".
    """
    _log.log(level, name, exc_info=error, extra={"fields": fields})


class KeyValues(logging.Formatter):
    """Any record as one line of `key=value`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line for an event."""
        now = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        fields = {"time": now.replace("+00:00", "Z"), "level": record.levelname.lower(), "event": record.getMessage()}
        fields.update(getattr(record, "fields", {}))
        if record.exc_info and record.exc_info[1] is not None:
            fields.update(error=type(record.exc_info[1]).__name__, where=_where(record.exc_info[1]))
        return " ".join(f"{name}={_value(value)}" for name, value in fields.items())


class PrivateRotatingFile(RotatingFileHandler):
    """A log file with mode 600 that starts anew when it is full and keeps a few older ones."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, maxBytes=MAX_BYTES, backupCount=OLDER_FILES, encoding="utf-8", errors="backslashreplace")

    def doRollover(self) -> None:  # noqa: N802 - logging's name
        """Starts anew; while another program has the file open on Windows, goes on with this one and tries again."""
        try:
            super().doRollover()
        except OSError:
            self.stream = self.stream or self._open()

    def _open(self) -> TextIOWrapper:
        def private(path: str, flags: int) -> int:
            return os.open(path, flags, 0o600)

        return open(self.baseFilename, "a", encoding=self.encoding, errors=self.errors, opener=private)  # noqa: PTH123


def _value(value: object) -> str:
    if value is None:
        return "-"
    text = str(value)
    if len(text) > MAX_VALUE_CHARACTERS:
        text = text[:MAX_VALUE_CHARACTERS] + "…"
    return text if _PLAIN.fullmatch(text) else json.dumps(text)


def _where(error: BaseException) -> str:
    """The last calls that led to an error, innermost first."""
    frames = reversed(traceback.extract_tb(error.__traceback__)[-6:])
    return " < ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames)
