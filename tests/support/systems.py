"""What Windows and macOS lack or do otherwise, as far as it can be shown on another system. Used by `test_systems.py`.

`unguarded` and `without_encoding` read source; `become` takes away from our modules what a system does not have;
`held_open` lets files be open in another program.
"""

from __future__ import annotations

import ast
import builtins
import ctypes
import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest

# Names that one system at least lacks, by module, from the standard library's pages.
_NOT_EVERYWHERE = {
    "os": """
        EX_OK O_BINARY O_CLOEXEC O_DIRECTORY O_NOFOLLOW O_NONBLOCK O_SYNC WEXITSTATUS WIFEXITED WIFSIGNALED
        WNOHANG chown chroot confstr ctermid fchdir fchmod fchown fork forkpty getegid geteuid getgid getgroups
        getloadavg getpgid getpgrp getpriority getresuid getsid getuid getxattr killpg lchown memfd_create
        mkfifo mknod nice openpty pidfd_open posix_fadvise posix_fallocate posix_spawn pread preadv pwrite
        register_at_fork sched_getaffinity sched_getscheduler sched_setaffinity sched_yield sendfile setegid
        seteuid setgid setpgid setpriority setsid setuid setxattr startfile statvfs sync sysconf tcgetpgrp uname
        wait wait3 wait4 waitid
        """,
    "signal": """
        CTRL_BREAK_EVENT CTRL_C_EVENT SIGALRM SIGBREAK SIGCHLD SIGCONT SIGHUP SIGKILL SIGPIPE SIGQUIT SIGSTOP SIGTSTP
        SIGUSR1 SIGUSR2 alarm getitimer pause pthread_kill pthread_sigmask setitimer siginterrupt sigwait
        """,
    "socket": "AF_PACKET AF_UNIX SO_REUSEPORT TCP_KEEPIDLE TCP_QUICKACK recv_fds send_fds",
    "subprocess": "CREATE_NEW_PROCESS_GROUP CREATE_NO_WINDOW STARTUPINFO",
    "time": "clock_gettime clock_settime pthread_getcpuclockid tzset",
    "select": "devpoll epoll kqueue poll",
    "ctypes": "WinDLL WinError windll",
    "multiprocessing": "Pool Process Queue",  # fork in one place, spawn in another: ask for the context
}
_MODULES_NOT_EVERYWHERE = "crypt fcntl grp msvcrt nis posix pty pwd resource syslog termios tty winreg winsound"
NOT_EVERYWHERE = {module: frozenset(names.split()) for module, names in _NOT_EVERYWHERE.items()}
MODULES_NOT_EVERYWHERE = frozenset(_MODULES_NOT_EVERYWHERE.split())
LACKING_ON_MACOS = {
    "os": frozenset({"sched_getaffinity", "sched_setaffinity", "posix_fadvise", "pidfd_open", "memfd_create"})
}
GUARDS = ("hasattr(", "os.name", "sys.platform", "AttributeError", "ImportError")
REAL_MODULES = {module.__name__: module for module in (os, signal, socket, subprocess, time, ctypes)}


def unguarded(source: str) -> Iterator[tuple[str, int]]:
    """Names that are not on every system, where nothing around them asks for the system or catches that they are not
    there: name and line."""
    tree = ast.parse(source)
    calls: dict[str, list[bool]] = {}
    for node, guarded in _with_guards(tree):
        if isinstance(node, ast.Call):
            calls.setdefault(ast.unparse(node.func), []).append(guarded)
    for node, guarded in _with_guards(tree, {name for name, those in calls.items() if all(those)}):
        if guarded:
            continue
        if isinstance(node, ast.Attribute) and node.attr in NOT_EVERYWHERE.get(ast.unparse(node.value), ()):
            yield ast.unparse(node), node.lineno
        elif isinstance(node, ast.Import):
            yield from ((name.name, node.lineno) for name in node.names if name.name in MODULES_NOT_EVERYWHERE)
        elif isinstance(node, ast.ImportFrom):
            names = {node.module} & MODULES_NOT_EVERYWHERE
            names |= {name.name for name in node.names} & NOT_EVERYWHERE.get(node.module or "", frozenset())
            yield from ((name, node.lineno) for name in sorted(names))


def _with_guards(node: ast.AST, safe: Collection[str] = (), guarded: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """All nodes, and whether a condition, a `try` or a `with` around each is a guard, or it is in a safe function: one
    that is called under guards alone."""
    guarded = guarded or (isinstance(node, ast.FunctionDef) and node.name in safe)
    yield node, guarded
    for child in ast.iter_child_nodes(node):
        yield from _with_guards(child, safe, guarded or _guards(node, child))


def _guards(node: ast.AST, child: ast.AST) -> bool:
    said: list[ast.AST] = []
    if isinstance(node, (ast.If, ast.IfExp)):
        said = [node.test]
    elif isinstance(node, ast.Try) and child in node.body:
        said = [handler.type for handler in node.handlers if handler.type]
    elif isinstance(node, ast.With):
        said = [item.context_expr for item in node.items]
    return any(guard in ast.unparse(one) for one in said for guard in GUARDS)


def without_encoding(source: str) -> Iterator[tuple[str, int]]:
    """Calls that read or write text in whatever encoding the system has: what is called and its line."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
        named = {word.arg: ast.unparse(word.value) for word in node.keywords}
        mode = named.get("mode", " ".join(map(ast.unparse, node.args)))
        # A path's own `open` begins with the mode, if with anything; others open no text file.
        by_path = called == "open" and (not node.args or isinstance(node.args[0], ast.Constant))
        is_file = by_path or called == "fdopen" or ast.unparse(node.func) == "open"
        text = called in ("read_text", "write_text") or named.get("text") == "True" or (is_file and "b'" not in mode)
        if text and "encoding" not in named:
            yield called, node.lineno


class Lacking(ModuleType):
    """A module without some of its names, and with others in their place."""

    def __init__(self, real: ModuleType, missing: frozenset[str], instead: Mapping[str, Any]) -> None:
        super().__init__(real.__name__)
        self._real, self._missing = real, missing - set(instead)
        self.__dict__.update(instead)

    def __getattr__(self, name: str) -> Any:
        if name in self._missing:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(self._real, name)


def become(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets our modules, those that are loaded, find what they would find on Windows or macOS.

    Args:
        system: "Windows" or "macOS".
        monkeypatch: puts everything back.
    """
    windows = system == "Windows"
    missing, instead = (NOT_EVERYWHERE, WINDOWS) if windows else (LACKING_ON_MACOS, {})
    seen = {
        name: Lacking(real, missing.get(name, frozenset()), instead.get(name, {}))
        for name, real in REAL_MODULES.items()
    }
    for module in [module for name, module in sys.modules.items() if name.split(".")[0] == "helpers"]:
        for name, lacking in seen.items():
            if getattr(module, name, None) is REAL_MODULES[name]:
                monkeypatch.setattr(module, name, lacking)
    monkeypatch.setattr(psutil.Process, "cpu_affinity", property(_no_such_call))
    real_import = builtins.__import__

    def importing(name: str, globals: Mapping[str, Any] | None = None, *rest: Any) -> ModuleType:
        ours = str((globals or {}).get("__name__", "")).split(".")[0] == "helpers"
        if ours and windows and name in MODULES_NOT_EVERYWHERE:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real_import(name, globals, *rest)

    monkeypatch.setattr(builtins, "__import__", importing)


def _no_such_call(process: psutil.Process) -> None:
    raise AttributeError("'Process' object has no attribute 'cpu_affinity'")


def _open(path: str | os.PathLike[str], flags: int, mode: int = 0o777) -> int:
    """`os.open` of Windows, which opens no folders."""
    if Path(path).is_dir():
        raise sharing_violation(path)
    return os.open(path, flags, mode)


def _fsync(handle: int) -> None:
    """`os.fsync` of Windows, which needs a file that can be written."""
    os.write(handle, b"")
    os.fsync(handle)


def _popen(*arguments: Any, **options: Any) -> subprocess.Popen:
    """Windows takes flags where others take a session."""
    assert "start_new_session" not in options
    options.pop("creationflags", None)
    return subprocess.Popen(*arguments, **options)


def _kill_at_once(process: int, number: int) -> None:
    """`os.kill` of Windows, which ends a process whatever the signal, without asking it."""
    assert number == signal.SIGTERM
    os.kill(process, getattr(signal, "SIGKILL", number))


def _no_library(name: str | None) -> ctypes.CDLL:
    if name is None:
        raise TypeError("bad argument type for built-in operation")
    return ctypes.CDLL(name)


WINDOWS: dict[str, dict[str, Any]] = {
    "os": {"name": "nt", "open": _open, "fsync": _fsync, "kill": _kill_at_once},
    "subprocess": {"CREATE_NEW_PROCESS_GROUP": 0x200, "CREATE_NO_WINDOW": 0x8000000, "Popen": _popen},
    "ctypes": {"CDLL": _no_library},
}


def sharing_violation(path: str | os.PathLike[str]) -> PermissionError:
    """What Windows says of a file that another program has open."""
    error = PermissionError(errno.EACCES, "The process cannot access the file", str(path))
    error.winerror = 32
    return error


def held_open(monkeypatch: pytest.MonkeyPatch, below: Path, times: int) -> list[str]:
    """Lets another program have open what is below a folder: nothing there is renamed or removed the first times.

    Args:
        monkeypatch: puts everything back.
        below: the folder.
        times: how often each is refused.

    Returns:
        What was refused, in order: the call and the file's name.
    """
    refused: list[str] = []

    def holding(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def call(path: Any, *arguments: Any, **options: Any) -> Any:
            said = f"{name} {Path(path).name}" if isinstance(path, (str, os.PathLike)) else ""
            if said and Path(path).is_relative_to(below) and refused.count(said) < times:
                refused.append(said)
                raise sharing_violation(path)
            return real(path, *arguments, **options)

        monkeypatch.setattr(owner, name, call)

    for owner, name in ((Path, "replace"), (Path, "rename"), (Path, "unlink"), (os, "rename"), (os, "remove")):
        holding(owner, name)
    return refused
