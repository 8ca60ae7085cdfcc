"""What a foreign list or backup gave: the rules, and a word on all that could not be taken as it was."""

import re
from dataclasses import dataclass, field

from qnet.browser.rules.rule import RuleError, checked
from qnet.browser.rules.ruleset import MAX_RULES
from qnet.wire.errors import LocalError
from qnet.wire.messages import Rule, RuleAction, RuleKind

MAX_BYTES = 16 * 1024 * 1024
LINE = 4096
"""Characters of one line; a longer one is passed over."""
MAX_WARNINGS = 100
_SHOWN = 80

_ADDRESS = re.compile(r"(?:([a-z*?]+)://)?(?:[^/@]*@)?(\[[^\]]*\]|[^/:\[\]]*)(?::([0-9]+|\*))?(/.*)?", re.I | re.S)
_URL_REGEX = re.compile(
    r"\^?(?:https?\??|\(\??:?(?:https?|http\|https|https?\|ftp|https\?\|ftp)\)|\[\^?[^\]]*\]\+|\.\*|\.\+|\\w\+)"
    r"(?::|\\:)(?:\\?/){2}"
)


class ImportFormatError(LocalError):
    """The text is no list or backup that can be read."""

    code = "import"
    exit_code = 65


@dataclass(slots=True)
class Parsed:
    """``rules`` are checked; ``warnings`` are the first hundred of ``trouble`` in words a person can act on.

    ``default`` is what the backup did with all else, where it says so.
    """

    rules: list[Rule] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    trouble: int = 0
    default: RuleAction | None = None

    def warn(self, what: str, why: str) -> None:
        """``what`` is foreign text."""
        self.trouble += 1
        if len(self.warnings) < MAX_WARNINGS:
            short = what if len(what) <= _SHOWN else what[:_SHOWN] + "…"
            printable = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in short)
            self.warnings.append(f"“{printable}”: {why}")

    def add(self, source: str, rule: Rule) -> None:
        """Take ``rule``, or warn that ``source`` gave none."""
        if len(self.rules) >= MAX_RULES:
            if len(self.rules) == MAX_RULES and not any("at most" in warning for warning in self.warnings[-1:]):
                self.warn(source, f"at most {MAX_RULES} rules; this one and what follows were left out")
            return
        try:
            self.rules.append(checked(rule))
        except RuleError as error:
            self.warn(source, f"left out: {error.message}")

    def add_address(self, source: str, text: str, action: RuleAction, *, enabled: bool = True, note: str = "") -> None:
        """Take what is written like a URL with wildcards; ``*.name`` is the domain with all below it."""
        found = _ADDRESS.fullmatch(text)
        host = found[2].removesuffix(".") if found else ""
        if not found or not host:
            self.warn(source, "left out: it is not about a host")
            return
        port = int(found[3]) if found[3] and found[3] != "*" and len(found[3]) < 6 else 0
        if found[4] and found[4].rstrip("*") not in ("", "/"):
            self.warn(source, "a rule sees no paths: it is now about the whole host")
        name = host.removeprefix("**.").removeprefix("*.").removeprefix(".")
        if "*" not in name and "?" not in name:
            kind = RuleKind.DOMAIN if name != host else RuleKind.HOST
        else:
            kind, name = RuleKind.WILDCARD, host
        self.add(source, Rule(kind=kind, pattern=name, action=action, port=port, enabled=enabled, note=note))

    def add_url_regex(
        self, source: str, text: str, action: RuleAction, *, enabled: bool = True, note: str = ""
    ) -> None:
        """Take an expression that was about whole URLs: the part about the host, where it can be told."""
        scheme = _URL_REGEX.match(text)
        host, path = _until_slash(text[scheme.end() :] if scheme else text)
        if path is None and not scheme:
            pattern = host
        elif scheme:
            pattern = f"^(?:{host})$" if path is not None else f"^(?:{host})"
        else:
            self.warn(source, "left out: it is about paths, which a rule does not see")
            return
        if path is not None and path.strip("^$.*()?") != "":
            self.warn(source, "a rule sees no paths: it is now about the whole host")
        self.add(source, Rule(kind=RuleKind.REGEX, pattern=pattern, action=action, enabled=enabled, note=note))


def _until_slash(text: str) -> tuple[str, str | None]:
    """An expression up to its first slash outside a class, and what is behind it (None: there is no slash)."""
    in_class = False
    at = 0
    while at < len(text):
        char = text[at]
        if char == "\\":
            if text[at + 1 : at + 2] == "/" and not in_class:
                return text[:at], text[at + 2 :]
            at += 1
        elif char == "[":
            in_class = True
        elif char == "]":
            in_class = False
        elif char == "/" and not in_class:
            return text[:at], text[at + 1 :]
        at += 1
    return text, None
