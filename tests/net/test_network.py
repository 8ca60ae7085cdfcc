"""Telling networks apart: by this machine's address, and by the router where the system says which."""

from pathlib import Path

import pytest

from qnet.net import network as module
from qnet.net.network import router

ROUTE = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
wlan0\t00000000\t0100A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0
wlan0\t0000A8C0\t00000000\t0001\t0\t0\t600\t00FFFFFF\t0\t0\t0
"""
ARP = """\
IP address       HW type     Flags       HW address            Mask     Device
192.168.0.1      0x1         0x2         {router}     *        wlan0
192.168.0.9      0x1         0x2         aa:aa:aa:aa:aa:aa     *        wlan0
"""


pytestmark = pytest.mark.anyio


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "_PROC", tmp_path)
    return tmp_path


async def test_another_router(proc: Path) -> None:
    (proc / "route").write_text(ROUTE)
    (proc / "arp").write_text(ARP.format(router="02:00:00:00:00:01"))
    assert await router() == "02:00:00:00:00:01"
    (proc / "arp").write_text(ARP.format(router="02:00:00:00:00:02"))
    assert await router() == "02:00:00:00:00:02"


@pytest.mark.parametrize("route", [None, "", "x", "Iface\nwlan0 00000000 zz 0003\n", "Iface\nwlan0 00000000\n"])
async def test_where_nobody_says(proc: Path, route: str | None) -> None:
    if route is not None:
        (proc / "route").write_text(route)
        (proc / "arp").write_text(ARP)
    assert await router() == ""
