"""HTTP proxy: CONNECT and absolute-form, and every head that must not pass."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnet.wire.destination import ProxyError, ProxyRequest
from qnet.wire.http_proxy import HEAD_LIMIT, HttpProxyHandshake
from qnet.wire.steps import Done, Receive


def head(*lines: str) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def converse(data: bytes) -> Done[ProxyRequest]:
    done = HttpProxyHandshake().step(data)
    assert isinstance(done, Done)
    return done


def status(data: bytes) -> int:
    with pytest.raises(ProxyError) as caught:
        HttpProxyHandshake().step(data)
    line, _, rest = caught.value.answer.partition(b"\r\n")
    fields, _, body = rest.partition(b"\r\n\r\n")
    assert b"Connection: close" in fields
    assert f"Content-Length: {len(body)}".encode() in fields
    assert body.startswith(b"host: ")
    assert body.count(b"\n") == 1
    return int(line.split()[1])


CONNECT = head("CONNECT example.org:443 HTTP/1.1", "Host: example.org:443", "Proxy-Connection: keep-alive")
GET = head(
    "GET http://Example.ORG/a?b HTTP/1.1",
    "Host: example.org",
    "User-Agent: t",
    "Proxy-Connection: keep-alive",
    "Proxy-Authorization: Basic c2VjcmV0",
    "Connection: keep-alive, X-Hop",
    "X-Hop: 1",
    "TE: trailers",
)
GET_FIRST = head("GET /a?b HTTP/1.1", "Host: example.org", "User-Agent: t", "Connection: close")


def test_connect_with_trailing_bytes() -> None:
    assert converse(CONNECT + b"\x16\x03\x01") == Done(ProxyRequest("example.org", 443, "connect"), b"\x16\x03\x01")


@pytest.mark.parametrize(
    ("target", "host", "port"),
    [
        ("EXAMPLE.org.:8443", "example.org", 8443),
        ("192.0.2.1:443", "192.0.2.1", 443),
        ("[2001:DB8:0::1]:443", "2001:db8::1", 443),
    ],
)
def test_connect_targets(target: str, host: str, port: int) -> None:
    done = converse(head(f"CONNECT {target} HTTP/1.1", f"Host: {target}"))
    assert (done.result.host, done.result.port) == (host, port)


def test_connect_host_field_may_leave_out_the_port() -> None:
    assert converse(head("CONNECT a.example:443 HTTP/1.1", "Host: a.example")).result.port == 443


def test_connect_of_http_1_0_needs_no_host_field() -> None:
    assert converse(head("CONNECT a.example:443 HTTP/1.0")).result.kind == "connect"


def test_absolute_form_becomes_origin_form() -> None:
    assert converse(GET) == Done(ProxyRequest("example.org", 80, "http", GET_FIRST, 0), b"")


def test_body_flows_as_trailing_bytes() -> None:
    done = converse(head("POST http://a.example:8080 HTTP/1.1", "Host: a.example:8080", "Content-Length: 3") + b"abc")
    assert done.trailing == b"abc"
    assert done.result.body == 3
    assert done.result.first == head(
        "POST / HTTP/1.1", "Host: a.example:8080", "Content-Length: 3", "Connection: close"
    )


def test_chunked_body_has_no_known_length_and_keeps_its_framing() -> None:
    done = converse(
        head(
            "POST http://a.example/ HTTP/1.1", "Host: a.example", "Transfer-Encoding: chunked",
            "Connection: transfer-encoding",
        )
    )  # fmt: skip
    assert done.result.body is None
    assert b"Transfer-Encoding: chunked\r\n" in done.result.first


@pytest.mark.parametrize(("url", "path"), [("http://a.example?x", b"/?x"), ("http://a.example", b"/")])
def test_empty_path(url: str, path: bytes) -> None:
    assert converse(head(f"GET {url} HTTP/1.1", "Host: a.example")).result.first.split()[1] == path


def test_options_of_the_whole_server() -> None:
    assert converse(head("OPTIONS http://a.example HTTP/1.1", "Host: a.example")).result.first.split()[1] == b"*"


def test_ipv6_authority_keeps_its_brackets() -> None:
    done = converse(head("GET http://[2001:db8::1]:81/ HTTP/1.1", "Host: [2001:db8::1]:81"))
    assert done.result.host == "2001:db8::1"
    assert b"Host: [2001:db8::1]:81\r\n" in done.result.first


def test_byte_by_byte() -> None:
    for data, expected in ((CONNECT, converse(CONNECT)), (GET, converse(GET))):
        handshake = HttpProxyHandshake()
        steps = [handshake.step(data[at : at + 1]) for at in range(len(data))]
        assert all(step == Receive() for step in steps[:-1])
        assert steps[-1] == expected


BAD = {
    "origin form, as a page would send it": head("GET / HTTP/1.1", "Host: 127.0.0.1:1088"),
    "https in absolute form": head("GET https://a.example/ HTTP/1.1", "Host: a.example"),
    "user information": head("GET http://me@a.example/ HTTP/1.1", "Host: a.example"),
    "fragment": head("GET http://a.example/#x HTTP/1.1", "Host: a.example"),
    "no port": head("CONNECT a.example HTTP/1.1", "Host: a.example"),
    "port 0": head("CONNECT a.example:0 HTTP/1.1", "Host: a.example:0"),
    "port 65536": head("CONNECT a.example:65536 HTTP/1.1", "Host: a.example:65536"),
    "no host": head("CONNECT :443 HTTP/1.1", "Host: :443"),
    "another Host": head("GET http://a.example/ HTTP/1.1", "Host: b.example"),
    "another Host port": head("GET http://a.example/ HTTP/1.1", "Host: a.example:81"),
    "another Host with CONNECT": head("CONNECT a.example:443 HTTP/1.1", "Host: b.example:443"),
    "two Hosts": head("GET http://a.example/ HTTP/1.1", "Host: a.example", "Host: a.example"),
    "no Host": head("GET http://a.example/ HTTP/1.1"),
    "two framings": head(
        "POST http://a.example/ HTTP/1.1", "Host: a.example", "Content-Length: 3", "Transfer-Encoding: chunked"
    ),
    "two lengths": head("POST http://a.example/ HTTP/1.1", "Host: a.example", "Content-Length: 3", "Content-Length: 4"),
    "chunked HTTP/1.0": head("POST http://a.example/ HTTP/1.0", "Host: a.example", "Transfer-Encoding: chunked"),
    "unknown coding": head("POST http://a.example/ HTTP/1.1", "Host: a.example", "Transfer-Encoding: gzip"),
    "space before the colon": head("GET http://a.example/ HTTP/1.1", "Host : a.example"),
    "folded line": head("GET http://a.example/ HTTP/1.1", "Host: a.example", "X: 1", " 2"),
    "bare LF": b"GET http://a.example/ HTTP/1.1\nHost: a.example\r\n\r\n",
    "only bare LF, head never ends": b"GET http://a.example/ HTTP/1.1\nHost: a.example\n\n",
    "bare CR": b"GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\nX: 1\rY: 2\r\n\r\n",
    "NUL": b"GET http://a.example/\x00 HTTP/1.1\r\nHost: a.example\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "shell": b"EHLO there\r\n\r\n",
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD.keys())
def test_bad_requests(data: bytes) -> None:
    assert status(data) == 400


def test_names_of_the_mesh_are_forbidden() -> None:
    assert status(head("GET http://directory.qnet/ HTTP/1.1", "Host: directory.qnet")) == 403
    assert status(head("CONNECT x.qnet:443 HTTP/1.1", "Host: x.qnet:443")) == 403


def test_trace_is_not_allowed() -> None:
    assert status(head("TRACE http://a.example/ HTTP/1.1", "Host: a.example")) == 405


def test_head_limit() -> None:
    lines = ("GET http://a.example/ HTTP/1.1", "Host: a.example")
    room = HEAD_LIMIT - len(head(*lines, "X: "))
    assert converse(head(*lines, "X: " + "a" * room)).result.kind == "http"
    assert status(head(*lines, "X: " + "a" * (room + 1))) == 431
    assert status(b"GET /" + b"a" * HEAD_LIMIT) == 431


PIECES = st.sampled_from(
    [b"GET ", b"CONNECT ", b"http://", b"a.example", b":443", b"[::1]", b"/", b" HTTP/1.1", b"\r\n", b"\n", b"Host: ",
     b"Content-Length: ", b"1", b"Transfer-Encoding: chunked", b"\r\n\r\n", b"Connection: ", b",", b" "]
)  # fmt: skip


@given(st.lists(PIECES | st.binary(max_size=40), max_size=30))
def test_any_input_gives_a_step_or_a_proxy_error_however_it_arrives(arrivals: list[bytes]) -> None:
    def outcome(parts: list[bytes]) -> object:
        handshake = HttpProxyHandshake()
        try:
            for position, data in enumerate(parts):
                step = handshake.step(data)
                if isinstance(step, Done):
                    return Done(step.result, step.trailing + b"".join(parts[position + 1 :]))
        except ProxyError as error:
            return error.answer
        return Receive()

    whole = b"".join(arrivals)
    assert outcome(arrivals) == outcome([whole]) == outcome([whole[at : at + 1] for at in range(len(whole))])
