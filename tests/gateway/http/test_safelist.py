"""The manifest: what is wrong with it is said with its place, and a newer one takes over when it is good."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.http.documents import DocumentCache
from gateway.http.errors import OperationNotListed
from gateway.http.safelist import ManifestError, Safelist, read_manifest
from gateway.persisting import SafelistConfig
from tests.gateway.http.support import schema
from tests.testkit.clock import ManualClock
from tests.testkit.waiting import until_true

HELLO = "query Hello {\n  hello\n}"


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def entry(body: str = HELLO, **changes: Any) -> dict[str, Any]:
    return {"id": sha(body), "name": "Hello", "type": "query", "body": body, **changes}


def apollo(*operations: Any) -> dict[str, Any]:
    return {"format": "apollo-persisted-query-manifest", "version": 1, "operations": list(operations)}


def written(folder: Path, content: object) -> Path:
    path = folder / "manifest.json"
    fresh = folder / "manifest.new"
    fresh.write_text(content if isinstance(content, str) else json.dumps(content))
    fresh.rename(path)
    return path


def test_an_apollo_manifest_has_texts_by_identifier(tmp_path: Path) -> None:
    manifest = read_manifest(written(tmp_path, apollo(entry(), entry(id="custom-1", clientName="web"))))
    assert manifest.texts == {sha(HELLO): HELLO, "custom-1": HELLO}


@pytest.mark.parametrize("identifier", [sha(HELLO), f"sha256:{sha(HELLO)}", "5d41402abc4b2a76b9719d911017c592"])
def test_a_mapping_of_identifiers_to_texts_is_a_manifest_too(tmp_path: Path, identifier: str) -> None:
    manifest = read_manifest(written(tmp_path, {identifier: HELLO}))
    assert manifest.texts == {identifier.removeprefix("sha256:"): HELLO}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "is not JSON: Expecting property name"),
        ("[" * 100_000, "is not JSON: maximum recursion depth"),
        ([], "expected a JSON object"),
        (
            {"format": "other", "version": 1},
            'expected "format": "apollo-persisted-query-manifest", "version": 1; found',
        ),
        ({**apollo(), "version": 2}, "found 'apollo-persisted-query-manifest', version 2"),
        ({**apollo(), "operations": {}}, "operations: expected a list, found an object"),
        (apollo("text"), "operations[0]: expected an object, found text"),
        (apollo(entry(), {"id": "x"}), "operations[1].name: expected text, found nothing"),
        (apollo(entry(body="query {", id="x")), "operations[0].body: line 1: Syntax Error: Expected Name"),
        (apollo(entry(body="{a" * 3000, id="x")), "operations[0].body: "),
        (apollo(entry(id="0" * 64)), f"operations[0].id: the hash is not that of the text, which is {sha(HELLO)}"),
        (apollo(entry(id="")), "operations[0].id: an identifier is empty"),
        (apollo(entry(name="Other")), "operations[0].name: says 'Other'; the operation's name is 'Hello'"),
        (apollo(entry(type="mutation")), "operations[0].type: says 'mutation'; the operation is a query"),
        (apollo(entry("{ a } query B { b }")), "operations[0].body: expected one operation, found 2"),
        (apollo(entry(), entry()), f"operations[1]: the identifier '{sha(HELLO)}' is there twice"),
        ({"a": 1}, "['a']: expected the text of a document, found a number"),
        ({sha("x"): HELLO}, f"['{sha('x')}']: the hash is not that of the text"),
        ('{"a": "{ hello }", "a": "{ tree { hello } }"}', "['a']: the identifier 'a' is there twice"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, content: object, reason: str) -> None:
    path = written(tmp_path, content)
    with pytest.raises(ManifestError) as caught:
        read_manifest(path)
    assert str(caught.value).startswith(f"{path}: the manifest cannot be used\n")
    assert reason in caught.value.reasons[0]


def test_everything_wrong_is_said_at_once_up_to_twenty(tmp_path: Path) -> None:
    with pytest.raises(ManifestError) as caught:
        read_manifest(written(tmp_path, {f"id-{i}": "{" for i in range(30)}))
    assert len(caught.value.reasons) == 20


@pytest.mark.parametrize("content", [None, b"\xff"])
def test_a_file_that_cannot_be_read_is_said(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "manifest.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ManifestError, match=r"cannot be read: No such file|is not UTF-8 text"):
        read_manifest(path)


def enforced(path: Path, **changes: Any) -> Safelist:
    return Safelist(SafelistConfig(str(path), "enforce", **changes), ManualClock())


@pytest.mark.parametrize("text", [HELLO, "query Hello{hello}", "# of the start page\nquery Hello {,\n\thello }"])
def test_layout_and_comments_make_no_other_operation(tmp_path: Path, text: str) -> None:
    safelist = enforced(written(tmp_path, apollo(entry())))
    assert [safelist.admit(text), safelist.admit(text)] == [True, True]


@pytest.mark.parametrize(
    "text", ["query Hello { hello hello }", "query Other { hello }", "query Hello { hello", HELLO + "\n" * 1000, ""]
)
def test_any_other_text_is_refused(tmp_path: Path, text: str) -> None:
    safelist = enforced(written(tmp_path, apollo(entry())))
    for _ in range(2):
        with pytest.raises(OperationNotListed):
            safelist.admit(text)


def test_an_empty_manifest_admits_nothing(tmp_path: Path) -> None:
    with pytest.raises(OperationNotListed):
        enforced(written(tmp_path, apollo())).admit(HELLO)


async def test_a_newer_manifest_takes_over_and_a_broken_one_does_not(tmp_path: Path) -> None:
    path = written(tmp_path, {"a": "{ hello }"})
    safelist = enforced(path)
    assert not await safelist.reload()
    written(tmp_path, {"b": "{ tree { hello } }"})
    assert await safelist.reload()
    assert (safelist.text("a"), safelist.text("b"), safelist.trouble()) == (None, "{ tree { hello } }", "")
    written(tmp_path, {"b": "{"})
    with capture_logs() as logs:
        assert [await safelist.reload(), await safelist.reload()] == [False, False]
    assert [log["event"] for log in logs] == ["manifest refused"]
    assert (safelist.text("b"), "Syntax Error" in safelist.trouble()) == ("{ tree { hello } }", True)
    path.unlink()
    assert not await safelist.reload()
    assert "No such file" in safelist.trouble()
    written(tmp_path, {"c": "{ hello }"})
    assert await safelist.reload()
    assert (safelist.text("c"), safelist.trouble()) == ("{ hello }", "")


async def test_the_file_is_looked_at_again_and_again(tmp_path: Path) -> None:
    path = written(tmp_path, {"a": "{ hello }"})
    clock = ManualClock()
    async with Safelist(SafelistConfig(str(path), poll_interval_s=5.0), clock) as safelist:
        written(tmp_path, {"b": "{ hello }"})
        await clock.wait_for_sleepers(1)
        await clock.advance(5.0)
        await until_true(lambda: safelist.text("b") is not None, "the newer manifest")


async def test_without_an_interval_the_file_is_read_once(tmp_path: Path) -> None:
    async with enforced(written(tmp_path, {"a": "{ hello }"}), poll_interval_s=None) as safelist:
        assert safelist.text("a") == "{ hello }"


def test_an_unknown_operation_is_told_once_and_a_thousand_at_most(tmp_path: Path) -> None:
    documents = DocumentCache(schema())
    safelist = Safelist(SafelistConfig(str(written(tmp_path, {"a": "{ hello }"}))), ManualClock())
    with capture_logs() as logs:
        for text in ["query Known { hello }"] * 3 + [f"{{ a{i}: hello }}" for i in range(1_200)]:
            assert not safelist.admit(text)
            safelist.tell(documents.get(text))
    assert len(logs) == 1_001
    assert logs[0]["operation"] == "Known"
    assert logs[0]["sha256"] == sha("query Known { hello }")
    assert logs[1]["operation"] == "(without a name)"
    assert logs[-1]["event"] == "more operations are not in the safelist; no more of them are told"


async def test_a_file_replaced_within_the_same_size_and_time_is_seen(tmp_path: Path) -> None:
    path = written(tmp_path, {"a": "{ hello }"})
    at = path.stat().st_mtime_ns
    safelist = enforced(path)
    written(tmp_path, {"b": "{ hello }"})
    os.utime(path, ns=(at, at))
    assert await safelist.reload()
