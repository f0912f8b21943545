"""The tuner's network, optimizer and files by themselves: gradients against finite differences, in 64-bit floats."""

from __future__ import annotations

import io
import json
import math

import numpy as np
import pytest

from helpers.environment import MAX_THREADS
from helpers.service.tuner import adapter_files, attention, batches, llama, recipe, weights_file
from helpers.service.tuner.adamw import AdamW
from helpers.service.tuner.batches import Prepared
from helpers.service.tuner.job import (
    GGUF_FILE,
    NOT_TRAINABLE,
    Ended,
    GivenUp,
    NanLoss,
    Signals,
    TokenSample,
    TuningJob,
    TuningProgress,
)
from tests.support.small_model import RANK, VOCABULARY, random_lora, write_model

IDS = [(5, 17, 3, 88, 41, 9), (2, 60, 33, 7), (12, 4, 81)]
SAMPLES = [
    TokenSample(IDS[0], (NOT_TRAINABLE, NOT_TRAINABLE, *IDS[0][2:]), 2.0),
    TokenSample(IDS[1], IDS[1]),
    TokenSample(IDS[2], (*IDS[2][:2], NOT_TRAINABLE), 0.5),
]
NUDGE = 1e-6
PROGRESS = TuningProgress("learning", 1, 3, 2)


def no_pause(progress: TuningProgress) -> None:
    """Between steps where no one waits."""


@pytest.fixture(params=[(True, 2), (False, 4)], ids=["tied, shared keys", "untied, a key a head"])
def model(request, tmp_path) -> llama.Llama:
    return llama.Llama(write_model(tmp_path / "model", *request.param, "F64"))


def batch_of(model, samples, layers):
    packing = model.packing([len(sample.ids) for sample in samples])
    batch = batches.packed(model, samples, packing, batches.embedded(model, samples, packing))
    for number in range(layers[0]):
        batch.hidden = model.through(number, batch.hidden, batch.packing)
    return batch


def weighted_mean(model, lora, batch) -> float:
    hidden, _ = model.above(batch.hidden, batch.packing, lora)
    losses, _ = model.losses(hidden[:, batch.trainable], batch.targets)
    return float((losses * batch.weights).mean())


@pytest.mark.parametrize("layers", [(0, 1, 2, 3), (2, 3), (1, 3), (0,)])
@pytest.mark.parametrize("rows", [256, 2], ids=["all kept", "computed again"])
def test_gradients_are_what_a_nudge_of_one_number_says(model, layers, rows, monkeypatch):
    """Every matrix of every layer, with samples of different lengths, weights and trainable parts in one batch."""
    monkeypatch.setattr(attention, "BLOCK", rows)
    monkeypatch.setattr(llama, "KEPT_COLUMNS", rows)
    monkeypatch.setattr(llama, "HEAD_COLUMNS", rows)
    monkeypatch.setattr(llama, "PART_ROWS", rows)
    lora, batch = random_lora(model, layers), batch_of(model, SAMPLES, layers)
    gradients = recipe.loss_and_gradients(model, lora, batch)[1]()
    draw = np.random.default_rng(3)
    for name, values in lora.named().items():
        for at in range(len(layers)):
            place = (at, *(draw.integers(size) for size in values.shape[1:]))
            before = values[place]
            sides = []
            for value in (before + NUDGE, before - NUDGE):
                values[place] = value
                sides.append(weighted_mean(model, lora, batch))
            values[place] = before
            assert gradients[name][place] == pytest.approx((sides[0] - sides[1]) / (2 * NUDGE), rel=1e-4, abs=1e-8)
            assert abs(gradients[name][place]) > 1e-8


def test_a_sample_is_not_changed_by_those_beside_it(model):
    lora = random_lora(model, (2, 3))
    together = batch_of(model, SAMPLES, lora.layers)
    hidden, _ = model.above(together.hidden, together.packing, lora)
    for sample, rows in zip(SAMPLES, together.packing.slices, strict=True):
        alone = batch_of(model, [sample], lora.layers)
        np.testing.assert_allclose(
            model.above(alone.hidden, alone.packing, lora)[0][:, : len(sample.ids)], hidden[:, rows], rtol=1e-10
        )


@pytest.mark.parametrize("kept", [1000, 0], ids=["in memory", "in a file"])
def test_looking_at_many_batches_at_once_gives_the_loss_of_each(tmp_path, monkeypatch, kept):
    """Also where not all fit into one look, and the same as stepping sees."""
    monkeypatch.setattr(batches, "KEPT_TOKENS", kept)
    tuner = recipe.Tuner(write_model(tmp_path / "small", type_name="F64"))
    monkeypatch.setattr(batches, "BATCH", 2)
    lora = random_lora(tuner._model, (2, 3))
    for tokens in (1000, 20, 1):
        monkeypatch.setattr(batches, "LOOK_TOKENS", tokens)
        spare = io.BytesIO()
        prepared = Prepared(tuner._model, [*SAMPLES, *SAMPLES[::-1]], 2, spare, no_pause)
        assert bool(spare.getvalue()) == (not kept)
        assert len(prepared.looks) == {1000: 1, 20: 2, 1: 3}[tokens]
        looked = recipe._losses(tuner._model, lora, prepared, no_pause)
        stepped = [recipe.loss_and_gradients(tuner._model, lora, prepared.batch(number))[0] for number in range(3)]
        for one, other in zip(looked, stepped, strict=True):
            assert one == pytest.approx(other, rel=1e-9)


@pytest.mark.parametrize("block", [1, 2, 3, 4, 6])
def test_a_sample_in_blocks_is_what_it_is_as_a_whole(model, monkeypatch, block):
    lora = random_lora(model, (2, 3))

    def computed() -> tuple[np.ndarray, dict[str, np.ndarray]]:
        batch = batch_of(model, SAMPLES, lora.layers)
        return model.above(batch.hidden, batch.packing, lora)[0], recipe.loss_and_gradients(model, lora, batch)[1]()

    whole, gradients = computed()
    monkeypatch.setattr(attention, "BLOCK", block)
    in_blocks, their_gradients = computed()
    np.testing.assert_allclose(in_blocks, whole, rtol=1e-9, atol=1e-12)
    for name, values in gradients.items():
        np.testing.assert_allclose(their_gradients[name], values, rtol=1e-7, atol=1e-12)


def test_batches_have_as_many_samples_as_fit_and_a_long_one_stands_alone(monkeypatch):
    monkeypatch.setattr(batches, "BATCH", 3)
    monkeypatch.setattr(batches, "BATCH_TOKENS", 10)
    lengths = [4, 4, 4, 25, 1, 1, 1, 1, 10]
    samples = [TokenSample((1,) * length, (1,) * length) for length in lengths]
    made = batches._within([[sample] for sample in samples], batches.BATCH_TOKENS, batches.BATCH)
    assert [[len(sample.ids) for sample in batch] for batch in made] == [[4, 4], [4], [25], [1, 1, 1], [1], [10]]


def test_a_token_is_not_changed_by_those_after_it(model):
    samples = [TokenSample(ids, ids) for ids in (IDS[0], (*IDS[0][:5], 70))]
    first, second = (batch_of(model, [sample], (1,)).hidden for sample in samples)
    np.testing.assert_allclose(first[:, :5], second[:, :5], rtol=1e-12)
    assert not np.allclose(first[:, 5], second[:, 5])


def test_only_what_is_trainable_has_a_loss_and_the_weight_of_its_sample(model):
    batch = batch_of(model, SAMPLES, (0,))
    assert batch.trainable.tolist() == [1, 2, 3, 4, 6, 7, 8, 10]
    assert batch.targets.tolist() == [3, 88, 41, 9, 60, 33, 7, 4]
    assert batch.weights.tolist() == [2.0] * 4 + [1.0] * 3 + [0.5]


def test_a_uniform_guess_costs_the_logarithm_of_the_vocabulary(model):
    losses, _ = model.losses(np.zeros((32, 2)), np.array([1, 2]))
    assert losses == pytest.approx([math.log(VOCABULARY)] * 2)


@pytest.mark.parametrize("vocabulary", [VOCABULARY, 1, 64, 1100], ids=lambda size: f"{size} tokens")
def test_losses_are_those_of_a_plain_softmax_whatever_the_size_of_the_vocabulary(model, vocabulary):
    draw = np.random.default_rng(3)
    model._head = draw.normal(0, 1, (vocabulary, 32))
    hidden, targets = draw.normal(0, 1, (32, 5)), draw.integers(0, vocabulary, 5)
    logits = model._head @ hidden
    chances = np.exp(logits - logits.max(0)) / np.exp(logits - logits.max(0)).sum(0)
    losses, back = model.losses(hidden, targets)
    np.testing.assert_allclose(losses, -np.log(chances[targets, range(5)]), rtol=1e-9, atol=1e-12)
    chances[targets, range(5)] -= 1
    np.testing.assert_allclose(back(np.full(5, 0.5)), model._head.T @ chances / 2, rtol=1e-9, atol=1e-9)


def test_the_optimizer_steps_as_the_paper_says_and_goes_on_where_it_was(model):
    """Three steps, the optimizer made anew before each from the state of the one before, as in new calls."""
    lora = random_lora(model, (2, 3))
    name, place = "b.up_proj", (0, 1, 2)
    value, mean, square, state = lora.named()[name][place], 0.0, 0.0, {}
    for step, gradient in enumerate((0.3, -0.2, 0.5), 1):
        optimizer = AdamW(lora, 1e-3, state)
        optimizer.step({name: np.full_like(values, gradient) for name, values in lora.named().items()})
        state = optimizer.state
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        value -= 8e-3 * (mean / (1 - 0.9**step)) / (math.sqrt(square / (1 - 0.999**step)) + 1e-8)
        assert lora.named()[name][place] == pytest.approx(value, rel=1e-9)
    assert {float(values) for name, values in state.items() if name.endswith("steps")} == {3.0}


@pytest.mark.parametrize(
    ("rate", "rank", "times"),
    [(2e-3, 8, 8.0), (5e-3, 8, 4.0), (1e-2, 8, 2.0), (0.5, 8, 1.0), (2e-3, 1, 8.0), (2e-3, 32, 5.0), (1e-2, 32, 1.0)],
)
def test_the_second_rate_is_capped_and_sooner_where_the_rank_is_high(model, rate, rank, times):
    assert AdamW(recipe.fresh(model, rank), rate, {}).rates == {"a": rate, "b": pytest.approx(rate * times)}


def test_gradients_longer_than_one_are_shortened_to_one():
    assert recipe.clipped({"a": np.array([3.0]), "b": np.array([4.0])})["b"] == pytest.approx([0.8])
    assert recipe.clipped({"a": np.array([0.3])})["a"] == pytest.approx([0.3])
    with pytest.raises(NanLoss):
        recipe.clipped({"a": np.array([np.nan])})


@pytest.mark.parametrize("layers", [(0, 1, 2, 3), (2, 3), (1, 3)])
def test_what_is_written_is_what_is_read(model, tmp_path, layers):
    lora = random_lora(model, layers)
    adapter_files.write(tmp_path, lora, {"a.steps": np.array(3.0)}, model)
    read = adapter_files.read_lora(tmp_path, model)
    assert (read.layers, read.scale, read.rank) == (layers, 2.0, RANK)
    for before, after in zip(lora.named().values(), read.named().values(), strict=True):
        np.testing.assert_array_equal(before, after)
    assert adapter_files.read_optimizer(tmp_path) == {"a.steps": np.array(3.0)}
    names = {path.name for path in tmp_path.iterdir() if path.is_file()}
    assert names == {"adapter_config.json", "adapter_model.safetensors", "optimizer.safetensors", GGUF_FILE}


def test_an_adapter_of_all_layers_without_an_optimizer_is_read_too(model, tmp_path):
    adapter_files.write(tmp_path, random_lora(model, (0, 1, 2, 3)), {}, model)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    del config["layers_to_transform"]  # as peft writes it when all are meant
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    (tmp_path / "optimizer.safetensors").unlink()
    assert adapter_files.read_lora(tmp_path, model).layers == (0, 1, 2, 3)
    assert adapter_files.read_optimizer(tmp_path) == {}


@pytest.fixture
def tuner(tmp_path):
    return recipe.Tuner(write_model(tmp_path / "small"))


def test_a_fine_tune_learns_goes_on_and_repeats(tuner, tmp_path):
    """The same call gives the same files; a further one begins where the loss ended."""
    sample = TokenSample(IDS[0], IDS[0])

    def tuned(name: str, start=None):
        (into := tmp_path / name).mkdir()
        return tuner.tune(TuningJob((sample,), RANK, 2e-2, start, into)), into

    first, folder = tuned("first")
    again, same = tuned("same")
    further, _ = tuned("further", folder)
    assert first == again
    assert (folder / GGUF_FILE).read_bytes() == (same / GGUF_FILE).read_bytes()
    assert first.trainable_tokens == 5
    assert further.sum_loss < first.sum_loss
    lora = adapter_files.read_lora(folder, tuner._model)
    assert lora.layers == (2, 3)


@pytest.mark.parametrize("steepness", [2.0, 5.0, 20.0])
@pytest.mark.parametrize("crossing", [0.05, 0.5, 0.7, 0.97])
def test_the_part_of_an_update_that_is_kept_has_just_learned(steepness, crossing):
    """The greatest loss falls ever faster with the part, in the logarithm, as real ones do."""
    looks: list[float] = []

    def loss_at(part: float) -> float:
        looks.append(part)
        return recipe.LEARNED * math.exp(steepness * (crossing**2 - part**2))

    first, last = loss_at(0), loss_at(1)
    part = recipe._smallest_scale(loss_at, first, last)
    assert loss_at(part) < recipe.LEARNED
    assert len(looks) - 3 <= recipe.SHRINK_LOOKS
    assert part == 1 or part - crossing < 0.15


def test_an_update_that_can_spare_nothing_is_kept_whole_without_a_look():
    def loss_at(part: float) -> float:
        raise AssertionError

    assert recipe._smallest_scale(loss_at, 10.0, 0.99 * recipe.LEARNED) == 1.0


def tuned(tuner, tmp_path, name: str, samples, rate=2e-2, start=None):
    (into := tmp_path / name).mkdir()
    return tuner.tune(TuningJob(tuple(samples), RANK, rate, start, into)), into


MANY = [TokenSample(ids, ids) for ids in IDS * 3]  # three batches


def test_a_call_on_samples_that_are_known_takes_one_step(tuner, tmp_path):
    """Their loss falls a little more, and that is all."""
    first, folder = tuned(tuner, tmp_path, "first", MANY, 0.05)
    assert (first.ended, first.learned) == (Ended.LEARNED, len(MANY))
    assert first.steps > 1
    again, folder = tuned(tuner, tmp_path, "again", MANY, 0.05, folder)
    assert (again.steps, again.ended, again.learned) == (1, Ended.LEARNED, len(MANY))
    further, _ = tuned(tuner, tmp_path, "further", MANY, 0.05, folder)
    assert further.sum_loss < again.sum_loss < first.sum_loss


def test_a_rate_that_is_too_small_ends_with_its_passes_and_says_that_nothing_is_learned(tuner, tmp_path):
    result, _ = tuned(tuner, tmp_path, "slow", MANY, 1e-5)
    assert (result.ended, result.learned) == (Ended.PASSES, 0)
    assert result.steps == recipe.MAX_PASSES * 3


def test_a_call_whose_time_is_up_keeps_what_it_has(tuner, tmp_path, monkeypatch):
    monkeypatch.setattr(recipe, "LEARN_SECONDS", -1.0)
    result, folder = tuned(tuner, tmp_path, "late", MANY, 1e-5)
    assert (result.ended, result.steps) == (Ended.TIME, 1)
    assert (folder / GGUF_FILE).exists()


@pytest.mark.parametrize(("samples", "times"), [(1, 8.0), (batches.BATCH, 8.0), (batches.BATCH + 1, 4.0)])
def test_b_learns_less_fast_where_a_call_has_more_samples_than_a_step_takes(
    tuner, tmp_path, monkeypatch, samples, times
):
    made: list[AdamW] = []
    monkeypatch.setattr(recipe, "AdamW", lambda *given: made.append(AdamW(*given)) or made[-1])
    tuned(tuner, tmp_path, "into", [TokenSample(IDS[0], IDS[0])] * samples, rate=1e-3)
    assert made[0].rates == {"a": 1e-3, "b": pytest.approx(1e-3 * times)}


def test_it_tells_how_far_it_is(tmp_path, monkeypatch):
    told: list[TuningProgress] = []
    monkeypatch.setattr(recipe, "TELL_SECONDS", 0.0)
    tuned(recipe.Tuner(write_model(tmp_path / "small"), tell=told.append), tmp_path, "into", MANY, 1e-5)
    assert [progress.doing for progress in told[:4]] == ["reading", "reading", "looking", "learning"]
    assert {progress.of for progress in told} == {len(MANY)}
    assert [progress.samples for progress in told if progress.doing == "learning"] == [0, 4, 8] * recipe.MAX_PASSES
    assert told[-1].steps == recipe.MAX_PASSES * 3 - 1


def test_nothing_but_the_adapter_is_left_of_a_call_that_is_too_large_for_memory(tuner, tmp_path, monkeypatch):
    plain, _ = tuned(tuner, tmp_path, "in memory", MANY)
    monkeypatch.setattr(batches, "KEPT_TOKENS", 0)
    filed, folder = tuned(tuner, tmp_path, "in a file", MANY)
    assert filed == plain
    assert len(list(folder.iterdir())) == 4


@pytest.mark.parametrize("how", ["runs away", "is no number"])
def test_a_loss_that_runs_away_or_is_no_number_writes_nothing(tuner, tmp_path, monkeypatch, how):
    (into := tmp_path / "into").mkdir()
    if how == "runs away":
        monkeypatch.setattr(recipe, "RUN_AWAY", 0.0)  # so that it need only be worse than a uniform guess
    else:
        monkeypatch.setattr(AdamW, "step", lambda self, *_: self._learning["b.up_proj"].fill(np.nan))
    samples = tuple(TokenSample(ids, ids) for ids in IDS * 3)
    with pytest.raises(NanLoss):
        tuner.tune(TuningJob(samples, RANK, 2e-3, None, into))
    assert not list(into.iterdir())


def test_it_gives_up_before_its_next_step(tmp_path):
    signals = Signals.alone()
    signals.given_up.value = 1
    (into := tmp_path / "into").mkdir()
    with pytest.raises(GivenUp):
        recipe.Tuner(write_model(tmp_path / "small"), signals).tune(
            TuningJob((TokenSample(IDS[0], IDS[0]),), RANK, 2e-3, None, into)
        )
    assert not list(into.iterdir())


def test_a_step_gives_way_to_answers_for_a_while_and_not_for_ever(tmp_path, monkeypatch):
    now = [100.0]
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(recipe.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(recipe.time, "sleep", sleep)
    subject = recipe.Tuner(write_model(tmp_path / "small"), Signals.alone(threads=2))
    monkeypatch.setattr(subject, "_set_threads", lambda threads: None)
    subject._step_began = 99.0  # the last step took a second
    subject._before_step(PROGRESS)
    assert not slept
    now[0] += 0.3
    subject._signals.completing.value = 1
    subject._before_step(PROGRESS)
    assert sum(slept) == pytest.approx(0.3 * recipe.GIVE_WAY, abs=2 * recipe.LOOK_SECONDS)
    subject._signals.given_up.value = 1
    with pytest.raises(GivenUp):
        subject._before_step(PROGRESS)


def test_a_step_uses_the_threads_that_it_is_told(tmp_path, monkeypatch):
    signals = Signals.alone(threads=4)
    subject = recipe.Tuner(write_model(tmp_path / "small"), signals)
    used: list[int] = []
    monkeypatch.setattr(subject, "_set_threads", used.append)
    subject._before_step(PROGRESS)
    signals.completing.value, signals.free.value = 1, 3
    monkeypatch.setattr(recipe, "GIVE_WAY", 0.0)
    subject._before_step(PROGRESS)
    signals.free.value = 1
    subject._before_step(PROGRESS)
    signals.completing.value, signals.free.value, signals.tuning.value = 0, 7, 3
    subject._before_step(PROGRESS)
    signals.free.value, signals.tuning.value = 32, 1
    subject._before_step(PROGRESS)
    assert used == [4, 1, 1, 2, MAX_THREADS]


def test_the_threads_of_numpys_matrix_products_are_set(tmp_path):
    subject = recipe.Tuner(write_model(tmp_path / "small"))
    libraries = subject._blas.lib_controllers
    if not libraries:
        pytest.skip("numpy's matrix products come from a library whose threads can't be set (Apple's Accelerate)")
    before = [library.num_threads for library in libraries]
    try:
        subject._set_threads(1)
        assert {library.num_threads for library in libraries} == {1}
    finally:
        subject._set_threads(max(before))


class TestWeightsFile:
    def test_neighbours_in_the_file_are_one_mapped_matrix_and_others_a_copy(self, tmp_path):
        values = {name: np.full((2, 3), number, np.float32) for number, name in enumerate("abc")}
        weights_file.write(tmp_path / "w", dict.fromkeys("abc", (2, 3)), values.__getitem__)
        file = weights_file.WeightsFile(tmp_path / "w")
        assert file.read("a", "b")[:, 0].tolist() == [0, 0, 1, 1]
        assert not file.read("a", "b").flags.owndata
        assert not file.read("a", "b").flags.writeable
        assert file.read("c", "a")[:, 0].tolist() == [2, 2, 0, 0]

    def test_it_is_an_ordinary_safetensors_file(self, tmp_path):
        from safetensors.numpy import load_file

        weights_file.write(tmp_path / "w", {"x": (2,), "y": (1, 3)}, {"x": [1, 2], "y": [[3, 4, 5]]}.__getitem__)
        stored = load_file(tmp_path / "w")
        assert {name: values.tolist() for name, values in stored.items()} == {"x": [1, 2], "y": [[3, 4, 5]]}

    def test_other_libraries_files_in_16_bits_are_read_too(self, tmp_path):
        from safetensors.numpy import save_file

        save_file({"x": np.array([[1.5, 2.0]], np.float16)}, tmp_path / "w")
        read = weights_file.WeightsFile(tmp_path / "w").read("x")
        assert (read.tolist(), read.dtype) == ([[1.5, 2.0]], np.float32)

    def test_what_is_forgotten_is_read_again(self, tmp_path):
        weights_file.write(tmp_path / "w", {"x": (5000,)}, lambda name: np.arange(5000))
        file = weights_file.WeightsFile(tmp_path / "w")
        values = file.read("x")
        assert values.sum() == 5000 * 4999 / 2
        file.forget("x")
        assert values.sum() == 5000 * 4999 / 2

    def test_a_tensor_of_another_shape_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match="shape"):
            weights_file.write(tmp_path / "w", {"x": (5,)}, lambda name: np.arange(4))
