"""Questions to Meta's Graph API, which change nothing there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from urllib.parse import urlsplit

from talkwire import AccountBroken, Channel, Refused, Uncertain, Unreadable

from .errors import check
from .settings import WhatsAppSettings
from .values import Json, complaint, inner, number, whole

USER_AGENT = "Talkwire"  # without any, Meta's file servers answer 404 ("Media", read 2026-11-22)
_GONE = 33  # subcode of 100: the id is not known, or not to this token ("Error codes", read 2026-11-22)


class Graph:
    """The way to ask for one number's things."""

    def __init__(self, channel: Channel, settings: WhatsAppSettings) -> None:
        self._channel = channel
        self._url = settings.api_url
        self._token = settings.token.get_secret_value()
        self._headers = {"Authorization": f"Bearer {self._token}", "User-Agent": USER_AGENT}
        self.number = settings.phone_number_id
        self.scheme = urlsplit(self._url).scheme
        self.hosts = type(channel).hosts(settings)

    async def get(self, path: str, params: Mapping[str, str]) -> Json:
        """Ask for a thing. Errors: as `Http.request`, and what Meta's codes mean."""
        answer = await self._channel.http.get(f"{self._url}/{path}", params=params, headers=self._headers)
        if words := _gone(answer.body, self._token) if answer.status >= 400 else "":
            raise Refused(f"Meta knows no such id, or the token may not see it: {words}", code="100")
        found = check(answer, hide=self._token, account=self._channel.account)
        if not isinstance(found, dict):
            raise Uncertain(f"Meta's answer (HTTP {answer.status}) makes no sense")
        return found

    def download(self, url: str) -> AsyncIterator[bytes]:
        """Fetch a file. Errors: as `Http.download`."""
        return self._channel.http.download(url, headers=self._headers)


def _gone(body: bytes, hide: str) -> str:
    """Give Meta's words where it says that there is no such thing, without our token; empty: it says something else."""
    try:
        error = inner(whole(body), "error")
    except Unreadable:
        return ""
    code, words = complaint(error)
    return (
        words.replace(hide, "…")[:200] or "it gives no words"
        if code == "100" and number(error, "error_subcode") == _GONE
        else ""
    )


async def who_we_are(graph: Graph) -> str:
    """Ask for the number that an account has, and say how it stands: one line for a person."""
    fields = "display_phone_number,verified_name,quality_rating"
    try:
        found = await graph.get(graph.number, {"fields": fields})
    except Refused as no:
        raise AccountBroken(
            f"Meta does not show us phone_number_id {graph.number} ({no}); compare it with WhatsApp Manager, API setup, "
            "and give the token's system user this business account",
            code=no.code,
        ) from no
    shown = found.get("display_phone_number") or "a number that Meta does not name"
    name, quality = found.get("verified_name"), found.get("quality_rating")
    return f"{shown}" + (f", {name}" if name else "") + (f", quality {quality}".lower() if quality else "")
