"""A process with a real control server and nothing behind it: answers status, tells its events, stops when told."""

import os
import sys
from pathlib import Path

import anyio

from qnet.net.control import ControlServer, ControlSession
from qnet.wire.errors import Place
from qnet.wire.messages import (
    Answer,
    AnyRequest,
    ErrorInfo,
    GetPac,
    Hello,
    HelloInfo,
    Hop,
    PacChunk,
    State,
    Status,
    StatusEvent,
    Stop,
)

STATUS = Status(
    state=State.CONNECTED,
    mode="client",
    version="9.9",
    since=0.0,
    hops=[Hop(nickname="far", country="NL", exit=True)],
    last_error=ErrorInfo(code="x", message="It broke", hint="Mend it", place=Place.MESH),
)


class Handler:
    async def handle(self, session: ControlSession, request: AnyRequest) -> Answer:
        match request:
            case Hello():
                session.send(StatusEvent(status=STATUS))
                return Answer(id=request.id, ok=True, hello=HelloInfo(version=1, helper="9.9", features=[]))
            case GetPac():
                chunk = PacChunk(hash="h", size=1, offset=0, text="é" * request.offset)
                return Answer(id=request.id, ok=True, pac=chunk)
            case Stop():
                os._exit(0)
        return Answer(id=request.id, ok=True, status=STATUS)

    def closed(self, session: ControlSession) -> None:
        pass


if __name__ == "__main__":
    anyio.run(ControlServer(Path(sys.argv[1]), Handler()).serve)
