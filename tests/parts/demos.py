"""The demo's check of one channel, with a fault in its provider."""

from __future__ import annotations

from pathlib import Path

from talkwire.cli import demo

LONG = 20.0  # seconds, in which anything here happens


async def checked(folder: Path, channel: str, fault: str, says: str, *, in_vain: bool = False) -> tuple[int, str]:
    """Play the check until it says something; gives its exit code, and all it said.

    What is waited for `in_vain` is waited for briefly; where a slow machine did not come as far as that, anew and long.
    """
    code, said = 0, ""
    for patience in (1.5, LONG) if in_vain else (LONG,):
        out: list[str] = []
        place = folder / f"{patience:g}"
        place.mkdir()
        async with demo.stage(place, await demo.find(among=[channel])) as stage:
            [player] = stage.players
            if fault:
                await player.simulator.fault(player.base_url, fault)
            code = await demo.check_all(stage.players, stage.api, stage.key, out.append, fault=fault, patience=patience)
        said = "\n".join(out)
        if says in said:
            break
    return code, said
