import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configrepo.errors import UnreadableConfig
from configrepo.layout import (
    document_of,
    effective_text,
    files_of,
    holds_many,
    parse_block_file,
    path_allowed,
    read_files,
    section_of,
)
from configrepo.parser import read, read_partly
from configrepo.writer import canonical_text
from tests.support.configurations import configuration, document


def test_each_block_has_a_file_that_begins_with_its_opener() -> None:
    files = files_of(document("bqn0-v1"), "0")
    assert files["common/profile/time/peak-time.conf"] == (
        "profile time peak-time\n days mon-sun\n hours 19:00-23:00\n"
    )
    assert files["servers/0/wire.conf"] == (
        "wire 1 access en1s0f0 internet en1s0f1\nwire 2 access en2s0f0 internet en2s0f1\n"
    )
    assert files["servers/0/interface/management.conf"].startswith("interface management en0o1\n")
    assert files["servers/0/comments.conf"] == (
        'comments\n header "BQN configuration"\n header "release R5.0"\n'
    )
    assert read_files(files) == ()


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32))
def test_a_document_survives_its_way_through_the_repository(seed: int) -> None:
    before = read_partly(configuration(seed)).document
    files = files_of(before, "7")
    assert read_files(files) == ()
    assert all(path_allowed(path) for path in files)
    assert document_of(files, "7") == before
    assert effective_text(files, "7") == canonical_text(before)
    assert files_of(document_of(files, "7"), "7") == files


def test_the_effective_configuration_is_the_common_part_and_the_servers_own() -> None:
    files = {
        "common/ntp.conf": "ntp\n server 192.0.2.1\n",
        "servers/0/hostname.conf": "hostname zero\n",
        "servers/1/hostname.conf": "hostname one\n",
        "cluster/servers/0.conf": "server 0\n name zero\n",
    }
    assert effective_text(files, "1") == "ntp\n server 192.0.2.1\n!\nhostname one\n!\nend\n"


def test_undefined_blocks_are_the_servers_own_unless_marked_common() -> None:
    undefined = read("radius x\n retry 3\nbypass 1\n").document
    assert files_of(undefined, "3", common_undefined={"radius x"}) == {
        "common/undefined.conf": "radius x\n retry 3\n",
        "servers/3/undefined.conf": "bypass 1\n",
    }


def test_an_undefined_block_that_is_common_and_own_is_one_block() -> None:
    files = {
        "common/undefined.conf": "radius x\n retry 3\n a\n",
        "servers/3/undefined.conf": "radius x\n b\n a\n",
    }
    assert effective_text(files, "3") == "radius x\n retry 3\n a\n b\n!\nend\n"


@pytest.mark.parametrize(
    "path",
    [
        "common/clock.conf",
        "common/api/rest.conf",
        "common/policy/rate/a%2Fb.conf",
        "common/undefined.conf",
        "servers/0/wire.conf",
        "servers/255/interface/management.conf",
        "servers/255/interface/en0.conf",
        "servers/9/comments.conf",
        "servers/9/undefined.conf",
        "cluster/servers/0.conf",
        "cluster/servers/255.conf",
        "cluster/allowed_signers",
    ],
)
def test_paths_that_this_program_writes_are_allowed(path: str) -> None:
    assert path_allowed(path)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "README",
        "common/other.conf",
        "common/policy/rate/.conf",
        "common/policy/rate/.git.conf",
        "common/policy/rate/%61.conf",
        "common/policy/rate/a/b.conf",
        "common/policy/rate/../x.conf",
        f"common/policy/rate/{'x' * 49}.conf",
        "common/policy/rate/a.conf\n",
        "common/policy/rate/a.txt",
        "common/policy/monitoring/a.conf",
        "common/hostname.conf",
        "servers/256/wire.conf",
        "servers/01/wire.conf",
        "servers/a/wire.conf",
        "servers/٣/wire.conf",
        "servers/0/clock.conf",
        "servers/0/interface/Management.conf",
        "servers/0",
        "cluster/servers/256.conf",
        "cluster/servers/00.conf",
        "cluster/servers/x.conf",
        ".gitattributes",
        "common/.gitmodules",
    ],
)
def test_other_paths_are_not(path: str) -> None:
    assert not path_allowed(path)


def test_files_that_do_not_fit_their_path_are_told() -> None:
    problems = read_files(
        {
            "common/ntp.conf": "snmp\n",
            "common/snmp.conf": "snmp\nntp\n",
            "common/dos.conf": "",
            "common/policy/rate/a.conf": "policy rate a\n acm maybe\n",
            "common/x.conf": "x\n",
            "cluster/servers/1.conf": "server 2\n",
            "servers/1/comments.conf": "comments\n other x\n",
            "servers/2/comments.conf": 'comments\n header "x\n',
            "servers/3/comments.conf": "other\n",
            "cluster/allowed_signers": "anything",
        }
    )
    assert [problem.path for problem in problems] == [
        "cluster/servers/1.conf",
        "common/dos.conf",
        "common/ntp.conf",
        "common/policy/rate/a.conf",
        "common/snmp.conf",
        "common/x.conf",
        "servers/1/comments.conf",
        "servers/2/comments.conf",
        "servers/3/comments.conf",
    ]


def test_a_block_file_keeps_comments_wherever_they_stand() -> None:
    (block,) = parse_block_file("common/ntp.conf", "! a\n!\n! b\nntp\n server 192.0.2.1\n! c\n")
    assert block.comments == ("a", "b", "c")
    with pytest.raises(UnreadableConfig):
        parse_block_file("common/ntp.conf", "! only a comment\n")


def test_members_are_known_under_cluster_only() -> None:
    (block,) = parse_block_file("cluster/servers/1.conf", "server 1\n state active\n")
    assert block.names == ("1",)
    assert read("server 1\n state active\n").document.blocks[0].row is None


def test_paths_have_a_section_and_tell_whether_they_hold_many_blocks() -> None:
    assert section_of("common/policy/rate/x.conf") == "Rates, flows, monitoring"
    assert section_of("servers/0/interface/en0.conf") == "Interfaces"
    assert section_of("servers/0/undefined.conf") == "Undefined"
    assert holds_many("servers/0/wire.conf")
    assert not holds_many("servers/0/hostname.conf")
