"""What a notebook's cell shows when it fails: one sentence, and the whole trace when it is asked for with %tb.

Importing `helpers` turns it on, so that connect() itself can fail so. Outside IPython nothing happens: a script gets
the exception. What is neither the helpers', nor the SDK's, nor a habit of LangChain's older pages is shown as ever.
"""

from __future__ import annotations

import re
import sys
import traceback
from types import TracebackType
from typing import Any

from . import endpoint, retired
from .environment import URL_VARIABLE
from .errors import BadInput, GradientError, UnknownModel, of_the_sdk
from .language import _

# What IPython hands over. SyntaxError is not among them: IPython shows it by other means.
_watched: list[type[BaseException]] = [GradientError, AttributeError, ImportError, TypeError, ValueError]


def start(*kinds: type[Exception]) -> None:
    """Does nothing outside IPython, or where someone else's handler shows errors already.

    Args:
        kinds: exceptions that are to be shown so as well, the SDK's own once it is loaded.
    """
    _watched.extend(kind for kind in kinds if kind not in _watched)
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is not None and set(shell.custom_exceptions) <= set(_watched):
        shell.set_custom_exc(tuple(_watched), show)


def show(
    shell: Any, kind: type[BaseException], error: BaseException, trace: TracebackType, tb_offset: int | None = None
) -> None:
    """Shows an exception that ended a cell; IPython calls it.

    Args:
        shell: IPython's.
        kind, error, trace: the exception.
        tb_offset: how many frames of IPython's own come first.
    """
    said = sentence(error)
    if said is None or shell.call_pdb:
        shell.showtraceback((kind, error, trace), tb_offset=tb_offset, running_compiled_code=True)
        return
    shell.showtraceback((type(said), said, trace), exception_only=True)
    sys.last_type, sys.last_value, sys.last_traceback = kind, error, trace  # what %tb and %debug look at
    sys.last_exc = error  # type: ignore[attr-defined]  # Python 3.12 and later look at this one


def sentence(error: BaseException) -> GradientError | None:
    """An exception as a cell shows it, alone; None for one that is to be shown with its trace."""
    if isinstance(error, GradientError):
        return type(error)(str(error), error.status, error.type)  # without those before it
    said = of_the_sdk(error, endpoint.setting(URL_VARIABLE) or _("the endpoint"))
    if said is not None:
        return said
    if isinstance(error, StopIteration):
        return _lost_slug(error)
    words = _habit(error)
    return None if words is None else BadInput(words)


def _lost_slug(error: StopIteration) -> UnknownModel | None:
    """The sentence for the bare StopIteration of a client made by hand, which knows no model with a slug."""
    code = [frame.f_code for frame, line in traceback.walk_tb(error.__traceback__)][-1]
    if code.co_name not in ("get_base_model", "get_embeddings_model") or "gradientai" not in code.co_filename:
        return None
    lists = "list_models(only_base=True)" if code.co_name == "get_base_model" else "list_embeddings_models()"
    return UnknownModel(
        _("There is no model with this slug: {lists} shows those there are, each with its slug.", lists=lists)
    )


def _habit(error: BaseException) -> str | None:
    """What to do instead of what LangChain's older pages do."""
    if isinstance(error, ImportError):
        return retired.import_instead(error.name)
    if isinstance(error, AttributeError) and type(error.obj).__module__.startswith("langchain_core.runnables"):
        return retired.call_instead(_("A chain"), error.name or "")
    if isinstance(error, TypeError) and re.match(r"'Runnable\w+' object is not callable", str(error)):
        return retired.not_a_function(_("A chain"))
    return None
