"""Secrets: never shown, and read again when their file is rotated."""

import copy
import os
import pickle
import traceback
from pathlib import Path

import pytest

from clients.auth import BadSecret, FileSecret, Secret
from clients.auth.secret import not_a_signing_key, not_a_token, not_for_header, not_text
from tests.testkit.clock import ManualClock


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "crm"
    path.write_text("first\n")
    return path


def rotate(file: Path, text: str) -> None:
    """As a careful tool does it: beside, then in its place."""
    beside = file.with_name("beside")
    beside.write_text(text)
    beside.rename(file)


def test_a_secret_is_shown_by_nothing_but_reveal(file: Path) -> None:
    for secret in (Secret("hush"), FileSecret(file, not_text, ManualClock(), print)):
        shown = f"{secret} {secret!r} {[secret]} {secret:}"
        assert "hush" not in shown
        assert "first" not in shown
        for take in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match="not copied or pickled"):
                take(secret)


def test_a_line_break_at_the_end_of_the_file_is_not_part_of_it(file: Path) -> None:
    assert FileSecret(file, not_text, ManualClock(), print).reveal() == "first"
    file.write_text("first\r\n")
    assert FileSecret(file, not_text, ManualClock(), print).reveal() == "first"


def test_a_rotated_file_is_read_again_within_a_second(file: Path) -> None:
    clock, told = ManualClock(), list[str]()
    secret = FileSecret(file, not_text, clock, told.append)
    rotate(file, "second")
    assert secret.reveal() == "first"
    clock.jump(1)
    assert secret.reveal() == "second"
    assert told == []


def test_a_link_that_is_turned_to_another_file_is_a_rotation(tmp_path: Path) -> None:
    for version in ("v1", "v2"):
        (tmp_path / version).write_text(version)
        os.utime(tmp_path / version, (0, 0))
    link = tmp_path / "token"
    link.symlink_to("v1")
    clock = ManualClock()
    secret = FileSecret(link, not_text, clock, print)
    link.unlink()
    link.symlink_to("v2")
    clock.jump(1)
    assert secret.reveal() == "v2"


def test_a_file_that_goes_bad_is_told_once_and_the_last_good_value_stays(file: Path) -> None:
    clock, told = ManualClock(), list[str]()
    secret = FileSecret(file, not_for_header, clock, told.append)
    file.unlink()
    for _ in range(3):
        clock.jump(1)
        assert secret.reveal() == "first"
    assert told == [f"{file}: cannot be read: No such file or directory; the last good one stays in use"]
    file.write_text("s3cret\ns3cret")
    for _ in range(3):
        clock.jump(1)
        assert secret.reveal() == "first"
    assert len(told) == 2
    assert "header cannot carry" in told[1]
    assert "s3cret" not in told[1]
    rotate(file, "third")
    clock.jump(1)
    assert secret.reveal() == "third"
    file.unlink()
    clock.jump(1)
    assert secret.reveal() == "third"
    assert len(told) == 3


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"hush\xff", "is not UTF-8 text"),
        (b"hush\nhush\n", "a header cannot carry its line break"),
        (b"hush" * 20_000, "is larger than 65536 bytes"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_at_the_start(tmp_path: Path, data: bytes | None, expected: str) -> None:
    file = tmp_path / "crm"
    if data is not None:
        file.write_bytes(data)
    with pytest.raises(BadSecret, match=expected) as caught:
        FileSecret(file, not_for_header, ManualClock(), print)
    assert "hush" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("reason", "good", "bad"),
    [
        (not_for_header, ["a b", "~!"], ["", "a\n", "a\x7f", "ä", " a", "a "]),
        (not_a_token, ["a.b-c_d~e+f/g=="], ["", "Bearer a", "a\n"]),
        (not_text, ["pässword 1", " a "], ["", "a\nb", "a\x00"]),
        (not_a_signing_key, ["0123456789abcdef"], ["", "short", "0123456789abcde\n"]),
    ],
)
def test_what_a_value_may_be_depends_on_where_it_goes(reason: object, good: list[str], bad: list[str]) -> None:
    assert callable(reason)
    assert [reason(value) for value in good] == [None] * len(good)
    assert all(reason(value) for value in bad)
