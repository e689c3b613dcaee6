"""The Git store of one server: the one door of dulwich.

    objects       the object database and refs on disk, behind one lock
    repository    `Store`: commits written, refs moved with compare-and-swap, history read

dulwich reads and writes objects; git itself (`configrepo.git`) moves refs, walks
history, receives and serves.

Core.
"""

from configrepo.revision import CommitId, Person, RefUpdate, Revision
from configrepo.sshsig import Signer
from configrepo.store.objects import Entry
from configrepo.store.repository import Store

__all__ = ["CommitId", "Entry", "Person", "RefUpdate", "Revision", "Signer", "Store"]
