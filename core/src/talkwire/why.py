"""Why a recipient was shown something, or not: the reasons that decisions have, in sentences."""

from __future__ import annotations

REASONS = {  # of decisions, as they are kept; a notifier may have words of its own
    "not_wanted": "this medium is not wanted: by the recipient's preferences, or by the settings",
    "template": "its template shows it nowhere outside of our pages",
    "focused": "the recipient was looking at a page or client of ours, where it shows",
    "quiet_hours": "these are the recipient's quiet hours",
    "replied": "somebody had replied to the customer before it was due",
    "seen": "the recipient had read it elsewhere",
    "answered": "it had been answered",
    "lapsed": "the time for an answer was over",
    "withdrawn": "whoever asked had taken it back",
    "medium_absent": "no notifier gives this medium here: its plugin is not enabled, or did not load",
    "no_address": "the recipient has no address for it in the settings",
    "permission": "the browser has no permission to show notifications",
    "no_surface": "no page and no client of the recipient was connected",
    "no_session_bus": "the recipient's client has no desktop session that shows notifications",
    "address_bounced": "mail to this address came back before",
}
