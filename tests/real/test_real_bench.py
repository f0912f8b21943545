"""The bench's changed service does change what it says: a setting that does nothing would make every seed the same."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.model


def test_seeds_reach_the_tuners_process(tmp_path):
    from safetensors.numpy import load_file

    from tests.bench.processes import ADJUSTED, Service
    from tests.bench.workload import FACTS, sample

    def first_matrix(name: str, **settings: str):
        with Service(tmp_path / name, module=ADJUSTED, **settings) as service:
            adapter = service.base().create_model_adapter(name=name, learning_rate=1e-9)  # stays as it was drawn
            adapter.fine_tune(samples=[sample(*FACTS[0])])
            matrices = load_file(service.folder_of(adapter) / "adapter_model.safetensors")
            return matrices[min(name for name in matrices if "lora_A" in name)]

    plain, seeded = first_matrix("plain"), first_matrix("seeded", TUNER_SEED="1")
    assert abs(plain - seeded).max() > 1e-3
