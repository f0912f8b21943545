"""A kernel of its own, and messages to a form's widgets as JupyterLab sends them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

import pytest
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

SECONDS = 30
FORM = """
import queue
import ipywidgets as widgets
from helpers.forms.form import Form

form, seen = Form(), queue.Queue()
field, button = widgets.Text(continuous_update=False), widgets.Button()
button.on_click(lambda button: seen.put(field.value))
"""


@pytest.fixture
def kernel() -> Iterator[BlockingKernelClient]:
    manager, client = start_new_kernel(startup_timeout=SECONDS)
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def test_what_was_typed_before_a_click_is_there_at_the_click_and_no_form_waits_for_a_running_cell(kernel):
    _begin(kernel, FORM, "(field.comm.comm_id, button.comm.comm_id)")
    field, button = _end(kernel)
    thread = _thread_for_widgets(kernel)
    _begin(kernel, "typed = seen.get(timeout=20)", "typed")
    _send(kernel, thread, field, {"method": "update", "state": {"value": "typed"}, "buffer_paths": []})
    _send(kernel, thread, button, {"method": "custom", "content": {"event": "click"}})
    assert _end(kernel) == "typed"


def _thread_for_widgets(kernel: BlockingKernelClient) -> str:
    """Asks for a thread of their own, as JupyterLab does; kernels before ipykernel 7 have only the main one."""
    said = kernel.kernel_info(reply=True, timeout=SECONDS)["content"]
    if "kernel subshells" not in said.get("supported_features", []):
        pytest.skip("this kernel handles all messages in its main thread, one after the other")
    kernel.control_channel.send(kernel.session.msg("create_subshell_request", {}))
    return kernel.get_control_msg(timeout=SECONDS)["content"]["subshell_id"]


def _send(kernel: BlockingKernelClient, thread: str, comm: str, data: dict) -> None:
    message = kernel.session.msg("comm_msg", {"comm_id": comm, "data": data})
    message["header"]["subshell_id"] = thread
    kernel.shell_channel.send(message)


def _begin(kernel: BlockingKernelClient, source: str, value: str) -> None:
    """Starts a cell, and asks for the value of an expression at its end."""
    kernel.execute(source, user_expressions={"value": value})


def _end(kernel: BlockingKernelClient) -> Any:
    """Waits for the cell, and returns that value."""
    content = kernel.get_shell_msg(timeout=SECONDS)["content"]
    assert content["status"] == "ok", content
    return ast.literal_eval(content["user_expressions"]["value"]["data"]["text/plain"])
