"""Whatever is sent: never a 500, never a hang, never a changed neighbour, one envelope with a sentence.

Properties, checked on generated requests: the fast suite tries 12 examples of each, always the same ones;
`GRADIENT_TEST_EXAMPLES=2000 pytest tests/service/test_bad_input.py` tries more, and new ones each time.
"""

from __future__ import annotations

import copy
import http.client
import itertools
import json
import os
import socket
from urllib.parse import quote, urlsplit

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule, run_state_machine_as_test
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS

from helpers.service import calls, collection_store
from helpers.service.catalog import ALL_MODELS
from helpers.service.engine import AdapterState
from helpers.service.http import guard, schemas
from helpers.service.http.app import create_app
from helpers.service.http.status import Status
from tests.conftest import TOKEN
from tests.stub.server import ThreadedServer
from tests.support.fake_engine import FakeEngine
from tests.support.http_call import BASE_ID, HEADERS, SECONDS, call, request_bytes

EXAMPLES = int(os.environ.get("GRADIENT_TEST_EXAMPLES", "12"))
checked = settings(
    max_examples=EXAMPLES,
    derandomize="GRADIENT_TEST_EXAMPLES" not in os.environ,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

COMPLETE = f"/api/models/{BASE_ID}/complete"
UPLOAD = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nBrie is French.\r\n--x--\r\n'
MULTIPART = {"Content-Type": "multipart/form-data; boundary=x"}
NEIGHBOUR = {**HEADERS, "x-gradient-workspace-id": "the_neighbour"}
FINE = {200, 400, 404, 501}  # what a request may be answered that has the token, a workspace and an acceptable size


class ForgetfulEngine(FakeEngine):
    """Keeps of a fine-tune the last sample alone, and of a request nothing: thousands come here."""

    def complete(self, *call_):
        self.requests.clear()
        return super().complete(*call_)

    def fine_tune(self, samples, adapter, *rest):
        self.tunings.clear()
        return super().fine_tune(samples[-1:], AdapterState(adapter.base_slug), *rest)


class Room(ThreadedServer):
    """A service in which a neighbour has an adapter and a collection that must never change."""

    def __init__(self, data) -> None:
        super().__init__(ForgetfulEngine(), data, TOKEN)
        self.start()
        self._connection = None
        self.mine = self.create(HEADERS)
        self.theirs = self.create(NEIGHBOUR)
        call(self, "POST", f"/api/models/{self.theirs}/fine-tune", {"samples": [{"inputs": "theirs"}]}, NEIGHBOUR)
        self.my_collection = self.collect(HEADERS)
        self.their_collection = self.collect(NEIGHBOUR)
        self.before = self.neighbour()

    def create(self, headers) -> str:
        body = {"model": {"name": "n", "baseModelId": BASE_ID}}
        return call(self, "POST", "/api/models", body, headers)[1]["id"]

    def collect(self, headers) -> str:
        uploaded = call(self, "POST", "/api/files?type=ragUserFile", UPLOAD, {**headers, **MULTIPART})[1]["id"]
        body = {"name": "c", "slug": "bge-large", "files": [{"id": uploaded, "name": "a.txt"}]}
        return call(self, "POST", "/api/rag-collections", body, headers)[1]["id"]

    def send(self, method: str, path: str, body: bytes | None = None, headers=HEADERS, again=True) -> tuple[int, bytes]:
        """A call on a connection that is kept, for speed."""
        if self._connection is None:
            address = urlsplit(self.url)
            self._connection = http.client.HTTPConnection(address.hostname, address.port, timeout=SECONDS)
        try:
            self._connection.request(method, path, body, headers)
            response = self._connection.getresponse()
            return response.status, response.read()
        except (ConnectionError, http.client.HTTPException):  # closed meanwhile, as idle connections are
            self._connection = None
            return self.send(method, path, body, headers, False) if again else (0, b"")

    def neighbour(self) -> tuple:
        """What the neighbour sees: the adapters and collections there are, and the answer of one of each."""
        answers = [
            self.send("POST", f"/api/models/{id_}/complete", json.dumps(body).encode(), NEIGHBOUR)
            for id_, body in [
                (self.theirs, {"query": "q"}),
                (BASE_ID, {"query": "q", "rag": {"collectionId": self.their_collection}}),
            ]
        ]
        listed = [self.send("GET", f"/api/{what}", headers=NEIGHBOUR) for what in ("models", "rag-collections")]
        return listed, answers

    def check(self, status: int, answer: bytes, allowed: set[int] = FINE) -> dict:
        """Asserts what must hold of every answer, and that the neighbour is as before."""
        assert status in allowed, answer
        said = json.loads(answer)
        if status != 200:
            assert set(said) <= {"message", "type", "payload"}
            assert 20 < len(said["message"]) < 2000
            assert said["message"].isprintable()
        assert self.neighbour() == self.before
        return said


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guard, "BODY_SECONDS", 1)  # some headers announce a body that does not come
        patch.setattr(calls, "MAX_ADAPTERS", 10_000)  # a right body makes one each time
        patch.setattr(collection_store, "MAX_COLLECTIONS", 10_000)
        patch.setattr(collection_store, "MAX_FILES", 10_000)
        running = Room(tmp_path_factory.mktemp("room"))
        yield running
        running.stop()


# --- the service's own OpenAPI page

PAGE = schemathesis.openapi.from_dict(create_app(Status(), TOKEN).openapi())
OPERATIONS = {result.ok().label: result.ok() for result in PAGE.get_all_operations()}
CHECKED = [
    CHECKS.get_one(name)
    for name in (
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "negative_data_rejection",
        "positive_data_acceptance",
    )
]


BLOCKS = [f"POST /api/blocks/{name}" for name in ("answer", "summarize", "analyze-sentiment", "personalize", "extract")]
# Where more must be so than the page can say: an overlap less than a size, a file that is a PDF, a text with words.
SAYS_LESS = ("POST /api/rag-collections", "POST /api/blocks/extract-pdf", *BLOCKS)


def cases(operation, ids: list[str]):
    """Requests that keep to the page and requests that do not, for any id and for some that are there."""
    name = "collection_id" if "collection_id" in operation.label else "model_id"
    modes = [GenerationMode.POSITIVE] if operation.label in NO_WRONG_WAY else list(GenerationMode)
    strategies = [operation.as_strategy(generation_mode=mode) for mode in modes]
    for id_, mode in itertools.product(ids, modes):
        strategies.append(operation.as_strategy(generation_mode=mode, path_parameters={name: id_}))
    return st.one_of(strategies)


NO_WRONG_WAY = ("GET /health", "GET /metrics", "GET /api/models/{model_id}", "DELETE /api/models/{model_id}")
NO_WRONG_WAY += ("GET /export/adapters/{model_id}/{file}", "GET /export/base/{file}")


@pytest.mark.parametrize("label", list(OPERATIONS))
def test_the_service_keeps_to_its_own_openapi_page(room, label):
    ids = {"complete": [BASE_ID, room.mine, room.theirs], "fine-tune": [room.mine, room.theirs]}
    ids["files"] = [room.my_collection, room.their_collection]
    checks = [check for check in CHECKED if label not in SAYS_LESS or check.__name__ != "positive_data_acceptance"]
    session = requests.Session()
    headers = {name: value for name, value in HEADERS.items() if name != "Content-Type"}

    @checked
    @given(case=cases(OPERATIONS[label], ids.get(label.split("/")[-1], [])))
    def keeps_to_it(case):
        response = case.call(base_url=room.url.removesuffix("/api"), session=session, headers=headers, timeout=SECONDS)
        assert response.status_code in FINE | {413}
        if response.status_code != 413:  # too large is too large, whatever the page says of the rest
            case.validate_response(response, checks=checks)
        assert room.neighbour() == room.before

    keeps_to_it()


def test_every_call_is_on_the_page():
    assert set(OPERATIONS) == {
        "GET /health",
        "GET /metrics",
        "POST /tokens",
        "POST /next-tokens",
        "POST /progress",
        "GET /export/adapters/{model_id}",
        "GET /export/adapters/{model_id}/{file}",
        "GET /export/base/{file}",
        "GET /api/models",
        "POST /api/models",
        "GET /api/models/{model_id}",
        "DELETE /api/models/{model_id}",
        "POST /api/models/{model_id}/complete",
        "POST /api/models/{model_id}/fine-tune",
        "POST /api/files",
        "GET /api/rag-collections",
        "POST /api/rag-collections",
        "GET /api/rag-collections/{collection_id}",
        "DELETE /api/rag-collections/{collection_id}",
        "POST /api/rag-collections/{collection_id}/files",
        "POST /api/blocks/extract-pdf",
        *BLOCKS,
        "GET /api/embeddings",
        "POST /api/embeddings/{slug}",
    }


# --- bodies

VALID = {
    "complete": {
        "query": "q",
        "autoTemplate": False,
        "maxGeneratedTokenCount": 5,
        "temperature": 0.5,
        "topK": 3,
        "topP": 0.5,
        "guidance": {"type": "choice", "value": ["a", "b"]},
    },
    "fine-tune": {
        "samples": [
            {"inputs": "x", "fineTuningParameters": {"multiplier": 1.5}},
            {"inputs": [{"value": "y", "trainable": True, "parseSpecialTokens": False}]},
        ]
    },
    "embeddings": {"inputs": [{"input": "x"}, {"input": "y"}]},
    "": {
        "model": {"name": "n", "baseModelId": BASE_ID},
        "initialHyperparameters": {
            "loraHyperparameters": {"rank": 4},
            "trainingArguments": {"learningRate": 0.1},
        },
    },
}
VALID["/rag-collections"] = {
    "name": "n",
    "slug": "bge-large",
    "files": [],
    "chunker": {
        "chunkerType": "meaningBasedChunker",
        "similiarityPercentThreshold": 50,
        "sentenceGroupLength": 2,
        "size": 30,
        "overlap": 5,
    },
    "parser": {"parserType": "simpleNodeParser", "chunkSize": 30, "chunkOverlap": 5},
}
VALID["/rag-collections/{}/files"] = {"files": [{"id": "i", "name": "n"}]}
anything = st.characters(exclude_categories=())  # every code point, lone surrogates too
texts = st.text(anything, max_size=50)
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(10**400), 10**400)
    | st.floats()  # NaN and the infinities too
    | texts
    | st.sampled_from(["", " ", "\0", "\ud800", "a" * 300, "1", "NaN", BASE_ID, "../..", 0, -1, 1e308, 5e-324, -0.0])
)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=8
)


def places(body, path=()):
    """Every place in a JSON value, as a path of keys."""
    yield path
    for key, value in body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ():
        yield from places(value, (*path, key))


@st.composite
def spoilt(draw):
    """A call and a body for it in which one place holds, lacks or has in addition what it should not."""
    call_ = draw(st.sampled_from(list(VALID)))
    body = {"whole": copy.deepcopy(VALID[call_])}
    *way, last = draw(st.sampled_from([("whole", *path) for path in places(body["whole"])]))
    inner = body
    for key in way:
        inner = inner[key]
    what = draw(st.sampled_from(["replace", "drop", "add"]))
    if what == "drop" and way:
        del inner[last]
    elif what == "add" and isinstance(inner, dict) and way:
        inner[draw(texts)] = draw(values)
    else:
        inner[last] = draw(values)
    return call_, body["whole"]


def written(value, escaped: bool) -> bytes:
    """As JSON, with what is not ASCII escaped or as it is; a lone surrogate is then no valid UTF-8."""
    return json.dumps(value, ensure_ascii=escaped).encode("utf-8", "surrogatepass")


def post(room, call_: str, body: bytes, content_type: str = "application/json") -> tuple[int, bytes]:
    paths = {"": "/api/models", "embeddings": "/api/embeddings/bge-large"}
    path = paths.get(call_, f"/api/models/{room.mine}/{call_}")
    if call_.startswith("/"):
        path = f"/api{call_.format(room.my_collection)}"
    return room.send("POST", path, body, {**HEADERS, "Content-Type": content_type})


@checked
@given(spoilt(), st.booleans())
def test_a_body_with_one_wrong_place_is_answered_or_refused(room, spoilt, escaped):
    call_, body = spoilt
    room.check(*post(room, call_, written(body, escaped)))


@checked
@given(st.sampled_from(list(VALID)), values, st.booleans())
def test_any_json_is_answered_or_refused(room, call_, value, escaped):
    room.check(*post(room, call_, written(value, escaped)))


@checked
@given(st.sampled_from(list(VALID)), st.binary(max_size=300), st.integers(0, 300), st.integers(0, 300))
def test_any_bytes_in_a_body_are_answered_or_refused(room, call_, noise, start, length):
    valid = written(VALID[call_], True)
    room.check(*post(room, call_, valid[:start] + noise + valid[start + length :]))


@checked
@given(st.lists(st.tuples(st.text(min_size=1, max_size=9), st.dictionaries(st.text(max_size=9), values, max_size=4))))
def test_samples_with_any_fields_beside_their_inputs_are_taken(room, samples):
    """Those that mean something here are left out: they have limits of their own."""
    beside = [
        {key: value for key, value in fields.items() if key not in ("inputs", "fineTuningParameters")}
        for _, fields in samples
    ]
    body = {"samples": [{**own, "inputs": f"a {text}"} for (text, _), own in zip(samples, beside, strict=True)]}
    status, answer = post(room, "fine-tune", written(body, True))
    readable = b"NaN" not in (sent := written(body, True)) and b"Infinity" not in sent and b"\\ud" not in sent.lower()
    room.check(status, answer, {200, 400})
    if samples and readable:
        assert status == 200, answer


@checked
@given(st.text(min_size=1, max_size=20).filter(lambda key: key != "samples"), values)
def test_any_other_field_beside_the_samples_is_refused(room, key, value):
    status, answer = post(room, "fine-tune", written({"samples": [{"inputs": "x"}], key: value}, True))
    assert status == 400
    room.check(status, answer)


TYPES = ["", "text/plain", "application/xml", "multipart/form-data", "multipart/form-data; boundary=x", "a", "/", ";;"]
printable = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=60)
latin = st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=60)
TYPES += ["application/json; charset=utf-16", "application/json;charset=\xff", "application/x-www-form-urlencoded"]


@checked
@given(st.sampled_from(list(VALID)), st.sampled_from(TYPES) | printable)
def test_any_content_type_is_answered_or_refused(room, call_, content_type):
    room.check(*post(room, call_, written(VALID[call_], True), content_type))


@checked
@given(st.sampled_from(["files?type=ragUserFile", "blocks/extract-pdf"]), st.binary(max_size=200), st.integers(0, 120))
def test_any_bytes_in_an_upload_are_answered_or_refused(room, path, noise, start):
    spoilt_upload = UPLOAD[:start] + noise + UPLOAD[start + len(noise) // 2 :]
    room.check(*room.send("POST", f"/api/{path}", spoilt_upload, {**HEADERS, **MULTIPART}))


@checked
@given(st.sampled_from(["files?type=ragUserFile", "blocks/extract-pdf"]), st.sampled_from(TYPES) | printable)
def test_an_upload_of_any_content_type_is_answered_or_refused(room, path, content_type):
    room.check(*room.send("POST", f"/api/{path}", UPLOAD, {**HEADERS, "Content-Type": content_type}))


@checked
@given(st.text(anything, min_size=1, max_size=300), st.binary(max_size=100))
@example("../../etc/passwd", b"x")
@example("\ud800", b"x")
@example("\0", b"\0")
def test_any_file_under_any_name_is_kept_or_refused(room, name, content):
    upload = UPLOAD.replace(b"Brie is French.", content)
    status, answer = room.send("POST", "/api/files?type=ragUserFile", upload, {**HEADERS, **MULTIPART})
    file = room.check(status, answer, {200, 400}).get("id", "none")
    body = {"name": "n", "slug": "bge-large", "files": [{"id": file, "name": name}]}
    made = room.check(*post(room, "/rag-collections", written(body, True)), {200, 400, 404}).get("id", "none")
    status, answer = room.send("DELETE", f"/api/rag-collections/{made}")
    assert status == (404 if made == "none" else 200)


DEPTHS = [1, 2, 5, 20, 100, 300, *range(940, 1010, 10), 2000, 200_000]
BOMBS = {
    "lists": lambda depth: "[" * depth + "]" * depth,
    "objects": lambda depth: '{"a":' * depth + "1" + "}" * depth,
    "both": lambda depth: '[{"a":' * depth + "1" + "}]" * depth,
    "unended": lambda depth: "[" * depth,
    "as inputs": lambda depth: '{"samples": [{"inputs": ' + "[" * depth + "]" * depth + "}]}",
    "as a value": lambda depth: '{"samples": [{"inputs": [{"value": ' + '{"a":' * depth + "1" + "}" * depth + "}]}]}",
    "as a query": lambda depth: '{"query": ' + "[" * depth + "]" * depth + "}",
}


@pytest.mark.parametrize("bomb", list(BOMBS))
def test_json_of_any_depth_is_refused(room, bomb):
    for depth in DEPTHS:
        for call_ in VALID:
            status, answer = post(room, call_, BOMBS[bomb](depth).encode())
            assert (status, json.loads(answer)["type"]) == (400, "bodyParsingError"), depth
    assert room.neighbour() == room.before


NUMBERS = [
    "NaN",
    "Infinity",
    "-Infinity",
    "1e400",
    "-1e400",
    "1e999999999",
    "1" * 5000,
    "-" + "9" * 4000,
    "1e-400",
    "-0",
]
NUMBERS += ["0" * 50 + "1", "0x10", "1_000", ".5", "1.", "+1", "1e", "\u0661", "true", '"1"', "[1]", "1.5", "1.0"]


def test_every_odd_number_is_answered_or_refused_in_every_place(room):
    taken = {}
    model = '{"model": {"name": "n", "baseModelId": "x"}, "initialHyperparameters": {'
    for field, call_, body in [
        ("temperature", "complete", '{"query": "q", "temperature": %s}'),
        ("topK", "complete", '{"query": "q", "topK": %s}'),
        ("topP", "complete", '{"query": "q", "topP": %s}'),
        ("count", "complete", '{"query": "q", "maxGeneratedTokenCount": %s}'),
        ("multiplier", "fine-tune", '{"samples": [{"inputs": "x", "fineTuningParameters": {"multiplier": %s}}]}'),
        ("rank", "", model + '"loraHyperparameters": {"rank": %s}}}'),
        ("rate", "", model + '"trainingArguments": {"learningRate": %s}}}'),
    ]:
        for number in NUMBERS:
            status, answer = post(room, call_, (body % number).encode())
            room.check(status, answer)
            taken.setdefault(field, set()).update({number} if status in (200, 404) else ())
    assert taken == {
        "temperature": {"1e-400", "-0", "1.5", "1.0"},
        "topK": {"1.0"},
        "topP": {"1e-400", "-0", "1.0"},
        "count": {"1.0"},
        "multiplier": {"1.5", "1.0"},
        "rank": {"1.0"},
        "rate": set(),
    }


def test_of_two_equal_keys_the_last_counts_and_nothing_breaks(room):
    body = b'{"query": "first", "query": {"a": 1}, "query": "last"}'
    said = room.check(*room.send("POST", COMPLETE, body))
    assert said["generatedOutput"] == "echo: last"


# --- prompts, names, ids


@checked
@given(st.text(anything, min_size=1, max_size=300), st.booleans())
@example("\ud800", True)
@example("a\udfff\ud800b", False)
@example("\0" * 10, True)
@example("".join(map(chr, range(1, 0x250))), False)
@example("\u202e\u2066\u200f\ufeff\ufffe\uffff\U0010ffff", True)
@example("x" * schemas.MAX_TEXT_CHARACTERS, True)
@example("x" * 1_000_000, True)
@example("\U0001f99c" * 1_000_000, False)
def test_any_prompt_arrives_as_it_was_written_or_is_refused(room, prompt, escaped):
    status, answer = room.send("POST", COMPLETE, written({"query": prompt}, escaped))
    said = room.check(status, answer)
    right = len(prompt) <= schemas.MAX_TEXT_CHARACTERS and not any("\ud800" <= letter <= "\udfff" for letter in prompt)
    assert (status == 200) == right
    assert not right or said["generatedOutput"] == f"echo: {prompt}"[:1000]


@checked
@given(st.text(anything, max_size=300))
@example("a\0b")
@example("n" * schemas.MAX_NAME_CHARACTERS)
@example("n" * (schemas.MAX_NAME_CHARACTERS + 1))
@example("\u202e")
@example("line\nbreak")
def test_any_name_is_kept_as_it_was_written_or_refused(room, name):
    body = {"model": {"name": name, "baseModelId": BASE_ID}}
    status, answer = post(room, "", written(body, True))
    said = room.check(status, answer, {200, 400})
    if status == 200:
        assert json.loads(room.send("GET", f"/api/models/{said['id']}")[1])["name"] == name
        assert room.send("DELETE", f"/api/models/{said['id']}")[0] == 200


@checked
@given(st.sampled_from(["GET", "DELETE", "PUT", "POST /complete", "POST /fine-tune"]), st.text(anything, max_size=60))
@example("DELETE", "the neighbour's")
@example("GET", "the neighbour's")
@example("POST /complete", "the neighbour's")
@example("POST /fine-tune", "the neighbour's")
def test_any_id_is_unknown(room, what, id_):
    method, _, rest = what.partition(" ")
    id_ = room.theirs if id_ == "the neighbour's" else quote(id_.encode("utf-8", "surrogatepass"), safe="")
    body = {"/complete": b'{"query": "q"}', "/fine-tune": b'{"samples": [{"inputs": "x"}]}'}.get(rest)
    status, answer = room.send(method, f"/api/models/{id_}{rest}", body)
    listed = method == "GET" and status == 200 and not id_.strip("./")  # an empty id is the list
    assert listed or status == 404
    room.check(status, answer)


# --- headers, addresses, and what is no HTTP


@checked
@given(
    st.dictionaries(
        st.sampled_from(
            ["Authorization", "x-gradient-workspace-id", "x-request-id", "Accept", "Accept-Encoding", "Cookie", "Range"]
            + ["Content-Encoding", "Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "If-None-Match", "Origin", "TE"]
            + ["X-HTTP-Method-Override", "Transfer-Encoding", "Expect", "Upgrade", "Host"]
        ),
        latin,
        max_size=6,
    )
)
def test_any_header_is_answered_or_refused(room, headers):
    answer = raw(room, request_bytes("POST", COMPLETE, b'{"query": "q"}', Connection="close", **headers))
    assert answer[9:12] in (b"200", b"400", b"401", b"403", b"501", b"100"), answer
    assert room.neighbour() == room.before


@checked
@given(st.binary(max_size=200), st.booleans())
def test_any_address_is_answered_or_refused(room, target, encoded):
    path = quote(target) if encoded else target.decode("latin-1").translate(dict.fromkeys(range(33), "_"))
    answer = raw(room, request_bytes("GET", f"/api/{path}", Connection="close"))
    assert answer[9:12] in (b"200", b"400", b"404", b"501"), answer
    assert room.neighbour() == room.before


@checked
@given(st.binary(max_size=300), st.integers(0, 200))
def test_what_is_no_http_ends_and_hurts_no_one(room, noise, start):
    valid = request_bytes("POST", COMPLETE, b'{"query": "q"}')
    answer = raw(room, valid[:start] + noise, more=False)
    assert answer[9:12] in (b"", b"200", b"400", b"401", b"403", b"404", b"501"), answer
    assert room.neighbour() == room.before


def raw(room, sent: bytes, more: bool = True) -> bytes:
    """What a server says until it hangs up; it is told that nothing more will come unless there may be more."""
    address = urlsplit(room.url)
    received = b""
    with socket.create_connection((address.hostname, address.port), timeout=SECONDS) as connection:
        try:
            connection.sendall(sent)
            if not more:
                connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65536):
                received += piece
        except ConnectionError:
            pass
    return received


# --- state: two workspaces, any order of calls, some of them on the other's adapters


class Lessons(RuleBasedStateMachine):
    """Two learners work; each has a model of what its own adapters should answer."""

    room: Room
    adapters = Bundle("adapters")
    learners = st.sampled_from(["learner_1", "learner_2"])

    def __init__(self) -> None:
        super().__init__()
        self.expected: dict[str, dict[str, str]] = {"learner_1": {}, "learner_2": {}}

    def send(self, learner: str, method: str, path: str, body=None) -> tuple[int, dict]:
        headers = {**HEADERS, "x-gradient-workspace-id": learner}
        status, answer = self.room.send(method, path, None if body is None else json.dumps(body).encode(), headers)
        return status, json.loads(answer)

    @rule(target=adapters, learner=learners)
    def create(self, learner):
        body = {"model": {"name": learner, "baseModelId": BASE_ID}}
        id_ = self.send(learner, "POST", "/api/models", body)[1]["id"]
        self.expected[learner][id_] = "echo: q"
        return id_

    @rule(id_=adapters, learner=learners, fact=st.text(st.characters(codec="utf-8"), min_size=1, max_size=20))
    def fine_tune(self, id_, learner, fact):
        body = {"samples": [{"inputs": fact}]}
        status, _ = self.send(learner, "POST", f"/api/models/{id_}/fine-tune", body)
        own = id_ in self.expected[learner]
        assert status == ((400 if "NaN" in fact else 200) if own else 404)
        if status == 200:
            self.expected[learner][id_] = fact

    @rule(id_=adapters, learner=learners, body=values)
    def send_rubbish(self, id_, learner, body):
        for call_ in ("complete", "fine-tune"):
            assert self.send(learner, "POST", f"/api/models/{id_}/{call_}", {"rubbish": body})[0] == 400

    @rule(id_=consumes(adapters), learner=learners)
    def delete(self, id_, learner):
        own = self.expected[learner].pop(id_, None)
        assert self.send(learner, "DELETE", f"/api/models/{id_}")[0] == (200 if own else 404)

    @invariant()
    def everyone_has_their_own_adapters_and_answers(self):
        for learner, expected in self.expected.items():
            _, listed = self.send(learner, "GET", "/api/models")
            assert [model["id"] for model in listed["models"][len(ALL_MODELS) :]] == list(expected)
            for id_, answer in expected.items():
                said = self.send(learner, "POST", f"/api/models/{id_}/complete", {"query": "q"})[1]
                assert said["generatedOutput"] == answer
        assert self.room.neighbour() == self.room.before

    def teardown(self):
        for learner, expected in self.expected.items():
            for id_ in expected:
                self.send(learner, "DELETE", f"/api/models/{id_}")


def test_in_any_order_of_calls_everyone_keeps_what_they_have(room):
    Lessons.room = room
    run_state_machine_as_test(
        Lessons, settings=settings(checked, max_examples=max(3, EXAMPLES // 20), stateful_step_count=15)
    )
