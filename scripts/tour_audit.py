"""Step 7 of the tour: an auditor's token, a real clone, and what it proves.

Edge: processes.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from scripts.demo_servers import wait_for
from scripts.tour import SETTLING_S, Tour, command, expect, git
from scripts.visitor import Page

SECRET = "example-Rest-pw1"  # noqa: S105 - the REST password of examples/bqn1-v1.conf
AUDITOR = "audit"


def clone_and_audit(tour: Tour) -> str:
    """Clone over HTTPS with a fresh token; fsck, signatures, one file's story, no secret."""
    token = _make_token(tour)
    with tempfile.TemporaryDirectory(prefix="bqn-audit-") as folder:
        clone = Path(folder) / "cluster"
        access = _access(tour, token)
        cloned = git(*access, "clone", _url(tour), str(clone))
        expect(cloned.returncode == 0, f"git clone failed: {cloned.stderr}")
        commits = _judge(clone)
        _no_secret(clone)
        _push_is_refused(clone, access)
        _clone_with_a_token_of_the_command_line(tour, Path(folder))
    return f"{commits} signed commits, fsck clean, no secret in any object, push refused"


def _clone_with_a_token_of_the_command_line(tour: Tour, folder: Path) -> None:
    made = command(tour.server(0), "token", "create", AUDITOR, "--role", "viewer")
    expect(made.returncode == 0, f"app.py token create: {made.stderr}")
    access = _access(tour, made.stdout.strip(), server=1)
    clone = folder / "again"

    def cloned() -> bool | None:
        git(*access, "clone", f"{tour.server(1).url}git/cluster.git", str(clone))
        return (clone / "cluster" / "allowed_signers").is_file() or None

    wait_for("BQN 1 to know the token and to give the clone", cloned, SETTLING_S)
    wrong = git(*_access(tour, "wrong"), "ls-remote", _url(tour))
    expect(wrong.returncode != 0, "a wrong token was taken")


def _make_token(tour: Tour) -> str:
    page = tour.at(0).get(f"/users/user?name={AUDITOR}")
    form = page.form("name", "token", "days", action="/users/user/token")
    page = tour.at(0).send(page, form, {"token": "tour", "days": "30"})
    return _token_on(page)


def _token_on(page: Page) -> str:
    shown = page.tree.find_all("input", id="token-text") + page.tree.find_all(id="token-text")
    expect(bool(shown), f"the page does not show the token: {page.text[:300]}")
    return shown[0].attributes.get("value", "") or shown[0].text


def _url(tour: Tour) -> str:
    return f"{tour.server(0).url}git/cluster.git"


def _access(tour: Tour, token: str, server: int = 0) -> list[str]:
    helper = f"!f() {{ echo username={AUDITOR}; echo password={token}; }}; f"
    certificate = tour.server(server).certificate
    return ["-c", f"http.sslCAInfo={certificate}", "-c", f"credential.helper={helper}"]


def _judge(clone: Path) -> int:
    checked = git("-C", str(clone), "fsck", "--strict")
    expect(checked.returncode == 0, f"git fsck --strict: {checked.stdout}{checked.stderr}")
    signers = f"gpg.ssh.allowedSignersFile={clone / 'cluster' / 'allowed_signers'}"
    told = git("-C", str(clone), "-c", signers, "log", "--show-signature", "--format=%G? %P")
    states = re.findall(r"^([A-Z]) ?([0-9a-f ]*)$", told.stdout, re.MULTILINE)
    unsigned = [state for state, ancestors in states if state != "G" and ancestors]
    expect(bool(states) and not unsigned, f"a signature is not good: {told.stdout[-600:]}")
    story = git("-C", str(clone), "log", "--format=%s", "--", "common/policy/rate/rate-30Mbps.conf")
    subjects = story.stdout.splitlines()
    expect(
        "Take back the faster uplink" in subjects and "rate-30Mbps: uplink rate 7000" in subjects,
        f"the log of one file does not tell its story: {subjects}",
    )
    return len(states) - 1


def _no_secret(clone: Path) -> None:
    objects = git("-C", str(clone), "cat-file", "--batch-all-objects", "--batch-check")
    names = [line.split()[0] for line in objects.stdout.splitlines() if " tree " not in line]
    expect(len(names) > 10, "the clone has no objects")
    found = [n for n in names if SECRET in git("-C", str(clone), "cat-file", "-p", n).stdout]
    expect(not found, f"the REST password is in the objects {found}")


def _push_is_refused(clone: Path, access: list[str]) -> None:
    author = ["-c", "user.name=Auditor", "-c", "user.email=auditor@example.net"]
    empty = git("-C", str(clone), *author, "commit", "--allow-empty", "-m", "Not allowed")
    expect(empty.returncode == 0, f"git commit: {empty.stderr}")
    pushed = git("-C", str(clone), *access, "push", "origin", "HEAD:refs/heads/cluster")
    expect(pushed.returncode != 0, "a push over HTTPS was taken")
