import asyncio
import io

import aiohttp
import pytest

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 100


async def test_a_raw_upload_is_sniffed_named_safely_and_served_by_its_link(api, server):
    status, said = await api.post("/attachments?name=../../etc/p.html", data=PNG)
    assert (status, said["name"], said["media_type"], said["listed_as"]) == (201, "p.html", "image/png", "media")
    assert said["size"] == len(PNG)
    async with server.get(said["link"]) as response:
        assert await response.read() == PNG
        assert response.headers["Content-Type"] == "image/png"
        assert response.headers["Content-Disposition"].startswith("attachment")
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "Set-Cookie" not in response.headers
    async with server.head(said["link"]) as response:
        assert (response.status, response.headers["Content-Length"]) == (200, str(len(PNG)))


async def test_the_first_file_of_a_form_is_taken(api):
    form = aiohttp.FormData()
    form.add_field("note", "ignored")
    form.add_field("file", io.BytesIO(b"a,b\n1,2\n"), filename="t.csv")
    status, said = await api.post("/attachments", data=form)
    assert (status, said["name"], said["media_type"], said["size"]) == (201, "t.csv", "text/csv", 8)


async def test_a_link_holds_for_five_minutes_and_for_one_file(hub, api, server):
    _, first = await api.post("/attachments?name=a", data=PNG)
    _, second = await api.post("/attachments?name=b", data=PNG)
    query = first["link"].partition("?")[2]
    async with server.get(f"/media/{second['id']}?{query}") as response:
        assert response.status == 404
    async with server.get(f"/media/{first['id']}") as response:
        assert response.status == 404
    await hub.pass_time(minutes=6)
    async with server.get(first["link"]) as response:
        assert response.status == 404
    fresh = await api.get(f"/attachments/{first['id']}")
    async with server.get(fresh["link"]) as response:
        assert response.status == 200


@pytest.mark.parametrize("with_length", [True, False])
async def test_a_file_over_the_limit_is_413_and_not_kept(hub, api, with_length):
    async def chunks():
        for _ in range(110):
            yield b"x" * 1024

    data = io.BytesIO(b"x" * 110 * 1024) if with_length else chunks()
    status, problem = await api.post("/attachments?name=a", data=data)
    assert (status, problem["code"]) == (413, "too_large")
    assert await hub.rows("SELECT * FROM attachment") == []


@pytest.mark.parametrize("body", [b"", b"--x--\r\n"])
async def test_no_file_at_all_is_a_fault(api, body):
    headers = {"Content-Type": "multipart/form-data; boundary=x" if body else "image/png"}
    status, problem = await api.post("/attachments", data=body, headers=headers)
    assert (status, problem["code"]) == (422, "invalid")


@pytest.mark.parametrize("header", ['Content-Disposition: form-data; filename="a\0"', "A: b\r\n" * 3000])
async def test_a_form_whose_headers_are_damaged_is_a_fault_of_who_sent_it(api, header):
    body = f"--x\r\n{header}\r\n\r\nabc\r\n--x--\r\n".encode()
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    status, problem = await api.post("/attachments", data=body, headers=headers)
    assert (status, problem["code"]) == (422, "invalid")


@pytest.mark.parametrize("length", ["", "Content-Length: 3\r\n", "Content-Length: 9\r\n"])
@pytest.mark.parametrize("end", ["", "\r\n", "\r\n-", "\r\n--", "\r\n--y--\r\n", "\r\n--xyz\r\n"])
async def test_a_file_without_the_boundary_at_its_end_was_cut_and_is_not_kept(hub, api, length, end):
    head = f'Content-Disposition: form-data; name="f"; filename="a"\r\n{length}'
    body = f"--x\r\n{head}\r\nabc{end}".encode()
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    status, problem = await api.post("/attachments", data=body, headers=headers)
    assert (status, problem["code"]) == (422, "invalid")
    assert problem["faults"] == [{"path": "body", "reason": "the file has no boundary at its end: it was cut"}]
    assert await hub.rows("SELECT * FROM attachment") == []


@pytest.mark.parametrize(
    "end", ["\r\n--x--", "\r\n--x--\r\n", "\r\n--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--"]
)
async def test_a_file_with_the_boundary_at_its_end_is_kept_whatever_follows(api, end):
    body = f'--x\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\nabc{end}'.encode()
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    status, said = await api.post("/attachments", data=body, headers=headers)
    assert (status, said["size"]) == (201, 3)


async def test_an_upload_that_comes_to_a_halt_is_408_and_not_kept(hub, api, server, monkeypatch):
    monkeypatch.setattr("talkwire.api.routing.BODY_TIME", 0.05)
    reader, writer = await asyncio.open_connection(server.host, server.port)
    head = "POST /api/v1/attachments?name=a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n"
    writer.write(f"{head}Authorization: {api.headers['Authorization']}\r\n\r\nabc".encode())
    answer = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert await hub.rows("SELECT * FROM attachment") == []
