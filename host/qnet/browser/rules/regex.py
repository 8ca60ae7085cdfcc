"""The regular expressions that a rule may hold: a subset that means the same everywhere and is always quick.

Grammar (a host is ASCII, lower case, at most 253 characters; the expression is searched in it, not anchored):

    expression = sequence *("|" sequence)
    sequence   = *(atom [quantifier])
    atom       = character / "." / class / "^" / "$" / "\\b" / "(" ["?:"] expression ")"
    class      = "[" ["^"] *(character / range / "\\d" / "\\w") "]" / "\\d" / "\\w" / "\\D" / "\\W"
    quantifier = ("*" / "+" / "?" / "{m}" / "{m,}" / "{m,n}") ["?"]

Python's and the browsers' engines backtrack, so what they need is counted before they ever see it: each choice that
may have to be tried again (the search's start, an open repeat beside characters that it matches too, alternatives
that begin alike) multiplies the steps. Beyond ``STEPS`` an expression is refused, as are repeats within repeats,
back references and look-around. Both engines are given the text that ``translate`` writes anew, never the original.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from qnet.wire.errors import RemoteError

LENGTH = 512
"""Characters of an expression."""
DEPTH = 20
"""Groups within groups."""
HOST_LENGTH = 253
STEPS = 4 * HOST_LENGTH**2
"""How many ways of matching one host an engine may have to try: some milliseconds at the very worst."""

ALPHABET = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._-:")
"""Every character of a canonical host."""
_DIGITS = frozenset("0123456789")
_WORD = ALPHABET - frozenset(".-:")
_CLASSES = {"d": _DIGITS, "w": _WORD, "D": ALPHABET - _DIGITS, "W": ALPHABET - _WORD, "s": frozenset(""), "S": ALPHABET}
_SPECIAL = frozenset("\\^$.|?*+()[]{}/-")


class RegexError(RemoteError):
    """The expression is not in the subset; says why."""


@dataclass(frozen=True, slots=True)
class _Chars:
    """One character of a set."""

    chars: frozenset[str]
    text: str


@dataclass(frozen=True, slots=True)
class _Edge:
    """A place between characters."""

    text: str


@dataclass(frozen=True, slots=True)
class _Repeat:
    node: "_Node"
    low: int
    high: int | None
    suffix: str


@dataclass(frozen=True, slots=True)
class _Sequence:
    parts: tuple["_Node", ...]


@dataclass(frozen=True, slots=True)
class _Choice:
    branches: tuple["_Node", ...]


_Node: TypeAlias = _Chars | _Edge | _Repeat | _Sequence | _Choice


def translate(pattern: str) -> str:
    """The expression as both engines get it, all ASCII; raises ``RegexError``."""
    return _known(pattern)[0]


def required(pattern: str) -> str:
    """The longest run of characters that every match contains as it stands; raises ``RegexError``."""
    return _known(pattern)[1]


@lru_cache(maxsize=8192)
def _known(pattern: str) -> tuple[str, str]:
    if len(pattern) > LENGTH:
        raise RegexError(f"the expression has {len(pattern)} characters; at most {LENGTH} are allowed")
    node = _without_open_ends(_Parser(pattern).parse())
    steps = _steps(node, frozenset())
    if not _anchored(node):
        steps *= HOST_LENGTH
    if steps > STEPS:
        raise RegexError(
            "the expression could take very long: too many open repeats (* or +) beside characters they match as well"
        )
    return _write(node), _literal_run(node)


def _literal_run(node: "_Node") -> str:
    runs = [""]
    for part in _flat(node):
        if isinstance(part, _Chars) and len(part.chars) == 1:
            runs[-1] += next(iter(part.chars))
        else:
            runs.append("")
    return max(runs, key=len)


def _flat(node: "_Node") -> Iterator["_Node"]:
    if isinstance(node, _Sequence):
        for part in node.parts:
            yield from _flat(part)
    else:
        yield node


class _Parser:
    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0
        self._depth = 0

    def parse(self) -> _Node:
        node = self._choice()
        if self._at < len(self._text):
            raise RegexError("there is a “)” without its “(”")
        return node

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self, what: str) -> str:
        char = self._peek()
        if not char:
            raise RegexError(f"the expression ends within {what}")
        self._at += 1
        return char

    def _choice(self) -> _Node:
        branches = [self._sequence()]
        while self._peek() == "|":
            self._at += 1
            branches.append(self._sequence())
        return branches[0] if len(branches) == 1 else _Choice(tuple(branches))

    def _sequence(self) -> _Node:
        parts = []
        while self._peek() not in ("", "|", ")"):
            parts.append(self._quantified(self._atom()))
        return parts[0] if len(parts) == 1 else _Sequence(tuple(parts))

    def _atom(self) -> _Node:
        char = self._take("itself")
        match char:
            case "(":
                return self._group()
            case "[":
                return self._class()
            case ".":
                return _Chars(ALPHABET, ".")
            case "^" | "$":
                return _Edge(char)
            case "\\":
                return self._escape()
            case "*" | "+" | "?" | "{" | "}" | "]":
                raise RegexError(f"“{char}” has nothing to act on; for the character itself write “\\{char}”")
        return _literal(char)

    def _group(self) -> _Node:
        if self._peek() == "?":
            if self._text[self._at : self._at + 2] != "?:":
                raise RegexError("look-around, named groups and flags “(?…” are not allowed; plain groups “(…)” are")
            self._at += 2
        self._depth += 1
        if self._depth > DEPTH:
            raise RegexError(f"more than {DEPTH} groups within each other")
        node = self._choice()
        self._depth -= 1
        if self._take("a group") != ")":
            raise RegexError("a group is not closed")
        return node

    def _escape(self) -> _Node:
        char = self._take("an escape")
        if char == "b":
            return _Edge("\\b")
        if char in _CLASSES:
            return _set(_CLASSES[char])
        if char.isalnum():
            what = "back references are" if char.isdigit() else f"“\\{char}” is"
            raise RegexError(f"{what} not allowed")
        return _literal(char)

    def _class(self) -> _Node:
        negated = self._peek() == "^"
        self._at += negated
        chars: set[str] = set()
        first = True
        while (char := self._take("a class “[…]”")) != "]" or first:
            first = False
            if char == "]":
                raise RegexError("an empty class “[]” is not allowed")
            if char == "\\":
                char = self._take("an escape")
                if char in _CLASSES:
                    chars |= _CLASSES[char]
                    continue
                if char.isalnum():
                    raise RegexError(f"“\\{char}” is not allowed within a class")
            if self._peek() == "-" and self._text[self._at + 1 : self._at + 2] not in ("]", ""):
                self._at += 1
                last = self._take("a range")
                if last == "\\":
                    last = self._take("an escape")
                    if last.isalnum():
                        raise RegexError(f"“\\{last}” cannot end a range")
                if last < char:
                    raise RegexError(f"the range “{char}-{last}” runs backwards")
                if not (char.isascii() and last.isascii()):
                    raise RegexError(_NOT_ASCII)
                chars |= {chr(code).lower() for code in range(ord(char), ord(last) + 1)}
            else:
                chars |= _literal(char).chars
        return _set(ALPHABET - chars if negated else ALPHABET & chars)

    def _quantified(self, node: _Node) -> _Node:
        char = self._peek()
        if char not in ("*", "+", "?", "{"):
            return node
        self._at += 1
        low, high = {"*": (0, None), "+": (1, None), "?": (0, 1)}.get(char) or self._counts()
        suffix = ""
        if self._peek() == "?":
            self._at += 1
            suffix = "?"
        if self._peek() in ("*", "+", "?", "{") and self._peek():
            raise RegexError("a repeat of a repeat is not allowed")
        if isinstance(node, _Edge):
            raise RegexError(f"“{node.text}” cannot be repeated")
        if high is None or high > 1:
            _check_repeatable(node)
        return _Repeat(node, low, high, suffix)

    def _counts(self) -> tuple[int, int | None]:
        end = self._text.find("}", self._at)
        low, comma, high = self._text[self._at : end].partition(",")
        if end < 0 or not _is_count(low) or not (high == "" or _is_count(high)):
            raise RegexError("after “{” one or two numbers and “}” are due; for the character itself write “\\{”")
        self._at = end + 1
        least, most = int(low), (int(high) if high else None) if comma else int(low)
        if most is not None and most < least:
            raise RegexError(f"the repeat “{{{least},{most}}}” runs backwards")
        return least, most


_NOT_ASCII = "hosts are ASCII: write an international name as its xn-- form"


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= HOST_LENGTH


def _literal(char: str) -> _Chars:
    if not char.isascii():
        raise RegexError(_NOT_ASCII)
    return _set(ALPHABET & {char.lower()})


def _set(chars: frozenset[str]) -> _Chars:
    if not chars:
        return _Chars(chars, "(?!)")  # no host has it; both engines know this for "never"
    escaped = ["\\" + char if char in _SPECIAL else char for char in sorted(chars)]
    return _Chars(chars, escaped[0] if len(escaped) == 1 else f"[{''.join(escaped)}]")


def _check_repeatable(node: _Node) -> None:
    """Each turn of a repeat must have one way to match: then the whole has one for each number of turns."""
    match node:
        case _Repeat():
            raise RegexError("a repeat within a repeat is not allowed; a domain or wildcard rule often does the same")
        case _Edge():
            raise RegexError(f"“{node.text}” within a repeat is not allowed")
        case _Sequence(parts):
            if not parts:
                raise RegexError("an empty group cannot be repeated")
            for part in parts:
                _check_repeatable(part)
        case _Choice(branches):
            for branch in branches:
                _check_repeatable(branch)
            if _overlap(branches):
                raise RegexError("alternatives within a repeat must begin with different characters")


def _first(node: _Node) -> tuple[frozenset[str], bool]:
    """The characters that a match can begin with, and whether it can be empty."""
    match node:
        case _Chars(chars):
            return chars, False
        case _Edge():
            return frozenset(), True
        case _Repeat(inner, low, high):
            chars, empty = _first(inner)
            return (frozenset() if high == 0 else chars), empty or low == 0
        case _Choice(branches):
            firsts = [_first(branch) for branch in branches]
            return frozenset().union(*(chars for chars, _ in firsts)), any(empty for _, empty in firsts)
        case _Sequence(parts):
            found: frozenset[str] = frozenset()
            for part in parts:
                chars, empty = _first(part)
                found |= chars
                if not empty:
                    return found, False
            return found, True


def _overlap(branches: tuple[_Node, ...]) -> bool:
    seen: frozenset[str] = frozenset()
    for branch in branches:
        chars, empty = _first(branch)
        if empty or seen & chars:
            return True
        seen |= chars
    return False


def _steps(node: _Node, after: frozenset[str]) -> int:
    """In how many ways ``node`` may have to be tried where ``after`` are the characters that can follow it."""
    match node:
        case _Repeat(inner, low, high):
            chars, _ = _first(inner)
            ways = HOST_LENGTH if high is None else high - low + 1
            within = _steps(inner, after if high == 1 else after | chars)
            return within * (ways if chars & after else 1)
        case _Choice(branches):
            steps = [_steps(branch, after) for branch in branches]
            return sum(steps) if _overlap(branches) else max(steps)
        case _Sequence(parts):
            total = 1
            for part in reversed(parts):
                total = min(total * _steps(part, after), STEPS + 1)
                chars, empty = _first(part)
                after = after | chars if empty else chars
            return total
    return 1


def _anchored(node: _Node) -> bool:
    match node:
        case _Edge("^"):
            return True
        case _Sequence(parts):
            return bool(parts) and _anchored(parts[0])
        case _Choice(branches):
            return all(map(_anchored, branches))
    return False


def _without_open_ends(node: _Node) -> _Node:
    """A search needs no “anything” at its ends: ``^.*x``, ``.*x`` and ``x`` find the same hosts."""
    if not isinstance(node, _Sequence):
        return node
    parts = list(node.parts)
    while len(parts) > 1 and _is_anything(parts[0]):
        parts.pop(0)
    if len(parts) > 2 and parts[0] == _Edge("^") and _is_anything(parts[1]):
        del parts[:2]
    while len(parts) > 1 and _is_anything(parts[-1]):
        parts.pop()
    if len(parts) > 2 and parts[-1] == _Edge("$") and _is_anything(parts[-2]):
        del parts[-2:]
    return _Sequence(tuple(parts))


def _is_anything(node: _Node) -> bool:
    return isinstance(node, _Repeat) and node.low == 0 and node.high is None and _first(node.node)[0] == ALPHABET


def _write(node: _Node) -> str:
    match node:
        case _Chars(text=text) | _Edge(text=text):
            return text
        case _Sequence(parts):
            return "".join(map(_write_part, parts))
        case _Choice(branches):
            return "(?:" + "|".join(map(_write, branches)) + ")"
        case _Repeat(inner, low, high, suffix):
            text = _write_part(inner) if isinstance(inner, _Chars | _Choice) else f"(?:{_write(inner)})"
            return text + _quantifier(low, high) + suffix


def _write_part(node: _Node) -> str:
    return f"(?:{_write(node)})" if isinstance(node, _Sequence) else _write(node)


def _quantifier(low: int, high: int | None) -> str:
    short: Callable[[tuple[int, int | None]], str | None] = {(0, None): "*", (1, None): "+", (0, 1): "?"}.get
    return short((low, high)) or f"{{{low},{'' if high is None else high}}}"
