"""The part of the fine-tune form that chooses, makes and deletes an adapter.

Called by `tune.py`, which runs `create` and `delete` in the background.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from .. import sdk
from ..environment import DEFAULT_LEARNING_RATE, DEFAULT_RANK, MAX_RANK
from ..errors import BadInput
from ..language import _
from .form import OWN_WIDTH, wrapped
from .models import ModelPicker
from .number_field import number_field

if TYPE_CHECKING:
    from gradientai import BaseModel, Gradient, ModelAdapter


class AdapterFields(widgets.VBox):
    """A picker of adapters, a button that deletes the chosen one when pressed twice, and the fields of a new one.

    Args:
        gradient: a client.
        name: the new adapter's name, to begin with.
        say: told what a field changed.
    """

    def __init__(self, gradient: Gradient, name: str, say: Callable[[str], object]) -> None:
        self.name = widgets.Text(value=name, description=_("New adapter's name"), style=OWN_WIDTH)
        self.base = widgets.Dropdown(description=_("on"), style=OWN_WIDTH, layout=widgets.Layout(width="180px"))
        self.rank = number_field(_("Rank"), DEFAULT_RANK, (1, MAX_RANK), say, width="110px")
        self.learning_rate = widgets.FloatText(
            value=DEFAULT_LEARNING_RATE, step=0.001, description=_("Learning rate"), style=OWN_WIDTH
        )
        self.learning_rate.layout.width = "180px"
        self.create_button = widgets.Button(description=_("Create adapter"))
        self.delete_button = widgets.Button(description=_("Delete adapter"))
        self._asked: str | None = None  # id of the adapter whose deletion was asked for once
        self.picker = ModelPicker(gradient, adapters_only=True, on_list=self._offer_bases, beside=[self.delete_button])
        self.picker.choice.observe(lambda change: self._ask_anew(), "value")
        self.watched = [self.picker.choice, self.name, self.base, self.rank, self.learning_rate]
        new = wrapped(self.name, self.base, self.rank, self.learning_rate, self.create_button)
        super().__init__([self.picker, new])

    @property
    def value(self) -> ModelAdapter | None:
        """The chosen adapter, or None."""
        chosen = self.picker.value
        return None if chosen is None or sdk.is_base_model(chosen) else chosen

    @property
    def new(self) -> tuple[str, dict[str, Any]]:
        """The slug of a new adapter's base model, and the arguments of `create_model_adapter`.

        Raises:
            BadInput: a field is not filled in, or there is no base model.
        """
        base = next((base for base in self.picker.bases if base.id == self.base.value), None)
        if base is None:
            raise BadInput(_("There is no base model yet: press Refresh."))
        if not self.name.value.strip():
            raise BadInput(_("The new adapter has no name: write one."))
        if not 0 < self.learning_rate.value < 1:
            raise BadInput(_("The learning rate has to be above 0 and below 1; 0.002 is a good start."))
        arguments = {
            "name": self.name.value.strip(),
            "rank": self.rank.value,
            "learning_rate": self.learning_rate.value,
        }
        return base.slug, arguments

    def create(self) -> str:
        """Makes the new adapter and chooses it; returns what to say.

        Raises:
            BadInput: a field is not filled in.
        """
        slug, arguments = self.new
        base = next(base for base in self.picker.bases if base.slug == slug)
        adapter = base.create_model_adapter(**arguments)
        self.picker.list(choose=adapter.id)
        return _("Made the adapter {adapter}.", adapter=self.picker.name(adapter))

    def delete(self) -> str:
        """Deletes the chosen adapter when it is asked for the second time in a row; returns what to say.

        Raises:
            BadInput: none is chosen.
        """
        adapter = self.chosen()
        if self._asked != adapter.id:
            self._asked = adapter.id
            self.delete_button.description = _("Really delete?")
            return _(
                "{adapter} and all that it has learned will be gone: press again to delete it.",
                adapter=self.picker.name(adapter),
            )
        self._ask_anew()
        adapter.delete()
        self.picker.list()
        return _("Deleted {adapter}.", adapter=self.picker.name(adapter))

    def chosen(self) -> ModelAdapter:
        """The chosen adapter.

        Raises:
            BadInput: none is chosen.
        """
        if self.value is None:
            raise BadInput(_("No adapter is chosen: press Create adapter for a new one, or choose one that is there."))
        return self.value

    def _offer_bases(self, bases: list[BaseModel]) -> None:
        before, ids = self.base.value, [base.id for base in bases]
        self.base.options = [(base.slug, base.id) for base in bases]
        self.base.value = before if before in ids else (ids[-1] if ids else None)

    def _ask_anew(self) -> None:
        self._asked = None
        self.delete_button.description = _("Delete adapter")
