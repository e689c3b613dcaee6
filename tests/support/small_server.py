"""One server without a network: its state directory, store, commit path and drafts."""

from __future__ import annotations

from pathlib import Path

from configrepo.members import Member
from configrepo.model import ServerId
from configrepo.parser import read
from configrepo.store import CommitId, Store
from scheduler.changes import Changes, Standing, line_of
from scheduler.drafts import Drafts
from scheduler.founding import found_server, keyring_path, signer_of
from scheduler.identity import Identity
from scheduler.roster import Roster
from scheduler.state_dir import ServerRecord
from scheduler.vault import Vault
from scheduler.views import Person, Role

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
ADMIN = Person("admin", Role.ADMINISTRATOR, "192.0.2.1", local=True)
OPERATOR = Person("noc", Role.OPERATOR, "192.0.2.2")
VIEWER = Person("audit", Role.VIEWER, "192.0.2.3")


def hashed(password: str) -> str:
    """Stands for argon2id: shows that the clear word was replaced."""
    return f"$argon2id$fake${len(password)}"


class SmallServer:
    """A server as `app.py init` makes it, opened; `standing` is what the test says."""

    def __init__(self, folder: Path, number: int, example: str | None = "bqn{}-v1.conf") -> None:
        self.me = ServerId(number)
        document = None
        if example is not None:
            document = read((EXAMPLES / example.format(number)).read_bytes()).document
        record = ServerRecord(self.me, f"bqn{number}")
        self.state = found_server(folder / f"s{number}", record, document, hashed)
        self.identity = Identity.load(self.state.keys)
        self.vault = Vault(keyring_path(self.state), hashed)
        self.store = Store.open(self.state.repository, signer_of(self.identity, self.me))
        self.roster = Roster(self.store, self.me)
        self.drafts = Drafts(self.state.drafts)
        self.standing = Standing(line_of(self.me), None)
        self.commits: list[CommitId] = []
        self.changes = Changes(
            self.store,
            self.me,
            lambda: self.standing,
            self.vault.seal_files,
            self.commits.append,
        )

    def files(self) -> dict[str, str]:
        """The newest configuration."""
        return self.store.files(self.changes.head())

    def record(self, address: str = "127.0.0.1") -> Member:
        """What the others know of it."""
        return Member(
            id=self.me,
            name=f"bqn{self.me}",
            address=address,
            ssh_port=22,
            control_port=63500 + self.me,
            certificate=self.identity.certificate_b64,
            ssh_host_key=self.identity.ssh_public,
            ssh_key=self.identity.ssh_public,
        )

    def close(self) -> None:
        """Close the store."""
        self.store.close()
