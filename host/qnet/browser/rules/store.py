"""The person's rules on disk: one JSON file a generation, the last ten kept.

    rules/00000041.json     the one before
    rules/00000042.json     the present one, see ``Document``

A generation is written beside the others, made durable, then named; nothing is ever changed in place. A damaged file
is passed over for the one before it and stays where it is. Who saves says which generation he started from: if
another came between, nothing is written and he is told.
"""

import os
import re
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec

from qnet.browser.rules.rule import RuleError, checked
from qnet.wire.errors import LocalError
from qnet.wire.messages import Rule, RuleAction

FORMAT: Final = "qnet-rules"
KEPT = 10
_FILE = re.compile(r"(\d{8})\.json")


class RulesFileError(LocalError):
    """The rules cannot be read or written."""

    code = "rules-file"
    exit_code = 74


class RulesChangedError(LocalError):
    """The rules were changed elsewhere meanwhile."""

    code = "rules-changed"
    exit_code = 75


class NoGenerationError(LocalError):
    """There is no such earlier state of the rules."""

    code = "no-generation"
    exit_code = 66


class Document(msgspec.Struct, kw_only=True, frozen=True):
    """What a file holds; also what a person exports and imports."""

    format: Literal["qnet-rules"] = FORMAT
    version: Literal[1] = 1
    default: RuleAction = RuleAction.TUNNEL
    rules: list[Rule] = []


@dataclass(frozen=True, slots=True)
class Saved:
    """A document and the last ``generation``, 0 where nothing has been saved yet.

    ``damaged`` says how many later generations were passed over to find the document.
    """

    generation: int
    document: Document
    damaged: int = 0


def document_of(data: bytes) -> Document:
    """Decode and check a file; raises ``RulesFileError``."""
    try:
        found = msgspec.json.decode(data, type=Document)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise RulesFileError(f"the rules are damaged ({error})", "Restore an earlier state, or import them") from None
    rules = []
    for number, rule in enumerate(found.rules, 1):
        try:
            rules.append(checked(rule))
        except RuleError as error:
            raise RulesFileError(f"rule {number}: {error.message}", error.hint) from None
    return msgspec.structs.replace(found, rules=rules)


class RuleStore:
    """``folder`` is made at the first save, 0700."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def generations(self) -> list[int]:
        """What is there, the newest first."""
        with suppress(FileNotFoundError, NotADirectoryError):
            found = (_FILE.fullmatch(path.name) for path in self._folder.iterdir())
            return sorted((int(match[1]) for match in found if match), reverse=True)
        return []

    def load(self) -> Saved:
        """The newest that can be read; raises ``RulesFileError`` where there are some and none can.

        It must not fall back on "no rules" then: what the person blocks or keeps direct would change in silence.
        """
        generations = self.generations()
        failure: RulesFileError | None = None
        for damaged, generation in enumerate(generations):
            try:
                return Saved(generations[0], self._read(generation), damaged)
            except RulesFileError as error:
                failure = failure or error
        if failure:
            raise failure
        return Saved(0, Document())

    def save(self, document: Document, base: int) -> Saved:
        """Make ``document`` the next generation; raises ``RulesChangedError`` if ``base`` is not the last."""
        last = next(iter(self.generations()), 0)
        if base != last:
            raise RulesChangedError("the rules were changed elsewhere meanwhile", "Load them again; nothing was lost")
        generation = last + 1
        try:
            self._write(self._path(generation), msgspec.json.encode(document))
            for old in self.generations()[KEPT:]:
                self._path(old).unlink(missing_ok=True)
        except OSError as error:
            raise RulesFileError(f"the rules cannot be saved ({error.strerror})", "Make room on the disk") from None
        return Saved(generation, document)

    def restore(self, generation: int, base: int) -> Saved:
        """Make an earlier generation the newest; raises ``NoGenerationError``, and what ``save`` does."""
        if generation not in self.generations():
            raise NoGenerationError(f"there is no state {generation} of the rules", "Choose one of the list")
        return self.save(self._read(generation), base)

    def read_times(self, generations: Sequence[int]) -> list[float]:
        """When each generation was saved, unix seconds; 0 where it is gone."""
        times = []
        for generation in generations:
            try:
                times.append(self._path(generation).stat().st_mtime)
            except OSError:
                times.append(0.0)
        return times

    def _path(self, generation: int) -> Path:
        return self._folder / f"{generation:08}.json"

    def _read(self, generation: int) -> Document:
        try:
            return document_of(self._path(generation).read_bytes())
        except OSError as error:
            raise RulesFileError(f"the rules cannot be read ({error.strerror})", "Check the folder’s owner") from None

    def _write(self, path: Path, data: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self._folder, prefix=".")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
