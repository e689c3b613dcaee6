import pytest

from configrepo.checks import check
from configrepo.errors import UnreadableConfig
from configrepo.layout import files_of
from configrepo.parser import read
from configrepo.sealing import Keyring
from configrepo.secrets import (
    SEALED_PREFIX,
    open_document,
    reseal_files,
    seal_document,
    secrets_of,
)
from configrepo.writer import canonical_text

TEXT = (
    "user noc\n role operator\n password hunter1\n"
    "snmp\n community hunter2\n"
    'api rest\n user billing password "hunter 3"\n key hunter4\n'
    "radius shared Secret hunter5 retry 3\n psk hunter6\n"
)


def hashed(clear: str) -> str:
    return f"$argon2id${clear[::-1]}"


def sealed(text: str, ring: Keyring) -> str:
    return canonical_text(seal_document(read(text).document, "3", ring, hashed))


def test_every_secret_is_sealed_at_its_place() -> None:
    text = sealed(TEXT, Keyring.create())
    assert "hunter" not in text
    assert text.count(SEALED_PREFIX) == 6
    assert "radius shared Secret sealed:1:" in text
    assert " retry 3\n" in text


def test_opening_gives_the_clear_words_and_the_hash_of_a_password() -> None:
    ring = Keyring.create()
    document = read(sealed(TEXT, ring)).document
    clear = canonical_text(open_document(document, "3", ring))
    expected = TEXT.replace("password hunter1", f"password {hashed('hunter1')}")
    assert clear == canonical_text(read(expected).document)


def test_sealing_what_is_sealed_changes_nothing() -> None:
    ring = Keyring.create()
    once = sealed(TEXT, ring)
    assert sealed(once, ring) == once


def test_a_former_key_is_replaced_by_the_current_one() -> None:
    former = Keyring.create()
    ring = former.rotated()
    text = sealed(TEXT, former)
    again = sealed(text, ring)
    assert former.current_key_id not in again
    assert again == sealed(TEXT, ring)
    files = files_of(read(text).document, "3", common_undefined=())
    files["cluster/allowed_signers"] = "not a block"
    assert reseal_files(files, ring) == {
        **files_of(read(again).document, "3"),
        "cluster/allowed_signers": "not a block",
    }


def test_an_undefined_secret_is_opened_at_another_server_and_when_marked_common() -> None:
    ring = Keyring.create()
    document = seal_document(read("radius key hunter\n psk x\n").document, "3", ring, hashed)
    for server in ("3", "4"):
        assert "hunter" in canonical_text(open_document(document, server, ring))
    common = files_of(document, "3", common_undefined={document.blocks[0].text})
    assert list(common) == ["common/undefined.conf"]
    assert reseal_files(common, ring) == common


def test_a_token_that_no_key_opens_is_an_error_at_its_place() -> None:
    text = sealed(TEXT, Keyring.create())
    ring = Keyring.create()
    for change in (
        lambda: seal_document(read(text).document, "3", ring, hashed),
        lambda: open_document(read(text).document, "3", ring),
        lambda: reseal_files(files_of(read(text).document, "3"), ring),
    ):
        with pytest.raises(UnreadableConfig) as caught:
            change()
        assert not any(SEALED_PREFIX in problem.message for problem in caught.value.problems)
        assert all(problem.line and problem.column > 1 for problem in caught.value.problems)
    with pytest.raises(UnreadableConfig) as caught:
        seal_document(read(text).document, "3", ring, hashed)
    assert [(p.path, p.key) for p in caught.value.problems][:2] == [
        ("common/user/noc.conf", "password"),
        ("common/snmp.conf", "community"),
    ]


def test_a_token_belongs_to_its_place() -> None:
    ring = Keyring.create()
    text = sealed("snmp\n community x\n", ring)
    moved = text.replace("snmp\n community", "api rest\n user x password")
    with pytest.raises(UnreadableConfig):
        open_document(read(moved).document, "0", ring)


def test_the_places_of_secrets_can_be_listed() -> None:
    files = files_of(read(sealed(TEXT, Keyring.create())).document, "3")
    files["servers/3/comments.conf"] = "comments\n header password\n"
    assert sorted(secrets_of(files)) == [
        ("common/api/rest.conf", "key"),
        ("common/api/rest.conf", "user billing"),
        ("common/snmp.conf", "community"),
        ("common/user/noc.conf", "password"),
        ("servers/3/undefined.conf", "psk"),
        ("servers/3/undefined.conf", "radius shared Secret retry 3"),
    ]


def test_sealed_documents_are_checked_like_others() -> None:
    document = seal_document(read(TEXT).document, "3", Keyring.create(), hashed)
    assert check(document) == ()
