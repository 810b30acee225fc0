"""What the topic of a table holds: every key with a digest of its last image, in a few bytes a key.

An open-addressing table by hand, since a dictionary of bytes costs four times as much. Keys are compared as bytes. Each
entry knows the round in which it was last spoken of, so that the end of a read can tell what the table no longer holds
without a second set of keys.
Fed by: the stream's changes, rows that were read, the topic itself after a start. Feeds: cdc.core.diff.
Never: holds a row, or locks; its owner does.
"""

from __future__ import annotations

import struct
from array import array
from typing import Final

__all__ = ["DIGEST_BYTES", "SHARDS", "UNKNOWN", "KeyMap", "digest_of_json", "key_bytes", "key_of"]

DIGEST_BYTES: Final = 16
UNKNOWN: Final = bytes(DIGEST_BYTES)
"""Digest of a key whose last image is not known: equals no row's."""
SHARDS: Final = 256
"""Parts that grow by themselves, so that the stream never waits long for it."""

_ROUND: Final = DIGEST_BYTES
_LENGTH: Final = _ROUND + 1
_KEY: Final = _LENGTH + 2
_REMOVED: Final = 2**32 - 1
"""In a slot: a key was here, so those behind it are still to be found."""
_LAST_ROUND: Final = 255
_FIRST_SLOTS: Final = 8
_pack_digest: Final = struct.Struct("<qQ").pack
_pack_image: Final = struct.Struct(f"{DIGEST_BYTES}sB").pack_into
_pack_length: Final = struct.Struct("<H").pack


def digest_of_json(row: bytes) -> bytes:
    """SipHash under this process's secret, as the map does not outlive it, and the length.

    Rows that differ have the same one by chance once in 2^64. A cryptographic hash takes four times as long.
    """
    return _pack_digest(hash(row), len(row))


def key_bytes(uid: str) -> bytes:
    """The uid as the map compares it."""
    return uid.encode("utf-8", "surrogatepass")


def key_of(key: bytes) -> str:
    """Inverse of `key_bytes`."""
    return key.decode("utf-8", "surrogatepass")


class _Slots:
    """Places of entries in the arena, by hash; 0 where there is none."""

    __slots__ = ("places", "used")

    def __init__(self, size: int) -> None:
        self.places = array("I", bytes(4 * size))
        self.used = 0
        """Slots that are not empty, `_REMOVED` ones included."""


class KeyMap:
    """Key → digest, and whether the key was spoken of since `begin_round`. Keys have at most 65,535 bytes."""

    def __init__(self) -> None:
        self._shards: list[_Slots | None] = [None] * SHARDS
        self._arena = bytearray(1)  # place 0 means an empty slot
        self._free: dict[int, array[int]] = {}
        """Places of removed entries by length of their key: the next key of that length goes there."""
        self._round = 1
        self._count = 0

    def __len__(self) -> int:
        """Keys held."""
        return self._count

    def put(self, key: bytes, digest: bytes) -> None:
        """The topic's last record of the key has this image."""
        hashed = hash(key)
        shard = self._shards[hashed % SHARDS]
        if shard is None:
            shard = self._shards[hashed % SHARDS] = _Slots(_FIRST_SLOTS)
        slot, place = self._find(shard, hashed, key)
        if place:
            _pack_image(self._arena, place, digest, self._round)
            return
        shard.places[slot] = self._store(key, digest)
        shard.used += 1
        self._count += 1
        if shard.used * 3 > len(shard.places) * 2:
            self._shards[hashed % SHARDS] = self._resized(shard)

    def remove(self, key: bytes) -> None:
        """The topic's last record of the key is a delete."""
        hashed = hash(key)
        shard = self._shards[hashed % SHARDS]
        if shard is None:
            return
        slot, place = self._find(shard, hashed, key)
        if place:
            shard.places[slot] = _REMOVED
            self._free.setdefault(len(key), array("I")).append(place)
            self._count -= 1

    def get(self, key: bytes) -> bytes | None:
        """Digest of the key; None when it is not held."""
        hashed = hash(key)
        shard = self._shards[hashed % SHARDS]
        place = self._find(shard, hashed, key)[1] if shard is not None else 0
        return bytes(self._arena[place : place + DIGEST_BYTES]) if place else None

    def begin_round(self) -> None:
        """No key has been spoken of."""
        self._round = self._round % _LAST_ROUND + 1

    def see(self, key: bytes, digest: bytes) -> bool:
        """The table has this key; whether with the image that is held. A key that is not held is not added."""
        hashed = hash(key)
        shard = self._shards[hashed % SHARDS]
        place = self._find(shard, hashed, key)[1] if shard is not None else 0
        if not place:
            return False
        arena = self._arena
        arena[place + _ROUND] = self._round
        return arena[place : place + DIGEST_BYTES] == digest

    def is_spoken_of(self, key: bytes) -> bool:
        """Whether the key is held and was put or seen since `begin_round`."""
        hashed = hash(key)
        shard = self._shards[hashed % SHARDS]
        place = self._find(shard, hashed, key)[1] if shard is not None else 0
        return bool(place) and self._arena[place + _ROUND] == self._round

    def unseen(self, shard: int) -> list[bytes]:
        """Keys of one of the `SHARDS` parts that were neither put nor seen since `begin_round`."""
        slots, arena = self._shards[shard], self._arena
        if slots is None:
            return []
        entries = (place for place in slots.places if place not in (0, _REMOVED))
        return [self._key(place) for place in entries if arena[place + _ROUND] != self._round]

    # -- entries: digest, round, length of the key, key ------------------------------------------------------------

    def _find(self, shard: _Slots, hashed: int, key: bytes) -> tuple[int, int]:
        """(slot, place) of the key; place 0 when it is not held, and the slot is an empty one where it belongs."""
        places, arena = shard.places, self._arena
        mask = len(places) - 1
        slot = (hashed >> 8) & mask
        head = _pack_length(len(key)) + key
        while place := places[slot]:
            if place != _REMOVED and arena.startswith(head, place + _LENGTH):
                break
            slot = (slot + 1) & mask
        return slot, place

    def _store(self, key: bytes, digest: bytes) -> int:
        entry = b"%b%c%b%b" % (digest, self._round, _pack_length(len(key)), key)
        free = self._free.get(len(key))
        if free:
            place = free.pop()
            self._arena[place : place + len(entry)] = entry
        else:
            place = len(self._arena)
            self._arena += entry
        return place

    def _key(self, place: int) -> bytes:
        length = self._arena[place + _LENGTH] + 256 * self._arena[place + _LENGTH + 1]
        return bytes(self._arena[place + _KEY : place + _KEY + length])

    def _resized(self, shard: _Slots) -> _Slots:
        """The same entries in slots of which at most half are in use."""
        kept = [place for place in shard.places if place not in (0, _REMOVED)]
        size = _FIRST_SLOTS
        while len(kept) * 2 > size:
            size *= 2
        resized = _Slots(size)
        mask = size - 1
        for place in kept:
            slot = (hash(self._key(place)) >> 8) & mask
            while resized.places[slot]:
                slot = (slot + 1) & mask
            resized.places[slot] = place
        resized.used = len(kept)
        return resized
