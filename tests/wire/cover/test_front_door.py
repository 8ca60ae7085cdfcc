"""The peer's front door as a state machine: both sides say and end what and when they like."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tools.fuzz.machines import FrontDoor, opening, server_hello_record

PIECES = st.one_of(
    st.binary(min_size=1, max_size=80),
    st.integers(0, 300).map(lambda size: b"\x17\x03\x03" + size.to_bytes(2, "big") + bytes(size)),
    st.sampled_from([b"\x14\x03\x03\x00\x01\x01", b"\x15\x03\x03\x00\x02\x02\x28", b"\x17\x03\x03\xff\xff", b"\x17"]),
)


class Door(RuleBasedStateMachine):
    """``FrontDoor`` checks after each step: no byte of a stranger lost, doubled, reordered or held back too long."""

    def __init__(self) -> None:
        super().__init__()
        self.door = FrontDoor()

    @initialize(
        browser=st.sampled_from(["chromium", "firefox"]),
        cut=st.integers(0, 2000),
        spoiled=st.none() | st.integers(0, 1800),
        answered=st.booleans(),
    )
    def a_hello(self, browser: str, cut: int, spoiled: int | None, answered: bool) -> None:
        hello = bytearray(opening(browser))
        if spoiled is not None:
            hello[spoiled] ^= 1
        for piece in (bytes(hello[:cut]), bytes(hello[cut:])):
            if piece:
                self.door.client_says(piece)
        assert self.door.to_decoy == bytes(hello), "every byte of a hello is passed on at once"
        if spoiled is None:
            assert self.door.peer._hello is not None
        if answered:
            self.door.decoy_says(server_hello_record())

    @rule(data=PIECES)
    def the_client_says(self, data: bytes) -> None:
        self.door.client_says(data)

    @rule(data=PIECES)
    def the_decoy_says(self, data: bytes) -> None:
        self.door.decoy_says(data)

    @rule(more=st.just(b"") | PIECES)
    def the_client_begins_inside(self, more: bytes) -> None:
        self.door.client_begins_inside(more)

    @rule()
    def the_client_ends(self) -> None:
        self.door.client_ends()
        if not self.door.inside:
            assert self.door.to_decoy == self.door.client, "nothing is kept of what a client said before its end"

    @rule()
    def the_decoy_ends(self) -> None:
        self.door.decoy_ends()
        assert self.door.inside or len(self.door.to_client) == len(self.door.decoy)

    @precondition(lambda self: self.door.peer.next_timer() is not None)
    @rule()
    def a_second_passes(self) -> None:
        self.door.a_second_passes()
        assert self.door.peer.next_timer() is None, "N2 waits for a second and no longer"


Door.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestDoor = Door.TestCase
