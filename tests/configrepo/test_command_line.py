import argparse
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from configrepo.command_line import add_arguments, config_check, merge_documents, run
from configrepo.parser import MAX_BLOCKS, read, read_partly
from configrepo.writer import canonical_text
from tests.support.configurations import EXAMPLES, configuration

FACTORY, BQN0, BQN1, BQN2 = (
    str(EXAMPLES / f"{name}.conf") for name in ("factory", "bqn0-v1", "bqn1-v1", "bqn2-v1")
)


@pytest.fixture(name="told")
def _told(capfdbinary: pytest.CaptureFixture[bytes]) -> pytest.CaptureFixture[bytes]:
    return capfdbinary


def command(*words: str) -> int:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return run(parser.parse_args(words))


def put(folder: Path, name: str, text: str | bytes) -> str:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


def merged_json(told: pytest.CaptureFixture[bytes], *words: str) -> tuple[int, Any]:
    code = command("merge", "--json", *words)
    return code, json.loads(told.readouterr().out)


def test_check_tells_problems_with_their_places(
    tmp_path: Path, told: pytest.CaptureFixture[bytes]
) -> None:
    file = put(tmp_path, "x.conf", "profile vlan v\n vlan 5000\nwire 1 access a internet\n")
    assert command("check", file) == 1
    assert told.readouterr().out.decode().splitlines() == [
        f"{file}:2:7: error: 5000 is out of range; use a number from 1 to 4094",
        f"{file}:3:25: error: found the end of the line, expected an interface name"
        " (without blanks, at most 48 characters, escaped at most 64 bytes)",
    ]


def test_check_is_content_with_hints(told: pytest.CaptureFixture[bytes]) -> None:
    assert command("check", BQN0) == 0
    assert b": hint: no rule uses" in told.readouterr().out


def test_check_names_the_place_of_what_may_be_a_secret_in_clear(
    tmp_path: Path, told: pytest.CaptureFixture[bytes]
) -> None:
    file = put(tmp_path, "x.conf", "portal example\n apikey hunter2hunter2\n")
    assert command("check", file) == 0
    output = told.readouterr().out.decode()
    assert f"{file}:2:9: warning: look at word 2 of this undefined line" in output
    assert "hunter2" not in output


def test_a_file_that_cannot_be_opened_is_told(
    tmp_path: Path, told: pytest.CaptureFixture[bytes]
) -> None:
    for words in (
        ("check", str(tmp_path)),
        ("canonical", str(tmp_path / "none")),
        ("merge", "--base", FACTORY, BQN0, str(tmp_path / "none")),
    ):
        assert command(*words) == 2
        output = told.readouterr()
        assert output.out == b""
        assert b"cannot be opened" in output.err


def test_canonical_prints_a_text_that_is_its_own_canonical_text(
    tmp_path: Path, told: pytest.CaptureFixture[bytes]
) -> None:
    assert command("canonical", BQN0) == 0
    once = told.readouterr().out
    assert command("canonical", put(tmp_path, "once.conf", once)) == 0
    assert told.readouterr().out == once
    assert command("canonical", put(tmp_path, "bad.conf", "wire")) == 2
    assert told.readouterr().out == b""


def test_text_goes_out_as_utf8(tmp_path: Path, told: pytest.CaptureFixture[bytes]) -> None:
    assert command("canonical", put(tmp_path, "u.conf", "! ü\nsnmp\n contact ñ\n")) == 0
    assert told.readouterr().out.decode() == "! ü\nsnmp\n contact ñ\n!\nend\n"


def test_the_vendors_pair_is_merged_without_a_question(
    told: pytest.CaptureFixture[bytes],
) -> None:
    assert command("merge", "--base", FACTORY, BQN0, BQN1) == 0
    text = told.readouterr().out.decode()
    assert canonical_text(read(text).document) == text
    assert " server 216.229.0.50\n" in text
    assert "hostname bqn0\n" in text
    assert "bqn1" not in text
    code, found = merged_json(told, "--base", FACTORY, BQN0, BQN1)
    assert code == 0
    assert found["merged"] == text
    assert found["disagreements"] == []
    assert {"path": "servers/b/hostname.conf", "text": "hostname bqn1\n"} in found[
        "server_specific"
    ]
    assert all(one["path"].startswith("servers/b/") for one in found["server_specific"])
    assert {
        "path": "common/ntp.conf",
        "key": "server 216.229.0.50",
        "base": None,
        "a": None,
        "b": "server 216.229.0.50",
        "result": "server 216.229.0.50",
        "reason": "only-b",
    } in found["settled"]


def test_disagreements_end_with_one_and_no_text(
    tmp_path: Path, told: pytest.CaptureFixture[bytes]
) -> None:
    assert command("merge", "--base", FACTORY, BQN0, BQN1) == 0
    cluster = put(tmp_path, "cluster.conf", told.readouterr().out)
    assert command("merge", "--base", FACTORY, cluster, BQN2) == 1
    output = told.readouterr()
    assert output.out == b""
    assert b"peak-time" in output.err
    code, found = merged_json(told, "--base", FACTORY, cluster, BQN2)
    assert code == 1
    assert found["merged"] is None
    assert [(one["path"], one["key"]) for one in found["disagreements"]] == [
        ("common/policy/rate/rate-20Mbps.conf", "downlink rate"),
        ("common/policy/rate/rate-20Mbps.conf", "uplink rate"),
        ("common/profile/time/peak-time.conf", "hours"),
    ]
    changed = {one["path"] for one in found["settled"] if one["reason"] == "only-b" and one["a"]}
    assert changed == {"common/clock.conf", "common/dos.conf"}


def test_unreadable_files_end_with_two_and_all_their_problems(
    tmp_path: Path, told: pytest.CaptureFixture[bytes]
) -> None:
    bad, worse = put(tmp_path, "bad", "wire"), put(tmp_path, "worse", 'x\n y\n \x01\n z "\n')
    assert command("merge", "--base", FACTORY, bad, worse) == 2
    output = told.readouterr()
    assert output.out == b""
    assert [line.split(b": ")[0].decode() for line in output.err.splitlines()] == [
        f"{bad}:1:5",
        f"{worse}:3:2",
        f"{worse}:4:4",
    ]


def test_wrong_usage_ends_with_two(told: pytest.CaptureFixture[bytes]) -> None:
    for words in ((), ("merge", "a", "b"), ("merge", "--base", "x", "a"), ("frobnicate",)):
        with pytest.raises(SystemExit) as caught:
            command(*words)
        assert caught.value.code == 2
    assert told.readouterr().out == b""


def test_checks_do_not_stop_a_merge(tmp_path: Path, told: pytest.CaptureFixture[bytes]) -> None:
    a = put(tmp_path, "a", "profile vlan v\n vlan 5000\nrules rate\n rule policy gone\n")
    assert command("merge", "--base", put(tmp_path, "base", ""), a, a) == 0
    assert b"vlan 5000" in told.readouterr().out


def test_a_merge_whose_text_could_not_be_read_is_an_error(
    tmp_path: Path, told: pytest.CaptureFixture[bytes]
) -> None:
    base = put(tmp_path, "base", "")
    a, b = put(tmp_path, "a", "policy rate Gold\n"), put(tmp_path, "b", "policy rate gold\n")
    assert command("merge", "--base", base, a, b) == 2
    output = told.readouterr()
    assert output.out == b""
    assert b"differs only in capital letters" in output.err
    many = [
        put(
            tmp_path,
            f"many-{side}",
            "".join(f"user {side}{n}\n" for n in range(MAX_BLOCKS * 2 // 3)),
        )
        for side in "ab"
    ]
    assert command("merge", "--base", base, *many) == 2
    assert b"20000 blocks" in told.readouterr().err


def test_comments_of_both_sides_are_kept_wherever_they_stand(
    tmp_path: Path, told: pytest.CaptureFixture[bytes]
) -> None:
    base = put(tmp_path, "base", "! both\n!\nntp\n server 192.0.2.1\n")
    a = put(tmp_path, "a", "! both\n! head a\n!\n! on a\nntp\n server 192.0.2.1\n! end a\n")
    b = put(tmp_path, "b", "! both\n!\nntp\n! on b\n server 192.0.2.1\nend\n! end b\n")
    assert command("merge", "--base", base, a, b) == 0
    assert told.readouterr().out.decode() == (
        "!\n! both\n! head a\n!\n! on a\nntp\n ! on b\n server 192.0.2.1\n!\n"
        "! end a\n! end b\n!\nend\n"
    )


def test_undefined_parts_stay_with_their_server(
    tmp_path: Path, told: pytest.CaptureFixture[bytes]
) -> None:
    base = put(tmp_path, "base", "ntp\n")
    a = put(tmp_path, "a", "bypass on\nntp\n odd a\n")
    b = put(tmp_path, "b", "radius x\n retry 3\nntp\n odd b\n")
    code, found = merged_json(told, "--base", base, a, b)
    assert code == 0
    assert found["merged"] == "ntp\n odd a\n odd b\n!\nbypass on\n!\nend\n"
    assert found["server_specific"] == [
        {"path": "servers/b/undefined.conf", "text": "radius x\n retry 3\n"}
    ]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(0, 2**32))
def test_whole_texts_merge_into_a_canonical_text(seed: int) -> None:
    base, a, b = (read_partly(configuration(seed + n, 5)).document for n in range(3))
    outcome = merge_documents(base, a, b)
    if outcome.text is not None:
        assert canonical_text(read(outcome.text).document) == outcome.text
    assert merge_documents(base, a, a).text == canonical_text(a)


def test_no_secret_is_shown_in_messages(tmp_path: Path, told: pytest.CaptureFixture[bytes]) -> None:
    file = put(tmp_path, "x", "snmp\n community hunter1\napi rest\n user x password a hunter2\n")
    assert config_check(file) == 1
    output = told.readouterr()
    assert b"hunter" not in output.out + output.err
