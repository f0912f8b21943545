"""An exported folder where nothing of this kit is: torch, transformers and peft give the service's own answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers import export_adapter
from helpers.service import paths
from helpers.service.local import model_files
from tests.real.test_real_engine import FACTS, TEMPLATE, ask, sample

from .environment import run

pytestmark = pytest.mark.peers


@pytest.fixture
def tuned(start_service):
    """An adapter of a real service that has learned two facts."""
    if not model_files.is_cached(paths.cache_dir()):
        pytest.skip("the model is not cached: pytest -m model fetches it")
    service = start_service()
    adapter = service.gradient().list_models(only_base=True)[0].create_model_adapter(name="taken home")
    adapter.fine_tune(samples=[sample(question, answer) for question, answer in FACTS[:2]])
    yield adapter
    adapter.delete()
    service.stop()


def test_peft_alone_gives_the_services_own_answers(tuned, tmp_path):
    folder = export_adapter(tuned, tmp_path / "elsewhere" / "my-adapter")
    for question, answer in FACTS[:2]:
        theirs = run(Path(__file__).parent / "open_export.py", folder, TEMPLATE.format(question).rstrip())
        assert theirs.strip() == answer == ask(tuned, question).strip()
