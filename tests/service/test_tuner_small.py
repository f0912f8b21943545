"""The Llama of lesson 6: the same everywhere, and able to learn its sentence with the tuner's own steps."""

from __future__ import annotations

import numpy as np

from helpers.service.tuner import batches, recipe, small
from helpers.service.tuner.adamw import AdamW
from helpers.service.tuner.job import TokenSample

IDS = tuple(small.WORDS.index(word) for word in ["<start>", "the", "cat", "sat", "on", "the", "mat", "."])


def batch_of(model):
    sample = TokenSample(IDS, IDS)
    packing = model.packing([len(IDS)])
    return batches.packed(model, [sample], packing, model.through(0, model.embed(IDS), packing))


def test_every_number_has_two_decimals_and_is_the_same_again():
    first, second = (small.small_llama().layer(1) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(one, one.round(2))
        assert one.any()


def test_it_has_a_token_for_every_word_and_eight_of_them_need_no_padding():
    model = small.small_llama()
    assert len(set(small.WORDS)) == model.vocabulary == 11
    assert model.packing([len(IDS)]).columns == len(IDS)


def test_other_sizes_are_another_model(tmp_path):
    wider = small.small_llama(small.PRINTABLE._replace(width=16, layers=3))
    assert (wider.width, wider.layer_count) == (16, 3)


def test_a_fresh_adapter_adds_nothing_and_its_first_gradient_moves_b_alone():
    model = small.small_llama()
    batch = batch_of(model)
    loss, gradients = recipe.loss_and_gradients(model, recipe.fresh(model, 2), batch)
    slopes = gradients()
    assert all(np.any(values) == name.startswith("b.") for name, values in slopes.items())
    again, _ = recipe.loss_and_gradients(model, recipe.fresh(model, 4), batch)
    assert again == loss


def test_eleven_steps_teach_it_the_sentence():
    model = small.small_llama()
    batch, lora = batch_of(model), recipe.fresh(model, 2)
    optimizer = AdamW(lora, 0.1, {})
    means = []
    for _ in range(11):
        loss, gradients = recipe.loss_and_gradients(model, lora, batch)
        means.append(loss.mean)
        optimizer.step(recipe.clipped(gradients()))
    assert means == sorted(means, reverse=True)
    hidden, _ = model.above(batch.hidden, batch.packing, lora)
    assert tuple(model.logits(hidden).argmax(0)[:-1]) == IDS[1:]


def test_the_attention_that_is_shown_adds_up_to_one_and_sees_nothing_later():
    model = small.small_llama()
    batch = batch_of(model)
    _, trace = model.above(batch.hidden, batch.packing, recipe.fresh(model, 2))
    (gathering,) = trace.layers[0].heads
    np.testing.assert_allclose(gathering.shares.sum(-1), 1)
    for head in gathering.shares.reshape(2, len(IDS), len(IDS)):
        assert not np.triu(head, 1).any()
