"""docs/CONFIGURATION.md names every setting with its options, its variable and its default, and nothing else."""

import re
from pathlib import Path
from typing import get_args

import msgspec

from qnet.app.modes import MODES
from qnet.cli.commands import run_options
from qnet.settings import VARIABLES, Mode, Settings

PAGE = (Path(__file__).parents[1] / "docs" / "CONFIGURATION.md").read_text()


def expected() -> dict[str, tuple[list[str], str, str]]:
    variables = {variable.field: name for name, variable in VARIABLES.items()}
    rows = {}
    for field in msgspec.structs.fields(Settings):
        default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
        given = msgspec.json.encode(default).decode()
        rows[field.name] = (run_options().get(field.name, []), variables.get(field.name, ""), given)
    return rows


def test_every_setting_is_documented_as_it_is() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \| `(.*?)` \| \S.* \|$", PAGE, re.MULTILINE)
    documented = {
        name: (re.findall(r"`(.*?)`", options), variable.strip("` "), default)
        for name, options, variable, default in rows
    }
    assert documented == expected()


def test_the_modes_are_documented_as_they_are() -> None:
    table = re.findall(r"^\| (.+?) \| (yes|no) \| (yes|no) \| (yes|no) \| (yes|no) \| (yes|no) \|$", PAGE, re.MULTILINE)
    names = ("queries_directory", "registers", "runs_directory", "relays", "exits", "proxies", "relays", "exits")
    assert len(table) == len(names)
    for (_, *cells), name in zip(table, names, strict=True):
        assert [cell == "yes" for cell in cells] == [getattr(MODES[mode], name) for mode in get_args(Mode)], name
