"""The native-messaging manifest and where each browser looks for it.

Pure data and functions. Folders are those that the browsers document
(developer.chrome.com "Native messaging", MDN "Native manifests"), relative to the person's home.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath

NAME = "org.qnet.host"
"""The name under which the extension asks for the native host; the manifest's file is ``NAME.json``."""

DEV_ID = "lkcklhljfpjjfmlkgbmgkofldpcjmign"
"""Chromium's ID of the unpacked extension; it follows from ``key`` in manifests/chrome.json (a test compares)."""

STORE_IDS: tuple[str, ...] = ()
"""Chromium's IDs of the extension as the stores publish it; none is published yet."""

GECKO_ID = "extension@qnet"
"""Firefox's add-on ID, as in manifests/firefox.json."""


class Family(StrEnum):
    """The two dialects of the manifest."""

    CHROMIUM = "chromium"
    FIREFOX = "firefox"


class Platform(StrEnum):
    """The platforms with documented places, named as ``sys.platform`` names them."""

    LINUX = "linux"
    MACOS = "darwin"
    WINDOWS = "win32"


@dataclass(frozen=True, slots=True)
class Place:
    """One browser's place on one platform.

    ``present`` lists what exists where the browser has been used, ``folder`` is where the manifest goes (empty on
    Windows, where ``registry`` below HKEY_CURRENT_USER points to it). ``wrapper``: where a browser in a sandbox finds
    the executable that leads out of it. All relative to the home, or to the root for ``SYSTEM``. ``advice`` is what
    the person may have to do besides.
    """

    present: tuple[str, ...]
    folder: str = ""
    registry: str = ""
    wrapper: str = ""
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Browser:
    """A browser that can be given the native host."""

    name: str
    family: Family
    places: dict[Platform, Place]


def _chromium(name: str, linux: str, macos: str, windows: str, registry: str) -> Browser:
    support = f"Library/Application Support/{macos}"
    return Browser(
        name,
        Family.CHROMIUM,
        {
            Platform.LINUX: Place((f".config/{linux}",), f".config/{linux}/NativeMessagingHosts"),
            Platform.MACOS: Place((support,), f"{support}/NativeMessagingHosts"),
            Platform.WINDOWS: Place(
                (f"AppData/Local/{windows}",), registry=f"Software\\{registry}\\NativeMessagingHosts\\{NAME}"
            ),
        },
    )


BROWSERS: tuple[Browser, ...] = (
    _chromium("Chromium", "chromium", "Chromium", "Chromium", "Chromium"),
    _chromium("Chrome", "google-chrome", "Google/Chrome", "Google/Chrome", "Google\\Chrome"),
    _chromium("Edge", "microsoft-edge", "Microsoft Edge", "Microsoft/Edge", "Microsoft\\Edge"),
    # Brave and Vivaldi read Chrome's key on Windows.
    _chromium(
        "Brave",
        "BraveSoftware/Brave-Browser",
        "BraveSoftware/Brave-Browser",
        "BraveSoftware/Brave-Browser",
        "Google\\Chrome",
    ),
    _chromium("Vivaldi", "vivaldi", "Vivaldi", "Vivaldi", "Google\\Chrome"),
    Browser(
        "Firefox",
        Family.FIREFOX,
        {
            # Profiles have moved to .config/mozilla, the manifests have not.
            Platform.LINUX: Place((".mozilla", ".config/mozilla"), ".mozilla/native-messaging-hosts"),
            Platform.MACOS: Place(
                ("Library/Application Support/Mozilla", "Library/Application Support/Firefox"),
                "Library/Application Support/Mozilla/NativeMessagingHosts",
            ),
            Platform.WINDOWS: Place(
                ("AppData/Roaming/Mozilla",), registry=f"Software\\Mozilla\\NativeMessagingHosts\\{NAME}"
            ),
        },
    ),
    Browser(
        "LibreWolf",
        Family.FIREFOX,
        {
            Platform.LINUX: Place((".librewolf",), ".librewolf/native-messaging-hosts"),
            Platform.MACOS: Place(
                ("Library/Application Support/librewolf",),
                "Library/Application Support/librewolf/NativeMessagingHosts",
            ),
        },
    ),
)


def _flatpak(name: str, family: Family, app: str, folder: str) -> Browser:
    """A Flatpak browser sees ``~/.var/app/ID`` under the same path, and its ``~/.config`` is ``config`` in there."""
    base = f".var/app/{app}"
    place = Place(
        (base,),
        f"{base}/{folder}",
        wrapper=f"{base}/data/qnet/qnet-host",
        advice="To start the helper it must be let out of its sandbox, which is then none: "
        f"flatpak override --user --talk-name=org.freedesktop.Flatpak {app}",
    )
    return Browser(f"{name} (Flatpak)", family, {Platform.LINUX: place})


SANDBOXED: tuple[Browser, ...] = (
    _flatpak("Chromium", Family.CHROMIUM, "org.chromium.Chromium", "config/chromium/NativeMessagingHosts"),
    _flatpak("Chrome", Family.CHROMIUM, "com.google.Chrome", "config/google-chrome/NativeMessagingHosts"),
    _flatpak("Edge", Family.CHROMIUM, "com.microsoft.Edge", "config/microsoft-edge/NativeMessagingHosts"),
    _flatpak("Brave", Family.CHROMIUM, "com.brave.Browser", "config/BraveSoftware/Brave-Browser/NativeMessagingHosts"),
    _flatpak("Vivaldi", Family.CHROMIUM, "com.vivaldi.Vivaldi", "config/vivaldi/NativeMessagingHosts"),
    _flatpak("Firefox", Family.FIREFOX, "org.mozilla.firefox", ".mozilla/native-messaging-hosts"),
    _flatpak("LibreWolf", Family.FIREFOX, "io.gitlab.librewolf-community", ".librewolf/native-messaging-hosts"),
    # Its portal reads the ordinary folder, and asks the person once.
    Browser(
        "Firefox (Snap)",
        Family.FIREFOX,
        {
            Platform.LINUX: Place(
                ("snap/firefox",),
                ".mozilla/native-messaging-hosts",
                advice=f"Firefox asks once. If it was refused: flatpak permission-set webextensions {NAME} "
                "snap.firefox yes",
            )
        },
    ),
)
"""The forms of browsers on Linux that run in a sandbox."""


def _system(name: str, family: Family, present: tuple[str, ...], folder: str) -> Browser:
    place = Place((folder, *present), f"{folder}/native-messaging-hosts")
    return Browser(name, family, {Platform.LINUX: place})


SYSTEM: tuple[Browser, ...] = (
    _system("Chromium", Family.CHROMIUM, ("usr/bin/chromium", "usr/bin/chromium-browser"), "etc/chromium"),
    _system("Chrome", Family.CHROMIUM, ("opt/google/chrome",), "etc/opt/chrome"),
    _system("Edge", Family.CHROMIUM, ("opt/microsoft/msedge",), "etc/opt/edge"),
    _system("Firefox", Family.FIREFOX, ("usr/bin/firefox", "usr/bin/firefox-esr"), "usr/lib/mozilla"),
    _system("Firefox (lib64)", Family.FIREFOX, (), "usr/lib64/mozilla"),
)
"""Where browsers on Linux look for what holds for every user of the computer."""

SYSTEM_FOLDER = "usr/local/lib/qnet"
"""Where the launcher for every user goes."""


def render(family: Family, launcher: PurePath, extension_ids: Sequence[str] = ()) -> str:
    """The manifest's JSON text; ``extension_ids`` replaces the IDs that may talk to the host (default: ours)."""
    manifest: dict[str, object] = {
        "name": NAME,
        "description": "QNet: connects the QNet extension with the QNet helper on this computer",
        "path": str(launcher),
        "type": "stdio",
    }
    if family is Family.CHROMIUM:
        manifest["allowed_origins"] = [f"chrome-extension://{i}/" for i in extension_ids or (DEV_ID, *STORE_IDS)]
    else:
        manifest["allowed_extensions"] = list(extension_ids or (GECKO_ID,))
    return json.dumps(manifest, indent=2) + "\n"


def is_ours(text: str) -> bool:
    """Whether ``text`` is a manifest of ours: JSON whose ``name`` is ``NAME``."""
    try:
        manifest = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(manifest, dict) and manifest.get("name") == NAME
