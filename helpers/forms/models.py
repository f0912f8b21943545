"""The model picker: which base models and adapters there are, and which weights answer for them.

Called by notebooks through `helpers.forms`, and by the completion and fine-tune forms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import ipywidgets as widgets

from .. import sdk
from ..language import _, later
from .form import OWN_WIDTH, Form, escaped, wrapped

if TYPE_CHECKING:
    from gradientai import BaseModel, Gradient, ModelAdapter

OnList = Callable[[list["BaseModel"]], object]

A_NEW_ONE, NONE_YET = later("a new one: Create adapter makes it"), ""  # the first choice where one is to be taught
FIRST_LIST_SECONDS = 10  # how long a new picker waits for its first list, so that `.value` is there for the next line


def model_picker(gradient: Gradient) -> ModelPicker:
    """A list of the models to choose from. `.value` is the chosen one, a BaseModel or ModelAdapter of the SDK.

    Args:
        gradient: a client, as connect() returns it.
    """
    return ModelPicker(gradient)


class ModelPicker(Form):
    """A drop-down list of models, a button that lists them anew, and a line about the chosen one.

    Args:
        gradient: a client.
        adapters_only: leave the base models out, and choose none of the adapters that are there already.
        on_list: told the base models after each listing.
        beside: more buttons, to stand beside Refresh.
    """

    gradient: Gradient  # this form always has one

    seen: ClassVar[str] = later(
        "The model picker: a list of base models and adapters, a button that lists them "
        "anew, and a line that says which weights answer for the chosen one."
    )

    def __init__(
        self,
        gradient: Gradient,
        adapters_only: bool = False,
        on_list: OnList = lambda bases: None,
        beside: Sequence[widgets.Widget] = (),
    ) -> None:
        super().__init__(gradient)
        self._adapters_only = adapters_only
        self._on_list = on_list
        self._weights: dict[str, str] = {}
        self._listed = False
        self.bases: list[BaseModel] = []
        self.adapters: list[ModelAdapter] = []
        what = _("Adapter") if adapters_only else _("Model")
        self.choice = widgets.Dropdown(description=what, style=OWN_WIDTH, layout=widgets.Layout(width="50%"))
        self._about = widgets.HTML()
        self._button = widgets.Button(description=_("Refresh"), tooltip=_("List the models anew"))
        self._buttons = [self._button]
        self._button.on_click(lambda button: self.refresh())
        self.choice.observe(lambda change: self._describe(), "value")
        self._show(wrapped(self.choice, self._button, *beside), self._about, self._status)
        self.refresh()
        self.wait(FIRST_LIST_SECONDS)

    @property
    def value(self) -> BaseModel | ModelAdapter | None:
        """The chosen model, or None."""
        models: list[BaseModel | ModelAdapter] = [*self.bases, *self.adapters]
        return next((model for model in models if model.id == self.choice.value), None)

    def base_of(self, model: BaseModel | ModelAdapter) -> BaseModel | None:
        """The base model of an adapter; a base model itself."""
        base_id = model.id if sdk.is_base_model(model) else model.base_model_id
        return next((base for base in self.bases if base.id == base_id), None)

    def name(self, model: BaseModel | ModelAdapter) -> str:
        """A model's name for people; adapters of one name are told apart by the beginning of their id."""
        return model.slug if sdk.is_base_model(model) else f"{model.name} ({model.id[:4]})"

    def refresh(self) -> None:
        """Lists the models anew, in the background."""
        self._start(_("Listing the models…"), lambda: self.list())

    def list(self, choose: str | None = None) -> str:
        """Lists the models.

        Args:
            choose: id of the model to choose; None keeps the choice.

        Returns:
            A sentence about what is missing, or nothing.
        """
        models: Sequence[Any] = self.gradient.list_models(only_base=False)  # of both kinds
        known = self.adapters
        self.bases = [model for model in models if sdk.is_base_model(model)]
        self.adapters = [model for model in models if not sdk.is_base_model(model)]
        self._weights = sdk.base_model_names(self.gradient)
        self._offer(choose or self.choice.value or self._just_made(known))
        self._listed = True
        self._on_list(self.bases)
        missing = _("There is no adapter yet.") if self._adapters_only and not self.adapters else ""
        self._say(missing)
        return missing

    def _just_made(self, known: Sequence[ModelAdapter]) -> str | None:
        """The id of an adapter that was not there at the last listing: what the form's code has made, say."""
        before = {adapter.id for adapter in known}
        new = [adapter.id for adapter in self.adapters if adapter.id not in before]
        return new[-1] if new and self._listed and self._adapters_only else None

    def _offer(self, chosen_id: str | None) -> None:
        first = [(_(A_NEW_ONE), NONE_YET)] if self._adapters_only else [(base.slug, base.id) for base in self.bases]
        adapters = [(_("adapter {name}", name=self.name(adapter)), adapter.id) for adapter in self.adapters]
        self.choice.options = [*first, *adapters]
        ids = [id for name, id in self.choice.options]
        default = first[-1][1] if first else (ids[-1] if ids else None)
        self.choice.value = chosen_id if chosen_id in ids else default
        self._describe()

    def _describe(self) -> None:
        model = self.value
        base = self.base_of(model) if model is not None else None
        if base is None:
            self._about.value = ""
            return
        what = _("Base model") if model is base else _("Adapter on {slug}", slug=base.slug)
        weights = self._weights.get(base.id, base.slug)
        self._about.value = f'<p class="gradient-quiet">{escaped(f"{what}: {weights}")}</p>'
