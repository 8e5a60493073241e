"""What the kit must know of Apprise: what its `json://` posts, and to where."""

from talkwire.testing import Counterpart, HttpCounterpart, NotifierCase, Reply, Seen, Sight
from talkwire_notify_apprise import AppriseNotifier


class Host(HttpCounterpart):
    """A host that takes Apprise's `json://`."""

    def take(self, seen: Seen) -> Reply:
        told = seen.json()
        words = f"{told['title']}\n{told['message']}"
        self.held[str(len(self.held))] = Sight(words=words, visible=False, raw=f"{seen.headers} {seen.body!r}")
        return Reply()

    refuses = Counterpart.refuses  # Apprise says the same of a no for ever as of one for now


def pointed(settings, counterpart):
    return {"urls": [f"json://{counterpart.url.removeprefix('http://')}/kit-token-0123456789"]}


case = NotifierCase(
    notifier=AppriseNotifier,
    settings={"urls": ["json://host.example/kit-token-0123456789"]},
    counterpart=Host,
    point_at=pointed,
    secrets=("kit-token-0123456789",),
    doubles="Apprise has no key: after a crash the same notification goes out again",
)
