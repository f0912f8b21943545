"""The set-up stays light: what a learner downloads and keeps has no PyTorch in it, and a bound.

Each check is shown packages that break it, so that it can't pass by looking at nothing.
"""

from __future__ import annotations

import pytest

from tests.support import footprint
from tests.support.footprint import complaints, needed

MOST_DOWNLOADED = 300_000_000
MOST_INSTALLED = 800_000_000


def test_what_the_requirements_need_is_light_as_it_is_installed():
    assert complaints(footprint.installed_sizes(), MOST_INSTALLED) == []


@pytest.mark.peers
def test_what_the_set_up_downloads_is_light():
    try:
        sizes = footprint.download_sizes()
    except footprint.NoIndex as reason:
        pytest.skip(str(reason))
    print(f"{len(sizes)} packages, {sum(sizes.values()) / 1e6:.0f} MB")
    assert complaints(sizes, MOST_DOWNLOADED) == []


# --- the checks can fail ---


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ({"numpy": 5, "torch": 1}, ["torch is back."]),
        ({"Torch": 1}, ["Torch is back."]),
        ({"torchvision": 1}, ["torchvision is back."]),
        ({"transformers": 1, "peft": 1}, ["peft is back.", "transformers is back."]),
        ({"triton": 1}, ["triton is back."]),
        ({"nvidia-cublas-cu12": 1}, ["nvidia-cublas-cu12 is back."]),
        ({"nvidia_cudnn": 1}, ["nvidia_cudnn is back."]),
        ({"numpy": 9_000_000, "big": 290_000_000}, ["299 MB where 100 are the most; the largest: big 290, numpy 9."]),
        ({}, ["No package was looked at."]),
        ({"numpy": 100_000_000}, []),
        ({"safetensors": 1, "tokenizers": 1, "pytest": 1}, []),
    ],
)
def test_heavy_packages_are_complained_of(sizes, said):
    assert complaints(sizes, 100_000_000) == said


@pytest.mark.parametrize(
    ("requirement", "found"),
    [
        ("plain", {"plain"}),
        ("Parent_Package>=1", {"parent-package", "child", "torch"}),
        ("with-extra", {"with-extra"}),
        ("with-extra[fast]==2", {"with-extra", "torch"}),
        ("elsewhere", {"elsewhere"}),
        ("circle", {"circle", "round"}),
        ("asks-for-extra", {"asks-for-extra", "with-extra", "torch"}),
    ],
)
def test_what_is_needed_is_followed_to_its_ends(requirement, found):
    requires = {
        "parent-package": ["child<2"],
        "child": ["torch>=2; python_version >= '3'"],
        "with-extra": ["torch; extra == 'fast'", "nvidia-ml; extra == 'slow'"],
        "elsewhere": ["torch; python_version < '3'"],
        "circle": ["round"],
        "round": ["circle"],
        "asks-for-extra": ["with-extra[fast]"],
    }
    assert needed([requirement], lambda name: requires.get(name, [])) == found


def test_pips_failures_are_told_apart(monkeypatch):
    """Without a network the check can say nothing; pins that don't fit each other are a failure."""

    def pip_says(text: str) -> None:
        done = footprint.subprocess.CompletedProcess([], 1, "", text)
        monkeypatch.setattr(footprint.subprocess, "run", lambda *arguments, **options: done)

    pip_says("WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError'\nERROR: No matching")
    with pytest.raises(footprint.NoIndex, match="No matching"):
        footprint.download_sizes()
    pip_says("ERROR: ResolutionImpossible: for help visit")
    with pytest.raises(RuntimeError, match="ResolutionImpossible"):
        footprint.download_sizes()
