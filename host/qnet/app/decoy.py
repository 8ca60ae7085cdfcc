"""Sites that might be decoys: measured, judged, ranked."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from qnet.mesh.decoy import Judgement, Measured, Verdict, judge, overall, rank
from qnet.roles.decoy_check import Means, Site, measure
from qnet.wire.destination import canonical_host
from qnet.wire.errors import LocalError

AT_ONCE = 8
MAX_SITES = 200
MAX_LINE = 300


class CandidatesError(LocalError):
    """The file with candidates for a decoy cannot be read."""

    code = "candidates"
    exit_code = 66


class SiteError(LocalError):
    """The text names no site."""

    code = "site"
    exit_code = 65


@dataclass(frozen=True, slots=True)
class Examined:
    """One site."""

    site: Site
    seen: Measured
    lines: list[Judgement]

    @property
    def verdict(self) -> Verdict:
        return overall(self.lines)


def site_of(text: str, address: str = "") -> Site:
    """``host`` or ``host:port``, or a URL's; raises ``SiteError``."""
    bare = text.strip().removeprefix("https://").partition("/")[0]
    host, colon, port = bare.rpartition(":")
    if not colon:
        host, port = bare, "443"
    try:
        name, number = canonical_host(host), int(port)
    except ValueError:
        name, number = "", 0
    if not name or not 0 < number < 65536 or not any(each.isalpha() for each in name) or ":" in name:
        raise SiteError("this is no name of a web site", "Write it as decoy.example or decoy.example:8443")
    return Site(name, number, address)


def examine(site: Site, means: Means) -> Examined:
    """Measure and judge one site."""
    return asyncio.run(_examine(site, means))


async def _examine(site: Site, means: Means) -> Examined:
    seen = await measure(site, means)
    return Examined(site, seen, judge(seen))


def suggest(sites: Sequence[Site], means: Means) -> list[Examined]:
    """Those sites, the best first."""

    async def all_of_them() -> list[Examined]:
        free = asyncio.Semaphore(AT_ONCE)

        async def one(site: Site) -> Examined:
            async with free:
                return await _examine(site, means)

        return list(await asyncio.gather(*map(one, sites)))

    return sorted(asyncio.run(all_of_them()), key=lambda each: rank(each.lines, each.seen))


def read_candidates(path: Path) -> list[Site]:
    """The sites in a file, one a line, ``#`` begins a remark; raises ``CandidatesError`` or ``SiteError``."""
    try:
        with path.open(encoding="utf-8") as file:
            sites = list(_sites(islice(file, 10 * MAX_SITES)))
    except (OSError, UnicodeDecodeError):
        raise CandidatesError(f"{path} cannot be read", "Give a text file with one site a line") from None
    if not sites or len(sites) > MAX_SITES:
        what = "names no site" if not sites else f"names more than {MAX_SITES} sites"
        raise CandidatesError(f"{path} {what}", "Give a text file with one site a line")
    return sites


def _sites(lines: Iterator[str]) -> Iterator[Site]:
    for line in lines:
        if text := line[:MAX_LINE].partition("#")[0].strip():
            yield site_of(text)
