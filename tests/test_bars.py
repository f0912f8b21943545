"""Signs of life are there, end, and can be hidden."""

from __future__ import annotations

import time

import pytest

from helpers import progress, waiting


def test_progress_gives_every_item_and_names_what_is_done(capsys):
    assert list(progress([1, 2, 3], "asking")) == [1, 2, 3]
    assert "asking" in capsys.readouterr().err


def test_waiting_shows_a_clock_until_the_block_ends(capsys):
    with waiting("Fine-tuning"):
        time.sleep(0.6)
    assert "Fine-tuning: 00:0" in capsys.readouterr().err


def test_waiting_ends_when_the_block_fails():
    with pytest.raises(KeyError), waiting("Fine-tuning"):
        raise KeyError


def test_both_can_be_hidden(capsys, monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    assert list(progress([1], "asking")) == [1]
    with waiting("Fine-tuning"):
        pass
    assert capsys.readouterr().err == ""
