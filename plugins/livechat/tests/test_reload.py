"""Settings that are read again: visitors of an account that changed come back, all others do not notice."""

import asyncio

from talkwire.reloading import reload

from .visits import SETTINGS, closed

OUTLET = SETTINGS.replace("accounts.site", "accounts.outlet")


async def saved(site, text):
    """Save the settings and let them be read again."""
    site.hub.daemon.config.path.write_text(text)
    changes = await reload(site.hub.daemon)
    await site.hub.run_until_idle()
    return changes.done


async def test_a_visitor_stays_connected_while_another_website_comes_and_goes(start_site):
    site = await start_site()
    ann = await site.visit()
    await ann.says("Hello", "1")
    assert await saved(site, SETTINGS + OUTLET) == ("accounts.outlet: added",)
    assert await saved(site, SETTINGS) == ("accounts.outlet: removed",)
    await site.hub.reply(await site.talk(), "Good morning")
    assert (await ann.ours())["text"] == "Good morning"


async def test_visitors_come_back_to_an_account_that_begins_anew_and_miss_nothing(start_site):
    site = await start_site()
    ann = await site.visit()
    await ann.says("Hello", "1")
    talk = await site.talk()
    again = asyncio.create_task(saved(site, SETTINGS + 'title = "Kopi Kita"\n'))
    assert await closed(ann.ws) != 1000  # the widget comes back by itself
    assert await again == ("accounts.site: begun anew",)
    await site.hub.reply(talk, "Good morning")
    back = await site.visit(fresh=False)
    said = [frame["text"] for frame in back.before]
    if "Good morning" not in said:
        said.append((await back.ours())["text"])
    assert said == ["Hello", "Good morning"]
    assert (await back.says("Still here", "2"))["t"] == "ack"
    assert (await site.until("connected")).id == talk.id


async def test_a_visitor_who_stays_away_after_it_has_left(start_site):
    site = await start_site()
    await (await site.visit()).says("Hello", "1")
    await saved(site, SETTINGS + 'title = "Kopi Kita"\n')
    assert (await site.until("disconnected")).session == "disconnected"
    await site.hub.pass_time(seconds=181)
    assert (await site.until("ended")).session == "ended"
