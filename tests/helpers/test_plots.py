"""Figures carry their alternative text into the notebook, and the same figure is the same bytes."""

from __future__ import annotations

import pytest

from helpers import plots


def test_a_loss_curve_tells_what_it_shows():
    shown = plots.loss_curve([2.5, 0.5, 0.01], title='The "loss"')._repr_html_()
    assert shown.startswith('<img alt="The &quot;loss&quot;: 3 calls, from 2.50 down to 0.010 nats per token."')
    assert 'src="data:image/png;base64,' in shown


def test_the_same_curve_is_the_same_picture():
    assert plots.loss_curve([2.0, 1.0]).data == plots.loss_curve([2.0, 1.0]).data


@pytest.mark.parametrize("losses", [[], [1.0, 0.0], [-1.0]])
def test_losses_that_can_not_be_drawn_are_refused(losses):
    with pytest.raises(ValueError, match="above 0"):
        plots.loss_curve(losses)
