"""What the kit must know of the webhook: how a host takes its requests in."""

from talkwire.testing import HttpCounterpart, NotifierCase, Reply, Seen, Sight
from talkwire_notify_webhook import WebhookNotifier

SECRET = "whsec_a2l0LXNlY3JldC1raXQtc2VjcmV0LWtpdC1zZWNyZXQ="


class Host(HttpCounterpart):
    """A host that takes the same id once, as Standard Webhooks asks."""

    def take(self, seen: Seen) -> Reply:
        told = seen.json()
        data = told["data"]
        if told["type"] == "notification.withdrawn":
            self.held.pop(f"{data['id']}-created", None)
        else:
            details = " ".join(f"{one['label']}: {one['value']}" for one in data["details"])
            self.held[seen.headers["webhook-id"]] = Sight(
                words=f"{data['title']}\n{data['text']}\n{details}",
                buttons=tuple(one["id"] for one in data["actions"]),
                recipient=data["recipient"],
                visible=False,
                raw=f"{seen.headers} {seen.body!r}",
            )
        return Reply(status=204)


case = NotifierCase(
    notifier=WebhookNotifier,
    settings={"url": "https://host.example/talkwire", "secret": SECRET},
    counterpart=Host,
    answers_elsewhere="the host answers over the API: POST /api/v1/notifications/ID:answer",
)
