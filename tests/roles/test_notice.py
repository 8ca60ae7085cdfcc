"""The notice page."""

import httpx
import pytest

from qnet.roles.notice import notice_app

pytestmark = pytest.mark.anyio


async def test_it_says_what_this_is_and_whom_to_write_to() -> None:
    app = httpx.ASGITransport(notice_app('a"<b>@example.org', (80, 443)))
    async with httpx.AsyncClient(transport=app, base_url="http://192.0.2.7") as asking:
        for path in ("/", "/robots.txt", "/any/../where"):
            answer = await asking.get(path)
            assert answer.status_code == 200 and "exit of QNet" in answer.text
            assert 'href="mailto:a&quot;&lt;b&gt;@example.org"' in answer.text and "80, 443" in answer.text
        assert (await asking.post("/")).status_code == 405
