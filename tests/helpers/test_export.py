"""export_adapter(): a folder that stands alone, its files whole or not there, and a sentence for what prevents it."""

from __future__ import annotations

import http.server
import json
import shutil
import threading

import pytest
from gradientai import Gradient

from helpers import GradientError, export, export_adapter, sdk
from helpers.service.weights_identity import DEFAULT
from tests.conftest import TOKEN, WORKSPACE
from tests.stub.server import ThreadedServer
from tests.support.fake_engine import FakeEngine
from tests.support.waiting import wait_until

ADAPTER_FILES = {"README.md", "adapter_config.json", "adapter_model.safetensors"}
BIG = bytes(range(256)) * 4096 * 3 + b"the end"


@pytest.fixture
def adapter(base, engine, tmp_path):
    """Tuned once, on a model of two files."""
    (tmp_path / "model").mkdir()
    for name, content in {"model.safetensors": BIG, "tokenizer.json": b"{}", "config.json": b"{}"}.items():
        engine.base[name] = tmp_path / "model" / name
        engine.base[name].write_bytes(content)
    made = base.create_model_adapter(name="my model")
    made.fine_tune(samples=[{"inputs": "learned"}])
    return made


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "home" / "my-adapter"


def names(folder) -> set[str]:
    return {str(path.relative_to(folder).as_posix()) for path in folder.rglob("*") if path.is_file()}


def test_the_whole_export(adapter, folder, engine):
    assert export_adapter(adapter, folder) == folder
    assert names(folder) == ADAPTER_FILES | {f"base/{name}" for name in engine.base}
    assert (folder / "base" / "model.safetensors").read_bytes() == BIG
    assert json.loads((folder / "adapter_model.safetensors").read_text()) == ["learned"]
    assert json.loads((folder / "adapter_config.json").read_text()) == {"base_model_name_or_path": "FakeModel"}
    text = (folder / "README.md").read_text(encoding="utf-8")
    for part in ("# my model", "FakeModel", "fa" * 32, adapter.id, "pip install torch transformers peft"):
        assert part in text
    assert 'AutoModelForCausalLM.from_pretrained("base")' in text
    assert 'PeftModel.from_pretrained(base, ".")' in text


def test_without_the_base_the_public_name_is_opened(adapter, folder, engine):
    engine.runs = DEFAULT
    adapter.delete()
    made = sdk.model(gradient_of(adapter), remade(adapter))
    assert export_adapter(made, str(folder), with_base=False) == folder
    assert names(folder) == ADAPTER_FILES
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert 'AutoModelForCausalLM.from_pretrained("HuggingFaceTB/SmolLM2-135M-Instruct")' in text
    assert DEFAULT.sha256 in text
    assert "base/" not in text


def gradient_of(adapter) -> Gradient:
    return Gradient(host=sdk.url_of(adapter), access_token=TOKEN, workspace_id=WORKSPACE)


def remade(adapter) -> str:
    base = gradient_of(adapter).get_base_model(base_model_slug="nous-hermes2")
    made = base.create_model_adapter(name="again")
    made.fine_tune(samples=[{"inputs": "learned"}])
    return made.id


def test_the_token_and_the_places_of_this_machine_are_in_no_file(adapter, folder, tmp_path, capfd):
    export_adapter(adapter, folder)
    for name in names(folder):
        content = (folder / name).read_bytes()
        assert TOKEN.encode() not in content
        assert str(tmp_path).encode() not in content
        assert b"127.0.0.1" not in content
    printed = capfd.readouterr()
    assert TOKEN not in printed.out + printed.err


def test_an_earlier_export_of_the_same_adapter_is_overwritten(adapter, folder):
    export_adapter(adapter, folder)
    adapter.fine_tune(samples=[{"inputs": "more"}])
    export_adapter(adapter, folder, with_base=False)
    assert json.loads((folder / "adapter_model.safetensors").read_text()) == ["learned", "more"]
    assert (folder / "base" / "model.safetensors").read_bytes() == BIG  # what is there is left there


def test_an_export_that_was_cut_off_is_taken_up_again(adapter, folder, server, monkeypatch):
    """The README is there first and the configuration last, without which peft opens nothing."""
    with monkeypatch.context() as broken:
        broken.setattr(export, "_moving", interrupted)
        with pytest.raises(KeyboardInterrupt):
            export_adapter(adapter, folder)
    assert names(folder) == {"README.md"}
    export_adapter(adapter, folder)
    assert "adapter_config.json" in names(folder)


def interrupted(blocks, moving):
    yield next(blocks)
    raise KeyboardInterrupt


def test_a_folder_with_something_else_is_refused_and_left_alone(adapter, base, folder):
    folder.mkdir(parents=True)
    (folder / "README.md").write_text("mine")
    with pytest.raises(GradientError, match="not empty"):
        export_adapter(adapter, folder)
    assert (names(folder), (folder / "README.md").read_text()) == ({"README.md"}, "mine")


def test_an_export_of_another_adapter_is_refused(adapter, folder):
    export_adapter(adapter, folder, with_base=False)
    other = sdk.model(gradient_of(adapter), remade(adapter))
    with pytest.raises(GradientError, match="not empty"):
        export_adapter(other, folder)


def test_an_empty_folder_is_as_good_as_a_new_one(adapter, folder):
    folder.mkdir(parents=True)
    (folder / "README.md.part").write_text("of an export that was killed")
    export_adapter(adapter, folder, with_base=False)
    assert names(folder) == ADAPTER_FILES


def test_a_file_where_the_folder_should_be_is_said_so(adapter, folder):
    folder.parent.mkdir(parents=True)
    folder.write_text("a file")
    with pytest.raises(GradientError, match="could not be written to"):
        export_adapter(adapter, folder)
    assert folder.read_text() == "a file"


def test_an_adapter_that_was_never_tuned_is_refused_and_no_folder_made(base, folder):
    with pytest.raises(GradientError, match="never fine-tuned") as refusal:
        export_adapter(base.create_model_adapter(name="new"), folder)
    assert refusal.value.status == 409
    assert not folder.exists()


def test_another_workspaces_adapter_is_unknown(adapter, server, folder):
    theirs = Gradient(host=server.url, access_token=TOKEN, workspace_id="another_workspace")
    with pytest.raises(GradientError, match="no model adapter") as refusal:
        export_adapter(sdk.model(theirs, adapter.id), folder)
    assert refusal.value.type == "unknownModelAdapter"


def test_a_base_model_is_no_adapter(gradient, base, folder):
    with pytest.raises(GradientError, match="names a base model"):
        export_adapter(base, folder)


def test_a_wrong_token_is_refused_unsaid(adapter, server, folder):
    wrong = Gradient(host=server.url, access_token="a-wrong-token", workspace_id=WORKSPACE)
    with pytest.raises(GradientError, match="GRADIENT_ACCESS_TOKEN") as refusal:
        export_adapter(sdk.model(wrong, adapter.id), folder)
    assert "a-wrong-token" not in str(refusal.value)


def test_a_full_disk_is_said_before_anything_is_fetched(adapter, folder, monkeypatch):
    usage = shutil.disk_usage(folder.parent.parent)
    monkeypatch.setattr(export.shutil, "disk_usage", lambda path: usage._replace(free=1_000_000))
    with pytest.raises(GradientError, match=r"needs 3 MB .* only 1 MB are free.*with_base=False"):
        export_adapter(adapter, folder)
    assert names(folder) == set()
    export_adapter(adapter, folder, with_base=False)


def test_a_disk_that_fills_up_is_said_so_and_leaves_no_half_file(adapter, folder, monkeypatch):
    def full(blocks, moving):
        yield next(blocks)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(export, "_moving", full)
        with pytest.raises(GradientError, match="No space left on device"):
            export_adapter(adapter, folder)
    assert names(folder) == {"README.md"}
    export_adapter(adapter, folder)


def test_a_service_that_ends_in_the_middle_is_said_so(tmp_path, engine, folder):
    (tmp_path / "gone").mkdir()
    service = ThreadedServer(FakeEngine(), tmp_path / "gone", TOKEN).start()
    half = Half(tmp_path / "gone" / "half")
    service.status.calls._engine.base = {"model.safetensors": half.path}
    base = Gradient(host=service.url, access_token=TOKEN, workspace_id=WORKSPACE).list_models(only_base=True)[0]
    made = base.create_model_adapter(name="mine")
    made.fine_tune(samples=[{"inputs": "x"}])
    half.shrink_when(lambda: (folder / "base" / "model.safetensors.part").exists())
    with pytest.raises(GradientError, match="hung up in the middle"):
        export_adapter(made, folder)
    assert names(folder) == {"README.md"}
    service.stop()


class Half:
    """A file that is cut off while it is sent, as by a disk that fails."""

    def __init__(self, path) -> None:
        self.path = path
        with path.open("wb") as file:
            file.truncate(200_000_000)

    def shrink_when(self, condition) -> None:
        def shrink() -> None:
            wait_until(condition)
            with self.path.open("r+b") as file:
                file.truncate(1000)

        threading.Thread(target=shrink, daemon=True).start()


class Elsewhere(http.server.BaseHTTPRequestHandler):
    """An endpoint that is not the local service; it keeps what it was sent."""

    def do_GET(self) -> None:
        self.server.seen.append((self.path, dict(self.headers)))
        body = json.dumps(self.server.says).encode()
        self.send_response(404 if self.server.says is None else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments) -> None:
        pass


@pytest.mark.parametrize("says", [None, {"status": "ok"}, ["ready"], "ready"])
def test_an_endpoint_that_is_not_the_local_service_is_refused_and_given_no_token(folder, says):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as hosted:
        hosted.seen, hosted.says = [], says
        threading.Thread(target=hosted.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{hosted.server_address[1]}/api"
        with pytest.raises(GradientError, match="Only the local service hands adapters over"):
            export_adapter(sdk.model(Gradient(host=url, access_token=TOKEN, workspace_id=WORKSPACE), "x" * 50), folder)
        hosted.shutdown()
    assert [path for path, _ in hosted.seen] == ["/health"]
    assert TOKEN not in str(hosted.seen)
    assert not folder.exists()


def test_where_nothing_answers_is_said_so(folder):
    nowhere = Gradient(host="http://127.0.0.1:9/api", access_token=TOKEN, workspace_id=WORKSPACE)
    with pytest.raises(GradientError, match="Nothing answers"):
        export_adapter(sdk.model(nowhere, "x" * 50), folder)


def test_the_way_of_the_files_is_shown_and_can_be_hidden(adapter, folder, monkeypatch, capsys):
    export_adapter(adapter, folder)
    assert "Exporting" in capsys.readouterr().err
    monkeypatch.setenv("TQDM_DISABLE", "1")
    export_adapter(adapter, folder)
    assert capsys.readouterr().err == ""


OFFER = {
    "id": "an-id",
    "name": "mine",
    "baseName": "tiny-llama.Q8_0",
    "weightsName": "tiny-llama.Q8_0",
    "weightsSha256": "0123456789abcdef" * 4,
    "files": [],
    "baseFiles": [],
}


def test_the_readme_says_what_the_adapter_was_tuned_on():
    text = export.readme(OFFER)
    assert "| tuned on | tiny-llama.Q8_0; the SHA-256 of its GGUF file is `0123" in text
    assert "with_base=True" in text
    unknown = export.readme({**OFFER, "weightsName": None, "weightsSha256": None})
    assert "| tuned on | not recorded; the service that wrote this folder ran tiny-llama.Q8_0 |" in unknown


def test_the_readme_says_where_the_tokenizer_is():
    without = export.readme({**OFFER, "baseFiles": [{"name": "model.safetensors"}]})
    assert "The tokenizer is not in here" in without
    assert 'AutoTokenizer.from_pretrained("base")' in export.readme(
        {**OFFER, "baseFiles": [{"name": "tokenizer.json"}]}
    )
