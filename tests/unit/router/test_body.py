"""Bodies: bounded in bytes and time, packed or not, however they are cut."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
import zlib
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from router.errors import InvalidRequest, RouterError, TooLarge, TooSlow, UnsupportedEncoding
from router.wire.asgi import Bodies, ClientLeft, Message, Receive, unpacked

LIMIT = 10
LEFT: Message = {"type": "http.disconnect"}
MIB = 1024 * 1024


def bare_deflate(data: bytes) -> bytes:
    """What half of the clients call ``deflate``: without zlib's header."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACKED: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress),
    ("x-gzip", gzip.compress),
    ("GZip", gzip.compress),
    ("deflate", zlib.compress),
    ("deflate", bare_deflate),
    ("zstd", zstd.compress),
]


def part(body: bytes, *, more: bool = False) -> Message:
    """A piece of a request's body."""
    return {"type": "http.request", "body": body, "more_body": more}


def client(messages: Iterable[Message]) -> Receive:
    """A client that sends these messages and then waits for ever."""
    queue = list(messages)

    async def receive() -> Message:
        if not queue:
            await asyncio.Event().wait()
        return queue.pop(0)

    return receive


def scope(**headers: str) -> dict[str, Any]:
    """A request's scope."""
    encoded = [(k.replace("_", "-").encode(), v.encode("latin-1")) for k, v in headers.items()]
    return {"type": "http", "headers": encoded}


@given(st.lists(st.binary(max_size=LIMIT), min_size=1, max_size=6))
async def test_a_body_in_any_pieces(pieces: list[bytes]) -> None:
    """However a body is cut, it arrives whole, or is refused when all of it is too much."""
    messages = [part(piece, more=True) for piece in pieces[:-1]] + [part(pieces[-1])]
    whole = b"".join(pieces)
    if len(whole) > LIMIT:
        with pytest.raises(TooLarge):
            await Bodies(LIMIT, 5).read(scope(), client(messages))
    else:
        assert await Bodies(LIMIT, 5).read(scope(), client(messages)) == whole


@pytest.mark.parametrize("size", [LIMIT, LIMIT + 1])
async def test_the_limit_itself_fits(size: int) -> None:
    """A body of exactly the limit is taken; one byte more is 413."""
    reading = Bodies(LIMIT, 5).read(scope(), client([part(b"x" * size)]))
    if size > LIMIT:
        with pytest.raises(TooLarge) as refused:
            await reading
        assert refused.value.status == 413
    else:
        assert len(await reading) == size


async def test_a_declared_length_is_refused_before_reading() -> None:
    """A body that says that it is too long is refused without waiting for its first byte."""
    async with asyncio.timeout(60):
        with pytest.raises(TooLarge):
            await Bodies(LIMIT, 5).read(scope(content_length="11"), client([]))


@pytest.mark.parametrize("declared", ["", "-1", "many", "1e3", "²"])
async def test_a_declared_length_that_is_none(declared: str) -> None:
    """A length that is no number is ignored; what arrives counts."""
    messages = [part(b"12345")]
    assert await Bodies(LIMIT, 5).read(scope(content_length=declared), client(messages)) == b"12345"


async def test_a_long_body_is_not_read_to_its_end() -> None:
    """The refusal comes with the byte that is too much, however much is still to come."""
    endless = [part(b"12345", more=True)] * 3
    async with asyncio.timeout(60):
        with pytest.raises(TooLarge):
            await Bodies(LIMIT, 5).read(scope(), client(endless))


@pytest.mark.parametrize("before", [[], [part(b"half", more=True)]])
async def test_a_client_that_leaves_while_sending(before: list[Message]) -> None:
    """A body that is cut is not taken for a whole one."""
    with pytest.raises(ClientLeft):
        await Bodies(LIMIT, 5).read(scope(), client([*before, LEFT]))


# Time


@pytest.mark.parametrize("before", [[], [part(b"half", more=True)]])
async def test_a_body_that_does_not_come_is_given_up(before: list[Message]) -> None:
    """408 after the time that a body has, whether nothing came or a part of it."""
    bodies = Bodies(LIMIT, 0.05)
    with pytest.raises(TooSlow) as refused:
        await bodies.read(scope(), client(before))
    assert refused.value.status == 408
    assert bodies.receiving_bytes == 0


async def test_a_trickle_is_given_up_too() -> None:
    """A byte now and then does not keep a request alive."""

    async def trickle() -> Message:
        await asyncio.sleep(0.01)
        return part(b"", more=True)

    async with asyncio.timeout(60):
        with pytest.raises(TooSlow):
            await Bodies(LIMIT, 0.1).read(scope(), trickle)


async def test_all_bodies_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fills the memory for bodies is refused, and gives its part of it back."""
    monkeypatch.setattr("router.wire.asgi._MAX_RECEIVING_BYTES", 12)
    bodies = Bodies(LIMIT, 5)
    first = asyncio.create_task(bodies.read(scope(), client([part(b"123456789", more=True)])))
    await asyncio.sleep(0)
    with pytest.raises(RouterError) as refused:
        await bodies.read(scope(), client([part(b"12345", more=True)]))
    assert refused.value.status == 503
    assert bodies.receiving_bytes == 9
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert bodies.receiving_bytes == 0


# Packing


@pytest.mark.parametrize(("encoding", "pack"), PACKED)
@pytest.mark.parametrize("size", [0, 20, 200_000])
async def test_packed_bodies_are_unpacked(
    encoding: str, pack: Callable[[bytes], bytes], size: int
) -> None:
    """Each encoding that clients use, small bodies and large ones."""
    data = os.urandom(size)
    found = await Bodies(MIB, 5).read(scope(content_encoding=encoding), client([part(pack(data))]))
    assert found == data


@pytest.mark.parametrize(("encoding", "pack"), PACKED)
async def test_what_unpacks_to_too_much_is_refused(
    encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    """The limit is on the unpacked size: a small body that grows is 413, and never held whole."""
    bomb = pack(bytes(64 * MIB))
    assert len(bomb) < MIB
    with pytest.raises(TooLarge):
        await Bodies(MIB, 5).read(scope(content_encoding=encoding), client([part(bomb)]))


@pytest.mark.parametrize(("encoding", "pack"), PACKED[2:])
@pytest.mark.parametrize("damage", ["cut", "noise", "tail"])
def test_a_broken_packing_is_the_clients_mistake(
    encoding: str, pack: Callable[[bytes], bytes], damage: str
) -> None:
    """400, whatever is wrong with it; never a part of the body as if it were all."""
    packed = pack(os.urandom(5000))
    broken = {"cut": packed[:-9], "noise": b"{" + packed, "tail": packed + b"{"}[damage]
    with pytest.raises(InvalidRequest) as refused:
        unpacked(broken, encoding.lower(), MIB)
    assert refused.value.code == "invalid_encoding"


@pytest.mark.parametrize(("encoding", "pack"), [PACKED[0], PACKED[-1]])
def test_members_of_one_body_are_bounded(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    """Several are one body; thousands of empty ones are an attack on a core, and refused."""
    assert unpacked(pack(b"one ") + pack(b"two"), encoding, MIB) == b"one two"
    with pytest.raises(InvalidRequest):
        unpacked(pack(b"") * 20_000, encoding, MIB)


def test_a_huge_window_is_refused() -> None:
    """A zstd frame that wants 128 MiB of memory before its first byte is not unpacked."""
    options = {int(zstd.CompressionParameter.window_log): 27}
    stream = zstd.ZstdCompressor(options=options)
    packed = stream.compress(b"x" * 100) + stream.flush()
    with pytest.raises(InvalidRequest):
        unpacked(packed, "zstd", MIB)


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "compress", "ü"])
async def test_an_unknown_packing_is_named(encoding: str) -> None:
    """415 that says what may be used."""
    with pytest.raises(UnsupportedEncoding, match="gzip, deflate or zstd") as refused:
        await Bodies(MIB, 5).read(scope(content_encoding=encoding), client([part(b"x")]))
    assert refused.value.status == 415


@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate", "zstd"]))
def test_noise_never_breaks_the_unpacker(data: bytes, encoding: str) -> None:
    """Whatever arrives, it is unpacked or refused."""
    with contextlib.suppress(InvalidRequest, TooLarge):
        assert len(unpacked(data, encoding, 1000)) <= 1000
