"""Files and retrieval collections, through the unmodified SDK and over plain HTTP."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest
from gradientai._rag import FileChunker, MeaningBasedChunker, NormalChunker, SentenceWithContextChunker
from gradientai.openapi.client.exceptions import ApiException

from helpers.service import collection_store, ingestion, rag_prompt
from helpers.service.refusals import Busy, TooLong
from tests.conftest import TOKEN, ended_cleanly
from tests.support.fake_engine import FakeEngine
from tests.support.http_call import BASE_ID, HEADERS, THEIRS, call, fetch
from tests.support.pdfs import a_pdf
from tests.support.waiting import wait_until

CHEESES = "Gouda comes from Holland. Brie comes from France.\n\nThe moon is made of rock."


@pytest.fixture
def cheeses(tmp_path) -> str:
    path = tmp_path / "cheeses.txt"
    path.write_text(CHEESES, encoding="utf-8")
    return str(path)


def multipart(content: bytes, name: str = "a.txt", field: str = "file") -> tuple[bytes, dict[str, str]]:
    head = f'--x\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\n'
    headers = {**HEADERS, "Content-Type": "multipart/form-data; boundary=x"}
    return head.encode() + content + b"\r\n--x--\r\n", headers


def upload(server, content: bytes = CHEESES.encode(), headers=HEADERS) -> str:
    body, sent = multipart(content)
    status, answer, _ = call(
        server, "POST", "/api/files?type=ragUserFile", body, {**headers, **sent, **workspace(headers)}
    )
    assert status == 200, answer
    return answer["id"]


def workspace(headers) -> dict[str, str]:
    return {"x-gradient-workspace-id": headers["x-gradient-workspace-id"]}


def create(server, *files: tuple[str, str], headers=HEADERS, **more) -> str:
    named = [{"id": id_, "name": name} for id_, name in files]
    body = {"name": "c", "slug": "bge-large", "files": named, **more}
    status, answer, _ = call(server, "POST", "/api/rag-collections", body, headers)
    assert status == 200, answer
    return answer["id"]


def got(server, collection: str, headers=HEADERS) -> dict:
    status, answer, _ = call(server, "GET", f"/api/rag-collections/{collection}", headers=headers)
    assert status == 200, answer
    return answer


def settled(server, collection: str, headers=HEADERS) -> list[dict]:
    """A collection's files once they are no longer worked on."""
    wait_until(
        lambda: all(file["status"] not in ("pending", "running") for file in got(server, collection, headers)["files"])
    )
    return got(server, collection, headers)["files"]


def ask(server, collection: str, question: str = "Where does Brie come from?", headers=HEADERS, **more):
    body = {"query": question, "rag": {"collectionId": collection}, **more}
    return call(server, "POST", f"/api/models/{BASE_ID}/complete", body, headers)


# --- through the SDK


def test_a_collection_is_created_filled_asked_and_deleted_by_the_sdk(server, gradient, base, cheeses, tmp_path):
    collection = gradient.create_rag_collection(name="cheese", slug="bge-large", filepaths=[cheeses])
    assert collection.id_.endswith("_rag_config")
    assert collection.chunker == NormalChunker(size=100, overlap=20)
    assert [file["name"] for file in collection.files] == ["cheeses.txt"]
    (tmp_path / "more.pdf").write_bytes(a_pdf("Feta comes from Greece."))
    collection.add_files(filepaths=[str(tmp_path / "more.pdf")])
    assert [file["name"] for file in collection.files] == ["cheeses.txt", "more.pdf"]
    answer = base.complete(query="Where does Feta come from?", rag={"collectionId": collection.id_}).generated_output
    assert ("Feta comes from Greece." in answer, "Gouda" in answer) == (True, False)
    again = gradient.get_rag_collection(id_=collection.id_)
    assert (again.name, [file["status"] for file in again.files]) == ("cheese", ["succeeded", "succeeded"])
    collection.delete()
    with pytest.raises(ApiException) as refusal:
        gradient.get_rag_collection(id_=collection.id_)
    assert json.loads(refusal.value.body)["type"] == "unknownRagCollection"


@pytest.mark.parametrize(
    "chunker",
    [
        FileChunker(),
        NormalChunker(size=7, overlap=2),
        SentenceWithContextChunker(size=8, overlap=3, context_sentences=2),
        MeaningBasedChunker(similiarity_percent_threshold=50, sentence_group_length=1, size=9, overlap=0),
    ],
    ids=lambda chunker: chunker.chunker_type,
)
def test_every_chunker_comes_back_as_it_was_asked_for(server, gradient, cheeses, chunker):
    collection = gradient.create_rag_collection(name="c", slug="bge-large", filepaths=[cheeses], chunker=chunker)
    assert type(collection.chunker) is type(chunker)
    assert vars(collection.chunker) == vars(chunker)
    assert settled(server, collection.id_)[0]["status"] == "succeeded"
    status, answer, _ = ask(server, collection.id_)
    assert (status, "Brie comes from France." in answer["generatedOutput"]) == (200, True)


@pytest.mark.parametrize("chunker", [NormalChunker(), SentenceWithContextChunker(), MeaningBasedChunker()])
def test_a_chunker_without_numbers_gets_every_one_of_them(gradient, chunker):
    collection = gradient.create_rag_collection(name="c", slug="bge-large", chunker=chunker)
    assert None not in vars(collection.chunker).values()


def test_file_names_of_any_kind_arrive(gradient, tmp_path):
    names = ["zażółć 北京.txt", 'a "quoted" one.txt', "same.txt"]
    (tmp_path / "other").mkdir()
    paths = [tmp_path / name for name in names] + [tmp_path / "other" / "same.txt"]
    for path in paths:
        path.write_text("x", encoding="utf-8")
    collection = gradient.create_rag_collection(name="c", slug="bge-large", filepaths=[str(path) for path in paths])
    assert [file["name"] for file in collection.files] == [*names, "same.txt"]


def test_an_empty_file_of_the_sdk_is_a_failed_one(server, gradient, tmp_path):
    (tmp_path / "empty.txt").write_text("", encoding="utf-8")
    collection = gradient.create_rag_collection(name="c", slug="bge-large", filepaths=[str(tmp_path / "empty.txt")])
    assert settled(server, collection.id_) == [
        {
            **settled(server, collection.id_)[0],
            "status": "failed",
            "reason": "'empty.txt' is empty: there is no text in it.",
        }
    ]


# --- the wire


def test_an_answer_names_the_chunker_for_every_version_of_the_sdk(server):
    collection = create(server, chunker={"chunkerType": "meaningBasedChunker", "size": 40, "overlap": None})
    expected = {
        "chunkerType": "meaningBasedChunker",
        "similiarityPercentThreshold": 80,
        "sentenceGroupLength": 1,
        "size": 40,
        "overlap": 8,
    }
    parser = {"parserType": "simpleNodeParser", "chunkSize": 40, "chunkOverlap": 8}
    listed = call(server, "GET", "/api/rag-collections")[1]["ragCollections"]
    assert [(one["id"], one["chunker"], one["parser"]) for one in listed] == [(collection, expected, parser)]
    assert "files" not in listed[0]
    assert got(server, collection) == {**listed[0], "files": []}


def test_a_parser_of_an_older_sdk_is_a_normal_chunker(server):
    collection = create(server, parser={"parserType": "simpleNodeParser", "chunkSize": 30, "chunkOverlap": 3})
    assert got(server, collection)["chunker"] == {"chunkerType": "normalChunker", "size": 30, "overlap": 3}


BODIES = {
    "no slug": {"slug": None},
    "another slug": {"slug": "ada-002"},
    "no name": {"name": ""},
    "an unknown chunker": {"chunker": {"chunkerType": "tokenChunker"}},
    "another one's number": {"chunker": {"chunkerType": "fileChunker", "size": 3}},
    "no size": {"chunker": {"chunkerType": "normalChunker", "size": 0}},
    "a size that is text": {"chunker": {"chunkerType": "normalChunker", "size": "9"}},
    "an overlap of the size": {"chunker": {"chunkerType": "normalChunker", "size": 9, "overlap": 9}},
    "an overlap of the parser": {"parser": {"parserType": "simpleNodeParser", "chunkSize": 9, "chunkOverlap": 9}},
    "a threshold over all": {"chunker": {"chunkerType": "meaningBasedChunker", "similiarityPercentThreshold": 101}},
    "too many files": {"files": [{"id": "a", "name": "b"}] * 21},
    "a file without a name": {"files": [{"id": "a"}]},
    "a misspelt field": {"chuncker": None},
}


@pytest.mark.parametrize("change", BODIES.values(), ids=BODIES)
def test_a_collection_that_can_not_be_is_refused_and_not_made(server, change):
    body = {"name": "c", "slug": "bge-large", "files": [], **change}
    status, answer, _ = call(server, "POST", "/api/rag-collections", body)
    assert (status, answer["type"]) == (400, "bodyParsingError")
    assert call(server, "GET", "/api/rag-collections")[1] == {"ragCollections": []}


def test_a_file_that_is_not_there_is_named_and_nothing_is_made(server):
    body = {"name": "c", "slug": "bge-large", "files": [{"id": upload(server), "name": "a"}, {"id": "b", "name": "b"}]}
    status, answer, _ = call(server, "POST", "/api/rag-collections", body)
    assert (status, "'b'" in answer["message"]) == (404, True)
    assert call(server, "GET", "/api/rag-collections")[1] == {"ragCollections": []}


def test_audio_is_refused_before_anything_is_kept(server):
    body, headers = multipart(b"RIFF")
    status, answer, _ = call(server, "POST", "/api/files?type=audioFile", body, headers)
    assert (status, answer["type"], "transcribe" in answer["message"]) == (501, "failed", True)


UPLOADS = {
    "no such type": ("?type=image", *multipart(b"x"), 400),
    "no type": ("", *multipart(b"x"), 400),
    "another field": ("?type=ragUserFile", *multipart(b"x", field="upload"), 400),
    "JSON": ("?type=ragUserFile", b"{}", HEADERS, 400),
    "no body": ("?type=ragUserFile", None, HEADERS, 400),
    "no boundary": ("?type=ragUserFile", b"x", {**HEADERS, "Content-Type": "multipart/form-data"}, 400),
    "cut off": ("?type=ragUserFile", multipart(b"x")[0][:30], multipart(b"x")[1], 400),
    "too large": ("?type=ragUserFile", *multipart(b"x" * 8_000_001), 413),
}


@pytest.mark.parametrize(("query", "body", "headers", "expected"), UPLOADS.values(), ids=UPLOADS)
def test_an_upload_that_is_none_is_refused_with_a_sentence(server, query, body, headers, expected):
    for path in (f"/api/files{query}", f"/api/blocks/extract-pdf{query}"):
        if path.startswith("/api/blocks") and "type=ragUserFile" not in query:
            continue
        status, answer, _ = call(server, "POST", path, body, headers)
        assert status == expected, answer
        assert "JSON" not in answer["message"] or headers is HEADERS


def test_a_file_at_the_limit_of_size_is_taken(server):
    assert upload(server, b"x" * 7_900_000)


@pytest.mark.parametrize("type_", ["ragUserFile"])
def test_a_body_in_chunks_is_taken(server, type_):
    """As Node sends it, without a Content-Length."""
    body, headers = multipart(CHEESES.encode(), "käse.txt")
    pieces = (body[at : at + 20] for at in range(0, len(body), 20))
    status, answer, _ = fetch(server, "POST", f"/api/files?type={type_}", pieces, headers)
    assert status == 200, answer


# --- ingestion


def test_creating_answers_before_the_files_are_read(server, engine):
    engine.embed_seconds = 0.5
    collection = create(server, (upload(server), "a"), (upload(server), "b"))
    assert {file["status"] for file in got(server, collection)["files"]} <= {"pending", "running"}
    wait_until(lambda: [f["status"] for f in got(server, collection)["files"]] == ["running", "pending"])
    assert [file["status"] for file in settled(server, collection)] == ["succeeded", "succeeded"]


def test_a_question_waits_for_files_that_were_just_added(server, engine):
    engine.embed_seconds = 0.2
    status, answer, _ = ask(server, create(server, (upload(server), "a")))
    assert (status, "France" in answer["generatedOutput"]) == (200, True)


def test_a_completion_does_not_wait_for_another_workspaces_ingestion(server, engine):
    engine.embed_seconds = 3
    collection = create(server, (upload(server), "a"), headers=HEADERS)
    wait_until(lambda: got(server, collection)["files"][0]["status"] == "running")
    assert call(server, "POST", f"/api/models/{BASE_ID}/complete", {"query": "q"}, THEIRS)[0] == 200
    engine.embed_seconds = 0
    theirs = create(server, (upload(server, headers=THEIRS), "a"), headers=THEIRS)
    assert ask(server, theirs, headers=THEIRS)[0] == 200
    assert got(server, collection)["files"][0]["status"] == "running"


def test_a_file_that_fails_says_why_and_the_others_are_there(server):
    collection = create(server, (upload(server, b"\0\1"), "bad.bin"), (upload(server), "good.txt"))
    bad, good = settled(server, collection)
    assert (bad["status"], good["status"], good["reason"]) == ("failed", "succeeded", None)
    assert "'bad.bin' is no text" in bad["reason"]
    assert ask(server, collection)[0] == 200


def test_an_engine_that_refuses_fails_the_file_with_its_sentence(server, engine):
    engine.fail = TooLong("This text is too long.")
    file = settled(server, create(server, (upload(server), "a")))[0]
    assert (file["status"], file["reason"]) == ("failed", "This text is too long.")


def test_an_engine_that_breaks_fails_the_file_and_the_next_one_has_its_turn(server, engine):
    engine.fail = ZeroDivisionError()
    broken = create(server, (upload(server), "a"))
    assert "log says where" in settled(server, broken)[0]["reason"]
    engine.fail = None
    assert settled(server, create(server, (upload(server), "a")))[0]["status"] == "succeeded"


def test_a_failed_file_that_is_added_again_is_tried_again(server, engine):
    engine.fail = TooLong("no")
    file = upload(server)
    collection = create(server, (file, "a"))
    settled(server, collection)
    engine.fail = None
    body = {"files": [{"id": file, "name": "a"}]}
    assert call(server, "POST", f"/api/rag-collections/{collection}/files", body)[0] == 200
    assert [one["status"] for one in settled(server, collection)] == ["succeeded"]


def test_an_engine_that_is_busy_is_asked_again(server, engine, monkeypatch):
    refused = []

    def embed(texts, given_up):
        if not refused:
            refused.append(1)
            raise Busy("later", retry_after_seconds=0)
        return FakeEngine.embed(engine, texts, given_up)

    monkeypatch.setattr(engine, "embed", embed)
    assert settled(server, create(server, (upload(server), "a")))[0]["status"] == "succeeded"
    assert refused


def test_texts_are_embedded_a_batch_a_turn_and_long_ones_in_pieces(server, engine, monkeypatch):
    batches = []

    def embed(texts, given_up):
        batches.append(list(texts))
        return FakeEngine.embed(engine, texts, given_up)

    monkeypatch.setattr(engine, "embed", embed)
    text = " ".join(f"Sentence number {number} is here." for number in range(200))
    collection = create(server, (upload(server, text.encode()), "a"), chunker={"chunkerType": "fileChunker"})
    assert settled(server, collection)[0]["status"] == "succeeded"
    assert len(batches) == 1
    assert max(len(one.split()) for one in batches[0]) <= ingestion.WORDS_AT_ONCE
    sentences = {"chunkerType": "sentenceWithContextChunker"}
    settled(server, create(server, (upload(server, text.encode()), "a"), chunker=sentences))
    assert [len(batch) for batch in batches[1:]] == [16] * 12 + [8]


def test_a_collection_deleted_while_it_is_worked_on_leaves_nothing(server, engine):
    engine.embed_seconds = 0.3
    collection = create(server, (upload(server), "a"))
    wait_until(lambda: got(server, collection)["files"][0]["status"] == "running")
    assert call(server, "DELETE", f"/api/rag-collections/{collection}")[0] == 200
    engine.embed_seconds = 0
    settled(server, create(server, (upload(server), "b")))
    database = server.status.calls.collections._store._database.connection
    assert database.execute("SELECT COUNT(*) FROM points WHERE collection = ?", (collection,)).fetchone() == (0,)


# --- asking


def test_the_nearest_passages_come_first_and_a_file_added_twice_answers_once(server, monkeypatch):
    monkeypatch.setattr(rag_prompt, "PASSAGES", 3)
    files = [(upload(server, text), name) for name, text in [("a", b"Brie is French."), ("b", b"Gouda is Dutch.")]]
    collection = create(server, *files, (upload(server, b"Gouda is Dutch."), "again"))
    prompt = ask(server, collection, "Is Gouda Dutch?")[1]["generatedOutput"]
    assert prompt.count("Gouda is Dutch.") == 1
    assert prompt.index("Gouda is Dutch.") < prompt.index("Brie is French.") < prompt.index("Is Gouda Dutch?")


def test_passages_that_are_too_long_together_are_left_out_and_a_long_one_is_cut(server):
    text = " ".join(["Gouda"] * 5000)
    collection = create(server, (upload(server, text.encode()), "a"), chunker={"chunkerType": "fileChunker"})
    assert ask(server, collection, "Gouda?")[0] == 200
    request = server.status.calls._engine.requests[-1][0]
    assert 600 < len(request.prompt.split()) < 800


def test_of_a_passage_that_is_too_long_the_place_that_was_found_is_asked_with(server):
    text = f"{'Gouda is Dutch and round. ' * 400}Feta is Greek. {'Brie is French and flat. ' * 400}"
    collection = create(server, (upload(server, text.encode()), "a"), chunker={"chunkerType": "fileChunker"})
    assert ask(server, collection, "What is Greek? Is Feta?")[0] == 200
    prompt = server.status.calls._engine.requests[-1][0].prompt
    assert "Feta is Greek." in prompt
    assert len(prompt.split()) < 800


def test_an_adapter_answers_from_a_collection_as_well(server, base):
    adapter = base.create_model_adapter(name="a")
    collection = create(server, (upload(server), "a"))
    said = adapter.complete(query="Where does Brie come from?", rag={"collectionId": collection}).generated_output
    assert "Brie comes from France." in said


NOTHING = {"no files": [], "a bad file": [b"\0"]}


@pytest.mark.parametrize("contents", NOTHING.values(), ids=NOTHING)
def test_a_collection_with_nothing_to_answer_from_says_why(server, contents):
    collection = create(server, *[(upload(server, content), "bad.bin") for content in contents])
    status, answer, _ = ask(server, collection)
    assert (status, answer["type"]) == (400, "noRagDocumentsFound")
    assert ("'bad.bin' is no text" if contents else "has no files") in answer["message"]


def test_passages_need_the_template_which_is_there_unless_it_is_refused(server, engine):
    collection = create(server, (upload(server), "a"))
    for given, status in [({}, 200), ({"autoTemplate": None}, 200), ({"autoTemplate": True}, 200)]:
        assert ask(server, collection, **given)[0] == status
        assert engine.requests[-1][0].auto_template
    status, answer, _ = ask(server, collection, autoTemplate=False)
    assert (status, answer["type"]) == (400, "ragRequiresAutoTemplating")


def test_a_model_that_is_not_there_is_said_before_the_collection_is_asked(server):
    body = {"query": "q", "rag": {"collectionId": "c"}}
    status, answer, _ = call(server, "POST", f"/api/models/{uuid.uuid4()}_model_adapter/complete", body)
    assert (status, answer["type"]) == (404, "unknownModelAdapter")


# --- limits


@pytest.mark.parametrize(
    ("limit", "value", "said"),
    [
        ("MAX_FILES", 1, "1 uploaded files"),
        ("MAX_FILE_BYTES_TOGETHER", 1_000_000, "1 MB"),
        ("MAX_COLLECTIONS", 1, "1 coll"),
    ],
)
def test_a_workspace_has_limits_that_say_what_to_do(server, monkeypatch, limit, value, said):
    monkeypatch.setattr(collection_store, limit, value)
    collection = create(server, (upload(server, b"x" * 999_000), "a"))
    body, headers = multipart(b"x" * 2000)
    if limit == "MAX_COLLECTIONS":
        status, answer, _ = call(server, "POST", "/api/rag-collections", {"name": "c", "slug": "bge-large"})
    else:
        status, answer, _ = call(server, "POST", "/api/files?type=ragUserFile", body, headers)
    assert (status, said in answer["message"], "delete" in answer["message"]) == (409, True, True)
    assert upload(server, headers=THEIRS) and create(server, headers=THEIRS)
    assert call(server, "DELETE", f"/api/rag-collections/{collection}")[0] == 200
    assert create(server, (upload(server), "a"))


def test_a_collection_with_too_many_passages_fails_the_file(server, monkeypatch):
    monkeypatch.setattr(collection_store, "MAX_POINTS", 2)
    sentences = {"chunkerType": "sentenceWithContextChunker"}
    file = settled(server, create(server, (upload(server), "a"), chunker=sentences))[0]
    assert (file["status"], "more than 2 passages" in file["reason"]) == ("failed", True)


def test_a_file_that_no_collection_takes_is_removed_after_a_day(server, monkeypatch):
    kept, unused = upload(server), upload(server)
    create(server, (kept, "a"))
    monkeypatch.setattr(collection_store, "UNUSED_HOURS", 0)
    upload(server)
    create(server, (kept, "a"))
    body = {"name": "c", "slug": "bge-large", "files": [{"id": unused, "name": "a"}]}
    assert call(server, "POST", "/api/rag-collections", body)[0] == 404


def test_a_file_goes_with_the_last_collection_that_has_it(server):
    file = upload(server)
    first, second = create(server, (file, "a")), create(server, (file, "a"))
    call(server, "DELETE", f"/api/rag-collections/{first}")
    third = create(server, (file, "a"))
    for collection in (second, third):
        assert call(server, "DELETE", f"/api/rag-collections/{collection}")[0] == 200
    body = {"name": "c", "slug": "bge-large", "files": [{"id": file, "name": "a"}]}
    assert call(server, "POST", "/api/rag-collections", body)[0] == 404


# --- whose they are


def test_another_workspaces_collections_and_files_are_as_ones_that_never_were(server):
    file = upload(server)
    mine, never = create(server, (file, "a")), f"{uuid.uuid4()}_rag_config"
    settled(server, mine)
    add = {"files": [{"id": upload(server, headers=THEIRS), "name": "a"}]}
    for method, path, body in [("GET", "", None), ("DELETE", "", None), ("POST", "/files", add)]:
        found, missing = (
            fetch(server, method, f"/api/rag-collections/{id_}{path}", body and json.dumps(body), THEIRS)
            for id_ in (mine, never)
        )
        assert found[0] == missing[0] == 404
        assert found[1].replace(mine.encode(), b"ID") == missing[1].replace(never.encode(), b"ID")
    assert ask(server, mine, headers=THEIRS)[:1] == ask(server, never, headers=THEIRS)[:1] == (404,)
    assert call(server, "GET", "/api/rag-collections", headers=THEIRS)[1] == {"ragCollections": []}
    body = {"name": "c", "slug": "bge-large", "files": [{"id": file, "name": "a"}]}
    assert call(server, "POST", "/api/rag-collections", body, THEIRS)[0] == 404
    assert ask(server, mine)[0] == 200


# --- extract-pdf


def test_a_pdf_is_taken_apart_by_the_sdk(gradient, tmp_path):
    (tmp_path / "a.pdf").write_bytes(a_pdf("First\npage", "Second", title="A title"))
    found = gradient.extract_pdf(filepath=str(tmp_path / "a.pdf"))
    assert (found["title"], found["text"]) == ("A title", "First\npage\n\nSecond")
    assert [(page["page_number"], page["text"]) for page in found["pages"]] == [(1, "First\npage"), (2, "Second")]
    assert found["pages"][0]["text_blocks"] == [{"kind": "text", "texts": ["First", "page"]}]
    assert found["pages"][0]["images"] == []


def test_a_pdf_without_text_or_title_has_every_key(server):
    body, headers = multipart(a_pdf(""))
    assert call(server, "POST", "/api/blocks/extract-pdf", body, headers)[1] == {
        "title": None,
        "text": "",
        "pages": [{"pageNumber": 1, "text": "", "images": [], "tables": [], "textBlocks": []}],
    }


@pytest.mark.parametrize("content", [b"", b"I am text", a_pdf("x")[:100], a_pdf("x", password="p")])
def test_what_is_no_open_pdf_is_refused_with_a_sentence(server, content):
    body, headers = multipart(content)
    status, answer, _ = call(server, "POST", "/api/blocks/extract-pdf", body, headers)
    assert (status, answer["type"], "PDF" in answer["message"]) == (400, "unprocessableContent", True)


# --- a start after an end


def test_what_a_kill_interrupted_is_taken_up_at_the_next_start(start_service, tmp_path):
    service = start_service(tmp_path / "killed", module="tests.support.slow_service")
    collection = create(service, (upload(service), "a"), (upload(service), "b"))
    wait_until(lambda: got(service, collection)["files"][0]["status"] == "running")
    service.process.kill()
    service.process.wait(10)
    again = start_service(tmp_path / "killed", module="tests.support.fake_service")
    log = Path(again.data / "service.log")
    wait_until(lambda: log.read_text(encoding="utf-8").count("event=ingested") == 2)  # before any call
    assert [file["status"] for file in got(again, collection)["files"]] == ["succeeded", "succeeded"]
    assert ask(again, collection)[0] == 200
    assert TOKEN not in log.read_text(encoding="utf-8")


def test_a_service_that_ends_while_it_ingests_ends_soon_and_loses_nothing(start_service, tmp_path):
    service = start_service(tmp_path / "ended", module="tests.support.slow_service")
    collection = create(service, (upload(service), "a"))
    wait_until(lambda: got(service, collection)["files"][0]["status"] == "running")
    assert ended_cleanly(service.stop())
    again = start_service(tmp_path / "ended", module="tests.support.fake_service")
    assert settled(again, collection)[0]["status"] == "succeeded"
