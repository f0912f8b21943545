"""A room over https: the unmodified SDK, connect(), and the commands beside it; and what is no certificate is said so.

The certificate is one for tests: `openssl req -x509`, as on the instructors' page, for 127.0.0.1 and localhost.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from gradientai import Gradient

from helpers import GradientError, connect, doctor
from helpers.service import __main__ as program
from helpers.service import commands, launcher
from helpers.service.http import serve
from tests.conftest import ROOT, TOKEN

FILES = ROOT / "tests" / "support" / "tls"
CERTIFICATE, KEY = FILES / "cert.pem", FILES / "key.pem"
OPTIONS = ("--tls-cert", str(CERTIFICATE), "--tls-key", str(KEY))

SDK = """
from gradientai import Gradient
base = Gradient().get_base_model(base_model_slug="nous-hermes2")
adapter = base.create_model_adapter(name="a")
adapter.fine_tune(samples=[{"inputs": "x"}])
print(len(adapter.complete(query="q").generated_output) > 0)
"""


@pytest.fixture(scope="module")
def room(start_service, tmp_path_factory):
    data = tmp_path_factory.mktemp("room") / "data"
    service = start_service(data, *OPTIONS, module="tests.support.fake_service")
    yield service
    service.stop()


def test_the_unmodified_sdk_works_end_to_end_with_the_variable_that_its_http_client_honours(room):
    assert room.url.startswith("https://127.0.0.1:")
    given = {"GRADIENT_API_URL": room.url, "GRADIENT_ACCESS_TOKEN": TOKEN, "GRADIENT_WORKSPACE_ID": "ada"}
    environment = {**os.environ, **given, "SSL_CERT_FILE": str(CERTIFICATE)}
    done = subprocess.run([sys.executable, "-c", SDK], env=environment, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("True\n", 0), done.stderr


def test_one_cell_connects_and_without_the_certificate_says_what_is_missing(room, monkeypatch, capsys):
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with pytest.raises(GradientError, match="SSL_CERT_FILE") as refusal:
        connect(url=room.url, token=TOKEN, workspace="ada")
    assert "self-signed certificate" in str(refusal.value).replace("self signed", "self-signed")
    assert TOKEN not in str(refusal.value)
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    connect(url=room.url, token=TOKEN, workspace="ada")
    assert f"{room.url}, workspace ada." in capsys.readouterr().out
    assert len(Gradient().list_models(only_base=True)) > 0


def test_the_commands_and_the_doctor_find_a_service_that_speaks_https(room, monkeypatch, capsys):
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("GRADIENT_LOCAL_DATA_DIR", str(room.data))
    assert doctor.service().detail.startswith(f"running at {room.url}")
    assert commands.status(room.data) == commands.DONE
    assert f"ready at {room.url} (process {room.process.pid}" in capsys.readouterr().out
    assert commands.reset(room.data, "nobody", yes=True) == commands.NOTHING_THERE


def test_another_certificate_is_not_believed_to_be_the_services(room, tmp_path):
    known = launcher.find(room.data)
    another, _ = made_as_on_the_page(tmp_path)
    launcher.write_address(tmp_path, replace(known, certificate=str(another)))
    assert launcher.find(tmp_path) is None


def made_as_on_the_page(folder: Path) -> list[Path]:
    """A certificate and its key, by the command on the instructors' page."""
    page = (ROOT / "notebooks" / "INSTRUCTORS.md").read_text(encoding="utf-8")
    line = re.search(r"^(openssl (?:.*\\\n)*.*)$", page, re.M)[1].replace("\\\n", " ")
    words = shlex.split(line)
    if shutil.which(words[0]) is None:
        pytest.skip("openssl is not installed here")
    files = {"-out": folder / "cert.pem", "-keyout": folder / "key.pem"}
    for option, file in files.items():
        words[words.index(option) + 1] = str(file)
    made = subprocess.run(words, capture_output=True, timeout=60)
    assert made.returncode == 0, made.stderr
    return list(files.values())


def test_the_line_on_the_page_makes_a_certificate_that_the_service_takes(tmp_path):
    assert serve.Tls(*made_as_on_the_page(tmp_path)).flaw() is None


@pytest.mark.parametrize(
    ("certificate", "key"), [(KEY, CERTIFICATE), (CERTIFICATE, CERTIFICATE), (Path("nowhere.pem"), KEY)]
)
def test_what_is_no_certificate_with_its_key_is_said_so(certificate, key, tmp_path, capsys):
    options = ["--tls-cert", str(certificate), "--tls-key", str(key), "--data-dir", str(tmp_path)]
    assert program.main(options) == 1
    said = capsys.readouterr().err
    assert "for https (" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("half", [OPTIONS[:2], OPTIONS[2:]])
def test_one_file_without_the_other_is_refused(half, capsys):
    with pytest.raises(SystemExit) as ended:
        program.main(list(half))
    assert (ended.value.code, "go together" in capsys.readouterr().err) == (2, True)
