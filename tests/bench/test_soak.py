"""A short soak of the real service; `python -m tests.bench.soak` is the long one."""

from __future__ import annotations

import pytest

from tests.bench.soak import for_seconds, soak

SECONDS = 75
CLIENTS = 30
MOST_MB = 2400  # twice a decoder with a room's adapters, while one generation follows another, and the tuner


@pytest.mark.model
def test_a_room_of_thirty_gets_its_own_answers_and_no_error(start_service):
    service = start_service()
    figures = soak(service, for_seconds(SECONDS), CLIENTS)
    print(figures.table())
    assert figures.wrong == []
    assert figures.rounds >= CLIENTS / 3
    assert len(figures.seconds["ask after"]) >= CLIENTS / 3
    assert max(figures.memory) < MOST_MB
    assert service.stop() == 0
