import re
import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from talkwire import Detail, Notification, TryLater
from talkwire.testing import Answers, Reply, lend_notifier, refuse
from talkwire_notify_apprise import AppriseNotifier, AppriseSettings

# As in test_conformance.py.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
README = (Path(__file__).parents[1] / "README.md").read_text()
SOURCE = Path(__file__).parents[1] / "src" / "talkwire_notify_apprise" / "__init__.py"
NOTIFICATION = Notification(
    id="n1",
    recipient="ops",
    asker="rule:0",
    kind="account.broken",
    title="An account needs you",
    text="It says why.",
    details=(Detail("Account", "support-inbox"),),
)


def url(host) -> str:
    return host.url.replace("http://", "json://") + "/kit-token-0123456789"


async def test_what_one_url_took_goes_only_to_the_others_again(fake_provider):
    answers = Answers(accept=lambda _seen, _id: Reply())
    first, second = await fake_provider(answers), await fake_provider(answers)
    notifier = lend_notifier(AppriseNotifier, {"urls": [url(first), url(second)]})
    await notifier.open()
    second.will(refuse())

    with pytest.raises(TryLater, match="1 of 2 URLs did not take it"):
        await notifier.deliver(NOTIFICATION)
    await notifier.deliver(NOTIFICATION)

    assert [len(first.shown), len(second.shown)] == [1, 2]
    told = second.shown[1].json()
    assert (told["title"], told["message"]) == ("An account needs you", "It says why.\nAccount: support-inbox")


def test_a_url_that_apprise_does_not_know_is_named_by_its_number_alone():
    with pytest.raises(ValidationError, match="does not understand URL 2 of 2") as caught:
        AppriseSettings.model_validate({"urls": ["json://host.example", "nobody://kit-token-0123456789"]})
    assert "kit-token" not in str(caught.value)


def test_no_url_is_no_place_to_say_something():
    with pytest.raises(ValidationError):
        AppriseSettings.model_validate({"urls": []})


def test_the_example_settings_name_every_key_and_the_file_is_as_short_as_the_readme_says():
    [block] = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    assert tomllib.loads(block)["plugins"]["notify_apprise"].keys() == AppriseSettings.model_fields.keys()
    assert len(SOURCE.read_text().splitlines()) < 80
