from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from scheduler.ssh_plan import (
    Folder,
    MakeAccount,
    SetFolder,
    SetKeys,
    SshFacts,
    WriteSnippet,
    plan_setup,
    snippet_text,
)

HOME = Path("/var/lib/bqn")
KEYS = HOME / "ssh" / "authorized_keys"
PACKAGING = Path(__file__).resolve().parents[2] / "packaging"
READY = SshFacts(
    user="bqn",
    home=HOME,
    keys=KEYS,
    account_id=900,
    shell="/bin/sh",
    above=(Folder(Path("/"), 0, 0o755), Folder(Path("/var/lib"), 0, 0o755)),
    owned=(Folder(HOME, 900, 0o700), Folder(KEYS.parent, 900, 0o700)),
    keys_owner=900,
    snippet=snippet_text("bqn", KEYS),
    included=True,
)


def test_the_snippet_is_the_one_of_the_packaging() -> None:
    assert READY.snippet == (PACKAGING / "sshd-bqn.conf").read_text()


def test_what_is_right_is_not_touched() -> None:
    plan = plan_setup(READY)
    assert (plan.steps, plan.obstacles) == ((), ())


def test_on_a_new_machine_everything_is_made_in_order() -> None:
    new = replace(
        READY,
        account_id=None,
        shell="",
        owned=(Folder(HOME, None), Folder(KEYS.parent, None)),
        keys_owner=None,
        snippet=None,
    )
    kinds = [type(step) for step in plan_setup(new).steps]
    assert kinds == [MakeAccount, SetFolder, SetFolder, SetKeys, WriteSnippet]
    assert all(step.sentence for step in plan_setup(new).steps)


@pytest.mark.parametrize(
    "folder", [Folder(HOME, 0, 0o700), Folder(HOME, 900, 0o750), Folder(HOME, 900, 0o701)]
)
def test_a_folder_of_somebody_else_or_open_to_others_is_set_right(folder: Folder) -> None:
    assert plan_setup(replace(READY, owned=(folder,))).steps == (SetFolder(HOME, 0o700),)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (replace(READY, included=False), "Include /etc/ssh/sshd_config.d/*.conf"),
        (replace(READY, shell="/usr/sbin/nologin"), "usermod --shell"),
        (replace(READY, above=(Folder(Path("/srv"), 0, 0o777),)), "/srv can be written by others"),
        (replace(READY, above=(Folder(Path("/srv"), 5, 0o755),)), "/srv can be written by others"),
        (replace(READY, keys=Path("/etc/ssh/bqn_keys")), "outside the state directory"),
        (replace(READY, keys=HOME / "a b" / "keys"), "blank"),
    ],
)
def test_what_a_person_must_change_is_said(facts: SshFacts, words: str) -> None:
    assert any(words in obstacle for obstacle in plan_setup(facts).obstacles)
