"""axe in a page: what stands in people's way there, in any colour scheme."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.async_api import Page

_SCRIPT = "axe.min.js"  # axe-core 4.12 (MPL-2.0), as a package of the lock carries it


async def findings(page: "Page", inside: str = "html") -> list[str]:
    """Give what axe finds below a selector, light by all its rules, dark by those of colours; the page's context bypasses its policy."""
    spec = find_spec("axe_playwright_python")
    assert spec is not None, "requirements/dev.txt names it"
    assert spec.origin is not None, "it is a package"
    await page.add_script_tag(path=Path(spec.origin).parent / _SCRIPT)
    found = await _run(page, inside, {})
    await page.emulate_media(color_scheme="dark")
    found += await _run(page, inside, {"runOnly": ["color-contrast"]})
    await page.emulate_media(color_scheme="light")
    return found


async def _run(page: "Page", inside: str, options: dict) -> list[str]:
    found = await page.evaluate(
        "([inside, options]) => axe.run({include: [[inside]]}, options)",
        [inside, {"resultTypes": ["violations"], **options}],
    )
    return [
        f"{one['id']}: {one['help']}: {[node['html'][:120] for node in one['nodes']]}" for one in found["violations"]
    ]
