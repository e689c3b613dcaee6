from __future__ import annotations

import re
import stat
from pathlib import Path

from bqngui.local_admin import LocalAccount, LocalAdmin, create, set_password
from bqngui.passwords import Passwords


def test_the_first_start_makes_a_code_that_is_kept_as_a_hash_only(tmp_path: Path) -> None:
    code = create(tmp_path)
    assert re.fullmatch(r"[A-HJ-NP-Z2-9]{5}(-[A-HJ-NP-Z2-9]{5}){3}", code)
    account = LocalAdmin(tmp_path).account()
    assert account is not None
    assert account.one_time
    assert Passwords().agrees(account.password_hash, code)
    file = tmp_path / "local_admin.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert code not in file.read_text()


def test_a_password_takes_the_place_of_the_code(tmp_path: Path) -> None:
    create(tmp_path)
    set_password(tmp_path, "correct horse battery")
    account = LocalAdmin(tmp_path).account()
    assert account is not None
    assert not account.one_time
    assert Passwords().agrees(account.password_hash, "correct horse battery")


def test_a_new_code_opens_a_server_whose_password_was_lost(tmp_path: Path) -> None:
    set_password(tmp_path, "correct horse battery")
    code = create(tmp_path)
    account = LocalAdmin(tmp_path).account()
    assert account is not None
    assert Passwords().agrees(account.password_hash, code)


def test_a_missing_or_damaged_file_is_no_account(tmp_path: Path) -> None:
    admin = LocalAdmin(tmp_path)
    assert admin.account() is None
    for damage in ("", "{", "[]", "{}", '{"hash": "x"}'):
        (tmp_path / "local_admin.json").write_text(damage)
        assert admin.account() is None


def test_an_interrupted_write_does_not_stand_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "local_admin.new").write_text("half a fi")
    account = LocalAccount("hash", one_time=False)
    LocalAdmin(tmp_path).store(account)
    assert LocalAdmin(tmp_path).account() == account
