"""The rules in force: kept on disk, compiled for the helper and the browsers, and changed on request.

Changing 100,000 rules takes a good part of a second: call the methods that change from a thread, one at a time. What
is in force is swapped whole, so that whoever asks meanwhile gets the old or the new.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from qnet.browser.pac import Pac, compile_pac
from qnet.browser.rules.importing import read_any
from qnet.browser.rules.rule import RuleError, checked
from qnet.browser.rules.ruleset import RuleSet, Section, Verdict
from qnet.browser.rules.store import Document, RulesFileError, RuleStore, Saved
from qnet.wire.errors import LocalError
from qnet.wire.messages import (
    RULES_CHUNK,
    EditRules,
    ErrorInfo,
    Generation,
    ImportReport,
    ImportRules,
    Rule,
    RuleAction,
    RulesPage,
    rule_size,
)


class EditError(LocalError):
    """The change does not fit the rules."""

    code = "edit"
    exit_code = 65


@dataclass(frozen=True, slots=True)
class _InForce:
    saved: Saved
    rules: RuleSet
    pac: Pac
    problem: ErrorInfo | None = None


class RuleKeeper:
    """``port`` is the browsers' proxy port on 127.0.0.1.

    Where none of the saved states can be read, everything goes through the tunnel and ``page`` says why.
    """

    def __init__(self, store: RuleStore, port: int) -> None:
        self._store = store
        self._port = port
        self._lists: tuple[Section, ...] = ()
        try:
            saved = store.load()
            self._now = self._compiled(saved, _passed_over(saved))
        except LocalError as error:
            last = next(iter(store.generations()), 0)
            problem = ErrorInfo(code=error.code, message=error.message, hint=error.hint)
            self._now = self._compiled(Saved(last, Document()), problem)

    @property
    def pac(self) -> Pac:
        """The browsers' script."""
        return self._now.pac

    @property
    def generation(self) -> int:
        """Which state is in force."""
        return self._now.saved.generation

    def verdict(self, host: str, port: int) -> Verdict:
        """What happens to a canonical host."""
        return self._now.rules.verdict(host, port)

    def page(self, offset: int = 0) -> RulesPage:
        """As many rules from ``offset`` on as one message holds."""
        now = self._now
        rules = now.saved.document.rules
        end, room = max(offset, 0), RULES_CHUNK
        while end < len(rules) and (room := room - rule_size(rules[end])) >= 0:
            end += 1
        numbers = self._store.generations()
        return RulesPage(
            generation=now.saved.generation,
            default=now.saved.document.default,
            total=len(rules),
            offset=max(offset, 0),
            rules=rules[max(offset, 0) : end],
            generations=[
                Generation(number=number, saved=saved)
                for number, saved in zip(numbers, self._store.read_times(numbers), strict=True)
            ],
            problem=now.problem,
        )

    def edit(self, request: EditRules) -> None:
        """Change the rules and save them; raises ``RuleError``, ``EditError`` or what the store does."""
        document = self._now.saved.document
        rules = list(document.rules)
        for edit in request.edits:
            if not 0 <= edit.at <= edit.at + edit.remove <= len(rules) or edit.remove < 0:
                raise EditError("the change is about rules that are not there", "Load the rules again")
            rules[edit.at : edit.at + edit.remove] = [_checked(rule, edit.at + n) for n, rule in enumerate(edit.insert)]
        changed = msgspec.structs.replace(document, rules=rules, default=request.default or document.default)
        self._replace(changed, request.base)

    def restore(self, generation: int, base: int) -> None:
        """Make an earlier generation the present one; raises what the store does."""
        saved = self._store.restore(generation, base)
        self._now = self._compiled(saved)

    def take(self, text: str, request: ImportRules) -> ImportReport:
        """Import a file; raises ``ImportFormatError`` and what the store does."""
        found = read_any(text, request.action)
        if not request.trial:
            document = self._now.saved.document
            rules = found.rules if request.replace else [*document.rules, *found.rules]
            default = found.default if request.replace and found.default else document.default
            self._replace(msgspec.structs.replace(document, rules=rules, default=default), request.base)
        return ImportReport(
            rules=len(found.rules),
            direct=sum(rule.action is RuleAction.DIRECT for rule in found.rules),
            trouble=found.trouble,
            warnings=found.warnings,
            default=found.default,
        )

    def follow(self, lists: Sequence[Section]) -> None:
        """Put ``lists`` in force behind the person's own rules, in place of those before; raises ``RuleSetError``.

        Nothing of the person's own changes, nor what is on disk. Where there are too many, all stays as it was.
        """
        before, self._lists = self._lists, tuple(lists)
        try:
            self._now = self._compiled(self._now.saved, self._now.problem)
        except RuleError:
            self._lists = before
            raise

    def _replace(self, document: Document, base: int) -> None:
        # Compiled first: what cannot be used is not saved.
        ready = self._compiled(Saved(base, document))
        saved = self._store.save(document, base)
        self._now = _InForce(saved, ready.rules, ready.pac)

    def _compiled(self, saved: Saved, problem: ErrorInfo | None = None) -> _InForce:
        rules = RuleSet([Section("", saved.document.rules), *self._lists], saved.document.default)
        return _InForce(saved, rules, compile_pac(self._port, rules), problem)


def _checked(rule: Rule, place: int) -> Rule:
    try:
        return checked(rule)
    except RuleError as error:
        raise RuleError(f"rule {place + 1}: {error.message}", error.hint) from None


def _passed_over(saved: Saved) -> ErrorInfo | None:
    if not saved.damaged:
        return None
    return ErrorInfo(
        code=RulesFileError.code,
        message="the rules that were saved last are damaged; the ones before them are in force",
        hint="Look through them, then save",
    )
