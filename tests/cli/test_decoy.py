"""``qnet decoy``: words, marks and exit codes, against nginx and a name server of this computer."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from qnet.app.decoy import CandidatesError, SiteError, read_candidates, site_of
from qnet.roles.decoy_check import Site
from tests.support.cover_pair import NAME, authority
from tests.support.dns import name_server
from tests.support.links import echo, site
from tests.support.tls_servers import free_port, nginx


async def qnet(*arguments: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "qnet",
        "decoy",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 50)
    return process.returncode, out.decode(), err.decode()


@pytest.mark.anyio
async def test_check_and_suggest(tmp_path: Path) -> None:
    roots = authority().write(tmp_path)
    candidates = tmp_path / "sites"
    async with name_server(lambda name, asked: ["127.0.0.1"] if name == NAME else None) as server, site(echo) as plain:
        with nginx(tmp_path, authority().issue(NAME)) as port:
            means = ["--dns", f"127.0.0.1:{server.port}", "--roots", str(roots), "--http-port", str(plain)]
            code, out, _ = await qnet("check", f"{NAME}:{port}", "--idle", "0", *means)
            assert code == 0 and out.splitlines()[-1] == f"{NAME} is a good decoy."
            assert "ok    TLS 1.3 with a certificate that browsers accept" in out.splitlines()
            here = ["--here", "198.51.100.7", "--json"]
            code, out, _ = await qnet("check", f"{NAME}:{port}", "--idle", "0", *means, *here)
            told = json.loads(out)
            assert code == 1 and told["verdict"] == "bad"
            assert {each["check"] for each in told["checks"] if each["verdict"] == "bad"} == {"address"}
            candidates.write_text(f"# mine\nnowhere.test\n{NAME}:{port}  # the best\n")
            code, out, _ = await qnet("suggest", str(candidates), *means)
            assert code == 0
            assert out.splitlines()[:2] == [f"ok    {NAME}:{port} ", "BAD   nowhere.test:443 (name)"]
        code, out, _ = await qnet("check", f"{NAME}:{free_port()}", "--idle", "0", *means)
        assert code == 1 and "BAD   no TLS 1.3 connection: it does not answer" in out
        candidates.write_text("nowhere.test\n")
        assert (await qnet("suggest", str(candidates), *means))[0] == 1


@pytest.mark.anyio
async def test_what_cannot_be_understood_is_said() -> None:
    code, _, err = await qnet("check", "not a host")
    assert code == 65 and err.startswith("qnet: this is no name of a web site. Write it as decoy.example")
    assert (await qnet("check", NAME, "--dns", "x"))[0] == 2
    code, _, err = await qnet("suggest", "/nowhere/sites")
    assert code == 66 and "cannot be read" in err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("decoy.example", Site("decoy.example")),
        (" https://Decoy.example:8443/x/y ", Site("decoy.example", 8443)),
        ("bücher.example", Site("xn--bcher-kva.example")),
    ],
)
def test_sites_are_written_in_several_ways(text: str, expected: Site) -> None:
    assert site_of(text) == expected


@pytest.mark.parametrize("text", ["", ":443", "a..b", "192.0.2.1", "[2001:db8::1]:443", "x:0", "x:65536", "-.test"])
def test_what_is_no_site(text: str) -> None:
    with pytest.raises(SiteError):
        site_of(text)


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"\xff\xfe\xff", b"x.test\n" * 201])
def test_files_that_are_no_lists(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "sites"
    path.write_bytes(content)
    with pytest.raises(CandidatesError):
        read_candidates(path)
