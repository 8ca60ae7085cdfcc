"""What the tunnel looks like: the very browser beside which it runs, as soon as that has shown how it begins.

A browser of a version that is not known yet is sent to a listener of ours once; its ClientHello becomes the template,
kept in a file for later starts. Of several browsers the one that connected last is imitated: they share one tunnel,
and so one link to each first hop, which can look like one of them only. What cannot be a template is refused with a
reason, and the bundled capture of the same family stays.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Hashable
from pathlib import Path
from weakref import WeakKeyDictionary

import msgspec

from qnet.net.capture import HelloListener
from qnet.net.client_link import Disguise
from qnet.settings import replace_file
from qnet.wire.cover.appearance import APPEARANCES
from qnet.wire.errors import LocalError, RemoteError
from qnet.wire.messages import Capture, CaptureInfo
from qnet.wire.tls.template import Template

FILE_NAME = "templates.json"
MAX_KNOWN = 16
_MAX_NAME = 64
_LIMIT = 1 << 20
_log = logging.getLogger(__name__)


class CaptureError(LocalError):
    """The browser's name or version is not one."""

    code = "capture"
    exit_code = 64


class _Known(msgspec.Struct, frozen=True):
    browser: str
    version: str
    record: bytes
    captured: float


class Wardrobe:
    """``folder``: where templates are kept; ``bundled``: the template of a family, by its name."""

    def __init__(self, folder: Path, disguise: Disguise, bundled: Callable[[str], Template]) -> None:
        self._path = folder / FILE_NAME
        self._disguise = disguise
        self._bundled = bundled
        self._known = self._read()
        self._refused: dict[tuple[str, str], str] = {}
        self._browsers: WeakKeyDictionary[Hashable, str] = WeakKeyDictionary()
        self._capture: asyncio.Task[None] | None = None

    async def capture(self, session: Hashable, request: Capture) -> CaptureInfo:
        """Where to send the browser of ``session``, if it is not known or of another version; raises ``CaptureError``.

        The first to ask is served; another, at the same time, is told when it asks again.
        """
        browser, version = request.browser, request.version
        if not all(0 < len(text) <= _MAX_NAME and text.isprintable() for text in (browser, version)):
            raise CaptureError("a browser's name and version are short texts", "update QNet and the extension")
        self._browsers[session] = browser
        known = self._known.get(browser)
        problem = self._refused.get((browser, version), "")
        busy = self._capture is not None and not self._capture.done()
        if (known is not None and known.version == version) or problem or busy:
            return CaptureInfo(url="", known=known is not None, problem=problem)
        try:
            listener = HelloListener()
            await listener.open()
        except OSError as error:
            return CaptureInfo(url="", known=known is not None, problem=f"no port to listen on ({error.strerror})")
        self._capture = asyncio.create_task(self._wait(listener, browser, version))
        return CaptureInfo(url=listener.url, known=known is not None, problem="")

    def wear(self, session: Hashable, family: str) -> None:
        """Look like the browser of ``session``; ``family``: what its hello says it is, where no more is known."""
        known = self._known.get(self._browsers.get(session, ""))
        template = None
        if known is not None:
            template = _template(known)
        elif family in APPEARANCES:
            template = self._bundled(family)
        if template is not None:
            self._disguise.wear(template, APPEARANCES[family_of(template)])

    async def _wait(self, listener: HelloListener, browser: str, version: str) -> None:
        try:
            record = await listener.record()
            template = Template.from_record(record, browser)
            if b"h2" not in template.hello.protocols():
                self._refuse(browser, version, "it does not offer HTTP/2")
                return
            self._known.pop(browser, None)
            self._known[browser] = _Known(browser, version, record, time.time())
            while len(self._known) > MAX_KNOWN:
                del self._known[next(iter(self._known))]
            content = msgspec.json.encode(list(self._known.values()))
            await asyncio.to_thread(replace_file, self._path, content)
            _log.info("a browser's own hello is the template from now on")
        except TimeoutError:
            _log.info("the browser did not come to show its hello")
        except RemoteError as error:
            self._refuse(browser, version, str(error))
        except OSError as error:
            _log.warning("the browser's hello cannot be kept (%s)", error.strerror)
        finally:
            listener.close()

    def _refuse(self, browser: str, version: str, reason: str) -> None:
        _log.warning("the browser's hello cannot be a template: %s; a bundled one stays in use", reason)
        self._refused[browser, version] = reason

    def _read(self) -> dict[str, _Known]:
        """What is known from earlier starts; a damaged file or entry is as good as none."""
        try:
            with self._path.open("rb") as file:
                found = msgspec.json.decode(file.read(_LIMIT), type=list[_Known])
        except (OSError, msgspec.DecodeError):
            return {}
        return {each.browser: each for each in found[-MAX_KNOWN:] if _template(each) is not None}


def family_of(template: Template) -> str:
    """Whose first words inside TLS go with ``template``."""
    return "chromium" if template.boringssl else "firefox"


def _template(known: _Known) -> Template | None:
    try:
        return Template.from_record(known.record, known.browser)
    except RemoteError:
        return None
