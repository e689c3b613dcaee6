"""The Git store of one server: the one door of dulwich.

    objects       the object database and refs on disk, behind one lock
    transfer      push and fetch over a byte stream to git on another server
    intake        what pushed or fetched commits bring, looked at before it is let in
    push_facts    what a received push wants, gathered for `configrepo.admission`
    repository    `Store`: commits written, refs moved with compare-and-swap, history read

dulwich reads and writes objects; git itself (`configrepo.git`) moves refs, walks
history, receives and serves.

Core.
"""

from configrepo.revision import CommitId, Person, RefUpdate, Revision
from configrepo.sshsig import Signer
from configrepo.store.intake import FETCHED, PUSHED, Limits
from configrepo.store.objects import Entry
from configrepo.store.push_facts import facts_of_push
from configrepo.store.repository import Store
from configrepo.store.transfer import Pushed, Stream

__all__ = [
    "FETCHED",
    "PUSHED",
    "CommitId",
    "Entry",
    "Limits",
    "Person",
    "Pushed",
    "RefUpdate",
    "Revision",
    "Signer",
    "Store",
    "Stream",
    "facts_of_push",
]
