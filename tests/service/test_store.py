"""Adapters on disk: what was committed is there after any kill, and nothing half-written is."""

from __future__ import annotations

import shutil
from datetime import datetime, timezone

import pytest

from helpers.service import catalog, store
from helpers.service.refusals import UnknownAdapter
from helpers.service.store import Adapter, Store


def an_adapter(workspace: str = "w") -> Adapter:
    now = datetime.now(timezone.utc)
    return Adapter(catalog.new_adapter_id(), workspace, "name", catalog.CLASSIC_MODELS[0][0], 8, 2e-3, 0, now)


def tuned(subject: Store, adapter: Adapter, text: str) -> Adapter:
    folder = subject.new_folder(adapter)
    (folder / "weights").write_text(text)
    return subject.commit(adapter, folder)


def weights(subject: Store, adapter: Adapter) -> str:
    return (subject.folder(adapter) / "weights").read_text()


def test_adapters_are_there_after_a_restart(tmp_path):
    first = Store(tmp_path)
    adapter = an_adapter()
    first.add(adapter)
    adapter = tuned(first, adapter, "one")
    adapter = tuned(first, adapter, "two")
    second = Store(tmp_path)  # without close(): as after a kill
    assert second.list("w") == [adapter]
    assert weights(second, second.get("w", adapter.id)) == "two"


def test_only_the_committed_version_stays_on_disk(tmp_path):
    subject = Store(tmp_path)
    adapter = an_adapter()
    subject.add(adapter)
    adapter = tuned(subject, tuned(subject, adapter, "one"), "two")
    assert [path.name for path in (tmp_path / "adapters" / adapter.id).iterdir()] == ["v2"]


@pytest.mark.parametrize("moment", ["before the rename", "between rename and row"])
def test_a_kill_inside_a_commit_leaves_the_version_before(tmp_path, monkeypatch, moment):
    subject = Store(tmp_path)
    adapter = an_adapter()
    subject.add(adapter)
    adapter = tuned(subject, adapter, "kept")

    class Killed(BaseException):
        pass

    def kill(*_):
        raise Killed

    if moment == "before the rename":
        monkeypatch.setattr(store, "_sync", kill)
    else:
        monkeypatch.setattr(subject, "_writing", kill)
    with pytest.raises(Killed):
        tuned(subject, adapter, "half")
    monkeypatch.undo()
    again = Store(tmp_path)
    assert weights(again, again.get("w", adapter.id)) == "kept"
    assert len(list((tmp_path / "adapters" / adapter.id).iterdir())) == 1
    assert weights(again, tuned(again, again.get("w", adapter.id), "next")) == "next"


def test_deleted_adapters_leave_nothing(tmp_path):
    subject = Store(tmp_path)
    adapter = an_adapter()
    subject.add(adapter)
    tuned(subject, adapter, "one")
    subject.delete("w", adapter.id)
    assert list((tmp_path / "adapters").iterdir()) == []
    with pytest.raises(UnknownAdapter):
        subject.get("w", adapter.id)


def test_a_folder_no_row_names_is_removed_at_the_next_start(tmp_path):
    subject = Store(tmp_path)
    adapter = an_adapter()
    subject.add(adapter)
    tuned(subject, adapter, "one")
    shutil.copytree(tmp_path / "adapters" / adapter.id, tmp_path / "adapters" / catalog.new_adapter_id())
    subject.new_folder(adapter)
    Store(tmp_path)
    assert [path.name for path in (tmp_path / "adapters").rglob("*")] == [adapter.id, "v1", "weights"]


def test_workspaces_do_not_see_each_other(tmp_path):
    subject = Store(tmp_path)
    adapter = an_adapter("mine")
    subject.add(adapter)
    assert subject.list("theirs") == []
    with pytest.raises(UnknownAdapter):
        subject.delete("theirs", adapter.id)
    assert subject.list("mine") == [adapter]
