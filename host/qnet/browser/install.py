"""Installing the native-messaging manifest for every browser found, and taking it away again.

Only browsers whose own folder exists are touched, only our file (or registry key) is written or removed,
and doing it twice changes nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from qnet.browser import registry
from qnet.browser.files import write_if_changed
from qnet.browser.launcher import write_wrapper
from qnet.browser.manifests import (
    BROWSERS,
    NAME,
    SANDBOXED,
    Browser,
    Family,
    Place,
    Platform,
    is_ours,
    render,
)
from qnet.wire.errors import LocalError


class InstallError(LocalError):
    """A browser's folder or registry key could not be written."""

    code = "install"


class UnknownPlatformError(LocalError):
    """No browser documents a place for native hosts on this platform."""

    code = "unknown-platform"


class Action(StrEnum):
    """What was done for one browser."""

    WRITTEN = "written"
    UNCHANGED = "unchanged"
    REMOVED = "removed"
    ABSENT = "absent"
    """The browser is not here (installing), or nothing of ours is (removing)."""


@dataclass(frozen=True, slots=True)
class Installed:
    """One browser's outcome; ``path`` is where its manifest is, or would be. ``advice``: what else it may need."""

    browser: str
    path: Path
    action: Action
    advice: str = ""


OF_A_PERSON = (*BROWSERS, *SANDBOXED)


def install(launcher: Path, home: Path, platform: str, browsers: Sequence[Browser] = OF_A_PERSON) -> list[Installed]:
    """Write the manifest that points to ``launcher`` for each of ``browsers`` found under ``home``.

    ``platform`` is a value of ``sys.platform``; for ``manifests.SYSTEM`` ``home`` is the root.
    Raises ``InstallError`` or ``UnknownPlatformError``.
    """

    def put(family: Family, place: Place, path: Path) -> Action:
        if not is_present(home, place):
            return Action.ABSENT
        started, changed = launcher.absolute(), False
        if place.wrapper:
            started = (home / place.wrapper).absolute()
            changed = write_wrapper(started, launcher.absolute())
        changed |= write_if_changed(path, render(family, started), 0o644)
        if place.registry and registry.read(place.registry) != str(path):
            registry.write(place.registry, str(path))
            changed = True
        return Action.WRITTEN if changed else Action.UNCHANGED

    return list(_each(home, platform, launcher.absolute().parent, put, browsers))


def uninstall(launcher: Path, home: Path, platform: str, browsers: Sequence[Browser] = OF_A_PERSON) -> list[Installed]:
    """Remove what ``install`` with the same arguments wrote; a file or key of somebody else's stays.

    The launcher itself stays too. Raises ``InstallError`` or ``UnknownPlatformError``.
    """

    def remove(family: Family, place: Place, path: Path) -> Action:
        removed = _unlink(path)
        if place.wrapper and (home / place.wrapper).is_file():
            (home / place.wrapper).unlink()
            removed = True
        if place.registry and registry.read(place.registry) == str(path):
            registry.delete(place.registry)
            removed = True
        return Action.REMOVED if removed else Action.ABSENT

    return list(_each(home, platform, launcher.absolute().parent, remove, browsers))


def is_present(home: Path, place: Place) -> bool:
    """Whether the browser has been used here, or is installed where the place is the system's."""
    return any((home / each).exists() for each in place.present)


def check_for_all(path: Path) -> None:
    """Raise ``InstallError`` where other users of the computer cannot reach ``path``."""
    for each in (path, *path.parents):
        if not each.stat().st_mode & 0o001:
            raise InstallError(
                f"other users cannot reach {each}", "Install QNet where all can read it, such as below /opt"
            )


def install_profile(launcher: Path, user_data_dir: Path, extension_ids: Sequence[str] = ()) -> Installed:
    """Write the manifest for one Chromium profile (``--user-data-dir``), made where it is absent.

    Such a profile does not read the folders under the home. Raises ``InstallError``.
    """
    path = user_data_dir / "NativeMessagingHosts" / f"{NAME}.json"
    text = render(Family.CHROMIUM, launcher.absolute(), extension_ids)
    try:
        changed = write_if_changed(path, text, 0o644)
    except OSError as error:
        raise _refused("Chromium", path, error) from None
    return Installed("Chromium", path, Action.WRITTEN if changed else Action.UNCHANGED)


def _each(
    home: Path,
    platform: str,
    data: Path,
    act: Callable[[Family, Place, Path], Action],
    browsers: Sequence[Browser],
) -> Iterator[Installed]:
    """``act`` on each of ``browsers`` that has a place here.

    On Windows the manifests lie in ``data``, one per family.
    """
    if platform not in list(Platform):
        raise UnknownPlatformError(
            f"QNet does not know where browsers on {platform} look for native hosts", "use Linux, macOS or Windows"
        )
    for browser in browsers:
        place = browser.places.get(Platform(platform))
        if place is None:
            continue
        path = manifest_path(browser.family, place, home, data)
        try:
            action = act(browser.family, place, path)
            yield Installed(browser.name, path, action, place.advice)
        except OSError as error:
            raise _refused(browser.name, path, error) from None


def manifest_path(family: Family, place: Place, home: Path, data: Path) -> Path:
    """Where the manifest is: below ``home``; in ``data`` where a registry key leads to it."""
    if place.registry:
        return data / f"{NAME}.{family}.json"
    return home / place.folder / f"{NAME}.json"


def _unlink(path: Path) -> bool:
    """Remove ``path`` if it is a manifest of ours; says whether it did."""
    try:
        if not is_ours(path.read_text(encoding="utf-8")):
            return False
    except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError):
        return False
    path.unlink()
    return True


def _refused(browser: str, path: Path, error: OSError) -> InstallError:
    reason = error.strerror or type(error).__name__
    return InstallError(
        f"{browser}'s manifest {path}: {reason}", f"make {path.parent} writable for you, then try again"
    )
