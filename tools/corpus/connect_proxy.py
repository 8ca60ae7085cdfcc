"""A plain HTTPS proxy: CONNECT inside TLS, each tunnelled record inside one of TLS's. What a classifier must catch.

``python -m tools.corpus.connect_proxy HOST PORT CERTIFICATE KEY TARGET``; every CONNECT leads to TARGET.
"""

import asyncio
import ssl
import sys


async def main(host: str, port: str, certificate: str, key: str, target: str) -> None:
    """For ever."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["http/1.1"])
    there = target.rsplit(":", 1)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            site_reader, site_writer = await asyncio.open_connection(there[0], int(there[1]))
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(_pump(reader, site_writer), _pump(site_reader, writer))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, host, int(port), ssl=context)
    print("ready", flush=True)
    await server.serve_forever()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
