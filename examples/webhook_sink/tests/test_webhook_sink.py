import base64
import hashlib
import hmac
import re
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from talkwire import Notification, Option, Refused, TryLater
from talkwire.testing import NOON, Answers, FakeProvider, Reply, lend_notifier, says
from talkwire_notify_webhook import WebhookNotifier, WebhookSettings

README = (Path(__file__).parents[1] / "README.md").read_text()
SECRET = "whsec_a2l0LXNlY3JldC1raXQtc2VjcmV0LWtpdC1zZWNyZXQ="
NOTIFICATION = Notification(
    id="n1",
    recipient="ops",
    asker="rule:0",
    kind="account.broken",
    title="An account needs you",
    text="It says why.",
    actions=(Option("open", "Open"),),
    lapses_at=datetime(2031, 7, 13, tzinfo=UTC),
)


@pytest.fixture
async def host(fake_provider):
    return await fake_provider(Answers(accept=lambda _seen, _id: Reply(status=204)))


@pytest.fixture
async def webhook(host):
    notifier = lend_notifier(WebhookNotifier, {"url": f"{host.url}/talkwire", "secret": SECRET})
    yield notifier
    await notifier.close()


async def test_a_host_can_verify_who_sent_it_and_that_nothing_was_changed(host: FakeProvider, webhook):
    await webhook.deliver(NOTIFICATION)
    [seen] = host.shown
    id_, when = seen.headers["webhook-id"], seen.headers["webhook-timestamp"]
    assert (id_, when) == ("n1-created", str(int(NOON.timestamp())))
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    digest = hmac.new(key, f"{id_}.{when}.".encode() + seen.body, hashlib.sha256).digest()
    assert seen.headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"


async def test_the_readme_shows_what_is_posted(host: FakeProvider, webhook):
    await webhook.deliver(NOTIFICATION)
    await webhook.withdraw(NOTIFICATION)
    assert [seen.json()["type"] for seen in host.shown] == ["notification.created", "notification.withdrawn"]
    [block] = re.findall(r"```json\n(.*?)```", README, re.DOTALL)
    assert set(re.findall(r'"(\w+)":', block)) == {"type", "data", *host.shown[0].json()["data"], "label", "value"}


@pytest.mark.parametrize(
    ("status", "error"),
    [(302, Refused), (400, Refused), (410, Refused), (401, TryLater), (404, TryLater), (503, TryLater)],
)
async def test_what_a_person_at_the_host_may_mend_is_tried_again(host: FakeProvider, webhook, status, error):
    host.always(says(Reply(status=status)))
    with pytest.raises(error, match=str(status)):
        await webhook.deliver(NOTIFICATION)


async def test_the_host_says_when_to_come_again(host: FakeProvider, webhook):
    host.always(says(Reply(status=429, headers={"Retry-After": "50"})))
    with pytest.raises(TryLater) as caught:
        await webhook.deliver(NOTIFICATION)
    assert caught.value.after == timedelta(seconds=50)


def test_the_example_settings_are_valid_and_name_every_key():
    [block] = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    table = tomllib.loads(block)["plugins"]["notify_webhook"]
    assert table.keys() == WebhookSettings.model_fields.keys()
    WebhookSettings.model_validate({**table, "secret": SECRET})


@pytest.mark.parametrize("wrong", [{"secret": "not base64!"}, {"url": "host.example"}, {"secrets": SECRET}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValidationError) as caught:
        WebhookSettings.model_validate({"url": "https://host.example", "secret": SECRET, **wrong})
    assert "not base64" not in str(caught.value)
