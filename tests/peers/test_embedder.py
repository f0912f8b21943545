"""Vectors of texts against transformers: a small random network, and the real weights."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest

from helpers.service import paths
from helpers.service.local import embedder_files
from helpers.service.local.embedder import MAX_TOKENS, Embedder
from helpers.service.local.embedder_files import EmbedderFiles
from tests.support.small_bert import write_bert

from .environment import run

pytestmark = pytest.mark.peers

TEXTS = ["the sea is wide", "Bread?", "", "an old oven, and the seas", "ünï ☃ 漢字", "the old sea is wide " * 200]


@pytest.mark.parametrize("weights", ["small", "real"])
def test_the_vectors_are_those_of_transformers(tmp_path, weights):
    if weights == "small":
        write_bert(tmp_path / embedder_files.FOLDER)
    files = EmbedderFiles(tmp_path if weights == "small" else paths.cache_dir())
    subject = Embedder(files, lambda: 1)
    ours = np.array(subject.embed(TEXTS, threading.Event()))
    subject.close()
    script, result = Path(__file__).parent / "bert_means.py", tmp_path / "theirs.npz"
    run(script, files.folder, json.dumps(TEXTS), MAX_TOKENS, result)
    theirs = np.load(result)["vectors"]
    assert np.abs(ours[:, : theirs.shape[1]] - theirs).max() < 1e-5
    assert not ours[:, theirs.shape[1] :].any()
