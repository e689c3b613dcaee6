"""Users and tokens are read from, and written to, the blocks of the configuration."""

from __future__ import annotations

from datetime import date

import pytest

from scheduler.accounts import (
    find_user,
    holder_of,
    path_of_user,
    read_user,
    rewritten,
    token_digest,
    users_of,
)
from scheduler.views import Role

TOKEN = "bqn_secret-of-the-auditor"
FILES = {
    "common/user/audit.conf": (
        "user audit\n role viewer\n"
        f" token clone sha256 {token_digest(TOKEN)} expires 2026-12-31\n"
        f" token old sha256 {token_digest('old')} expires 2026-01-01\n"
    ),
    "common/user/noc.conf": "user noc\n role operator\n password sealed:1:k:AAAA\n",
    "common/ntp.conf": "ntp\n server 192.0.2.1\n",
}
TODAY = date(2026, 11, 22)


def test_users_are_listed_with_role_and_tokens() -> None:
    audit, noc = users_of(FILES)
    assert (audit.name, audit.role, audit.password) == ("audit", Role.VIEWER, None)
    assert [token.name for token in audit.view.tokens] == ["clone", "old"]
    assert noc.view.has_password
    assert find_user(FILES, "nobody") is None


@pytest.mark.parametrize(
    ("token", "today", "holder"),
    [
        (TOKEN, TODAY, "audit"),
        (TOKEN, date(2026, 12, 31), "audit"),
        (TOKEN, date(2027, 1, 1), None),
        ("old", TODAY, None),
        ("wrong", TODAY, None),
        ("", TODAY, None),
    ],
)
def test_a_token_is_good_until_the_end_of_its_last_day(
    token: str, today: date, holder: str | None
) -> None:
    found = holder_of(FILES, token, today)
    assert (found.name if found else None) == holder


def test_only_the_named_children_are_replaced() -> None:
    user = read_user(FILES["common/user/audit.conf"])
    text = rewritten(user, {"role": "role operator", "token old": None, "password": None})
    again = read_user(text)
    assert again.role is Role.OPERATOR
    assert [token.name for token in again.tokens] == ["clone"]


def test_a_token_name_is_not_a_prefix_of_another() -> None:
    user = read_user(
        "user a\n token x sha256 00 expires 2026-01-01\n token xy sha256 11 expires 2026-01-01\n"
    )
    assert [t.name for t in read_user(rewritten(user, {"token x": None})).tokens] == ["xy"]


def test_a_strange_name_stays_inside_the_folder() -> None:
    assert path_of_user("../x").startswith("common/user/")
    assert "/../" not in path_of_user("../x")
