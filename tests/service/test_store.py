"""Adapters on disk: what was committed is there after any kill, and nothing half-written is."""

from __future__ import annotations

import shutil
from datetime import datetime, timezone

import pytest

from helpers.service import catalog, commands, server, store
from helpers.service.refusals import UnknownAdapter
from helpers.service.store import SET_ASIDE, Adapter, Store


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
        monkeypatch.setattr(subject._database, "writing", kill)
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


def aside(data) -> dict[str, str]:
    """What is set aside: the place of each file below its start's folder, and its text."""
    places = (data / SET_ASIDE).glob("*")
    return {file.relative_to(place).as_posix(): file.read_text() for place in places for file in place.rglob("weights")}


def test_what_a_kill_can_leave_is_removed_at_the_next_start(tmp_path):
    subject = Store(tmp_path)
    adapter, gone = an_adapter(), an_adapter()
    for one in (adapter, gone):
        subject.add(one)
        tuned(subject, one, "one")
    shutil.copytree(tmp_path / "adapters" / gone.id, tmp_path / "kept")
    subject.delete("w", gone.id)
    shutil.copytree(tmp_path / "kept", tmp_path / "adapters" / gone.id)  # as if it could not be removed
    shutil.copytree(tmp_path / "kept" / "v1", tmp_path / "adapters" / adapter.id / "v2")  # no row came to name it
    subject.new_folder(adapter)
    again = Store(tmp_path)
    assert [path.name for path in (tmp_path / "adapters").rglob("*")] == [adapter.id, "v1", "weights"]
    assert (again.set_aside, aside(tmp_path)) == (0, {})
    assert again._database.connection.execute("SELECT * FROM deleted").fetchall() == []


def test_a_deleted_database_sets_the_adapters_aside_and_takes_nothing_away(tmp_path):
    subject = Store(tmp_path)
    adapters = [an_adapter() for _ in range(3)]
    for adapter in adapters:
        subject.add(adapter)
        tuned(subject, adapter, adapter.id)
    subject.close()
    (tmp_path / "adapters.sqlite3").rename(tmp_path / "backup")
    second = Store(tmp_path)
    assert second.set_aside == 3
    assert aside(tmp_path) == {f"{adapter.id}/v1/weights": adapter.id for adapter in adapters}
    assert second.list("w") == []
    new = an_adapter()
    second.add(new)
    tuned(second, new, "new")
    second.close()
    assert Store(tmp_path).set_aside == 0  # what is set aside stays there, and says nothing again
    assert len(aside(tmp_path)) == 3

    (tmp_path / "backup").replace(tmp_path / "adapters.sqlite3")  # as `status` says
    for folder in (tmp_path / SET_ASIDE).glob("*/*"):
        folder.rename(tmp_path / "adapters" / folder.name)
    third = Store(tmp_path)
    assert [weights(third, adapter) for adapter in third.list("w")] == [adapter.id for adapter in adapters]
    assert aside(tmp_path) == {f"{new.id}/v1/weights": "new"}


@pytest.mark.parametrize("row", [0, 1, 3])
def test_an_older_database_sets_aside_the_versions_that_are_newer(tmp_path, row):
    subject = Store(tmp_path)
    adapter = an_adapter()
    subject.add(adapter)
    for version in range(1, 6):
        adapter = tuned(subject, adapter, f"version {version}")
    subject._database.connection.execute("UPDATE adapters SET version = ?", (row,))
    subject._database.connection.commit()
    subject.close()
    assert Store(tmp_path).set_aside == 1
    assert aside(tmp_path) == {f"{adapter.id}/v5/weights": "version 5"}


def test_what_can_not_be_set_aside_stays_where_it_is(tmp_path):
    subject = Store(tmp_path)
    adapter = an_adapter()
    subject.add(adapter)
    tuned(subject, adapter, "one")
    subject.close()
    (tmp_path / "adapters.sqlite3").unlink()
    (tmp_path / SET_ASIDE).write_text("a file in its way")
    assert Store(tmp_path).set_aside == 0
    assert (tmp_path / "adapters" / adapter.id / "v1" / "weights").read_text() == "one"


def test_folders_of_people_are_left_alone(tmp_path):
    Store(tmp_path).close()
    (tmp_path / "adapters" / "my own copies").mkdir()
    (tmp_path / "adapters" / "my own copies" / "v1").write_text("kept")
    Store(tmp_path).close()
    assert (tmp_path / "adapters" / "my own copies" / "v1").read_text() == "kept"


def test_what_is_set_aside_is_said_in_the_log_and_by_status(tmp_path, capsys, caplog):
    subject = Store(tmp_path)
    adapter = an_adapter()
    subject.add(adapter)
    tuned(subject, adapter, "one")
    subject.close()
    commands.status(tmp_path)
    assert "set aside" not in capsys.readouterr().out
    (tmp_path / "adapters.sqlite3").unlink()
    server.open_store(tmp_path)
    (record,) = [record for record in caplog.records if record.getMessage() == "set-aside"]
    assert record.fields["folders"] == 1
    assert record.fields["where"] == tmp_path / SET_ASIDE
    assert commands.status(tmp_path) == commands.NOTHING_THERE
    assert f"1 adapter folder is set aside in {tmp_path / SET_ASIDE}" in capsys.readouterr().out


def test_workspaces_do_not_see_each_other(tmp_path):
    subject = Store(tmp_path)
    adapter = an_adapter("mine")
    subject.add(adapter)
    assert subject.list("theirs") == []
    with pytest.raises(UnknownAdapter):
        subject.delete("theirs", adapter.id)
    assert subject.list("mine") == [adapter]
