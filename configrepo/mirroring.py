"""Pushes the repository to an external Git server: a mirror that others may read.

Where to is decided by the settings file alone; the URL is a fixed argument behind `--`, and
only ssh and https are spoken. Refs move forward only, so whoever writes to the mirror
himself is not overwritten but told; drafts are never sent. No secret stands on a command
line or in an environment: ssh reads its key, git reads the token, from files.

Edge: git processes.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

from configrepo import git
from configrepo.durable import write_file
from configrepo.errors import StoreError

TIME_LIMIT_S: Final = 120.0
REFSPECS: Final = (
    "refs/heads/*:refs/heads/*",
    "refs/terms/*:refs/terms/*",
    "refs/notes/*:refs/notes/*",
    "+refs/bqn/running/*:refs/bqn/running/*",
)
_URL: Final = re.compile(r"(?:ssh|https)://[A-Za-z0-9._~:/@%\[\]+-]+")
_LONGEST: Final = 200


@dataclass(frozen=True, slots=True)
class MirrorTarget:
    """An external Git server.

    ssh needs `key` and `known_hosts`; https `token` (a file that holds it) and perhaps
    `authority`, the CA file of the server's certificate.
    """

    url: str
    key: Path | None = None
    known_hosts: Path | None = None
    token: Path | None = None
    authority: Path | None = None


def wrong_url(url: str) -> str | None:
    """Why a URL is not taken, or None."""
    if not _URL.fullmatch(url) or ".." in url:
        return "must be ssh://USER@HOST/PATH or https://HOST/PATH"
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it is the check
    except ValueError:
        return "names a port that does not exist"
    if not parts.hostname or parts.hostname.startswith("-") or not parts.path.strip("/"):
        return "must name a host and the path of a repository"
    if parts.password is not None or (parts.username or "").startswith("-"):
        return "must not hold a password; name a token_file"
    return None


def push_mirror(path: Path, target: MirrorTarget, credentials: Path) -> None:
    """Push everything but drafts; returns when the other server has it.

    Args:
        path: the repository.
        target: where to.
        credentials: a file of our own that git reads the token from (0600).

    Raises:
        StoreError: it was not pushed; the message is one sentence in git's words.
    """
    if (problem := wrong_url(target.url)) is not None:
        raise StoreError(f"the URL of the mirror {problem}")
    options, environment = _way(target, credentials)
    arguments = [f"--git-dir={path}", *options, "push", "--porcelain", "--no-recurse-submodules"]
    process = git.start(
        path, [*arguments, "--", target.url, *REFSPECS], subprocess.DEVNULL, environment
    )
    try:
        output, words = process.communicate(timeout=TIME_LIMIT_S)
    except subprocess.TimeoutExpired:
        raise StoreError(f"it did not end within {TIME_LIMIT_S:g} s") from None
    finally:
        git.kill_group(process)
    if process.returncode != 0:
        raise StoreError(_why(output, words))


def _way(target: MirrorTarget, credentials: Path) -> tuple[list[str], dict[str, str]]:
    """Options and environment of git for ssh or https."""
    if target.url.startswith("ssh://"):
        ssh = ["ssh", "-F", "/dev/null", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10"]
        ssh += ["-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=yes"]
        ssh += ["-o", f'UserKnownHostsFile="{target.known_hosts}"', "-i", str(target.key)]
        return [], {"GIT_SSH_COMMAND": shlex.join(ssh), "GIT_SSH_VARIANT": "ssh"}
    options = ["-c", "protocol.https.allow=always", "-c", "http.followRedirects=false"]
    if target.authority is not None:
        options += ["-c", f"http.sslCAInfo={target.authority}"]
    if target.token is not None:
        _write_credentials(target.url, target.token, credentials)
        store = shlex.join(["store", f"--file={credentials}"])
        options += ["-c", "credential.helper=", "-c", f"credential.helper={store}"]
    return options, {}


def _write_credentials(url: str, token: Path, credentials: Path) -> None:
    try:
        secret = token.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"the token file {token} cannot be read: {error}") from error
    parts = urlsplit(url)
    user = quote(parts.username or "bqn", safe="")
    host = parts.netloc.rpartition("@")[2]
    line = f"https://{user}:{quote(secret, safe='')}@{host}\n".encode()
    if not credentials.exists() or credentials.read_bytes() != line:
        write_file(credentials, line, mode=0o600)


def _why(output: bytes, words: bytes) -> str:
    """One sentence from what git said: a refused ref, else its last line that says something."""
    for line in output.decode(errors="replace").splitlines():
        if line.startswith("!"):
            _, ref, reason = (*line.split("\t"), "", "")[:3]
            return _short(f"{ref.partition(':')[2]} was refused: {reason}")
    lines = [x for x in words.decode(errors="replace").splitlines() if x.strip()]
    told = [x for x in lines if not x.startswith(("fatal: Could not read", "Please make sure"))]
    told = [x for x in told if not x.startswith("and the repository exists")]
    return _short((told or ["git said nothing"])[-1])


def _short(text: str) -> str:
    return "".join(c for c in text.strip() if c.isprintable())[:_LONGEST]
