"""Certificates that somebody else puts into a directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.webhook.cert_directory import CertDirectory
from reconciler.webhook.certificates import KeyPair, make_key_pair
from shared.errors import UsageError
from tests.builders import HandClock

NAMES = frozenset(("webhook.shop.svc",))
LIFE_S = 1000.0


class Mount:
    """A directory as the kubelet mounts a Secret: names are links through a link that is swapped."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._count = 0
        for name in ("tls.crt", "tls.key", "ca.crt"):
            (root / name).symlink_to(Path("..data") / name)

    def swap(self, pair: KeyPair, *, with_authority: bool = True) -> None:
        self._count += 1
        target = self.root / f"..{self._count}"
        target.mkdir()
        (target / "tls.crt").write_bytes(pair.certificate)
        (target / "tls.key").write_bytes(pair.key)
        if with_authority:
            (target / "ca.crt").write_bytes(pair.authority)
        link = self.root / "..data_tmp"
        link.symlink_to(target.name)
        link.rename(self.root / "..data")


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def mount(tmp_path: Path) -> Mount:
    return Mount(tmp_path)


def made(clock: HandClock) -> KeyPair:
    return make_key_pair(NAMES, clock.wall_s(), LIFE_S)


def always(_authority: bytes) -> bool:
    return True


def never(_authority: bytes) -> bool:
    return False


def test_what_lies_there_is_served_and_its_authority_announced(mount: Mount, clock: HandClock) -> None:
    one = made(clock)
    mount.swap(one)
    offer = CertDirectory(mount.root, NAMES, clock).look(never)
    assert (offer.serve, offer.authorities) == (one, (one.authority,))


def test_without_an_authority_none_is_announced_and_a_swap_is_served_at_once(mount: Mount, clock: HandClock) -> None:
    mount.swap(made(clock), with_authority=False)
    given = CertDirectory(mount.root, NAMES, clock)
    assert given.look(never).authorities == ()
    other = made(clock)
    mount.swap(other, with_authority=False)
    offer = given.look(never)
    assert (offer.serve.certificate, offer.authorities) == (other.certificate, ())


def test_under_a_new_authority_the_old_one_is_served_until_that_has_settled(mount: Mount, clock: HandClock) -> None:
    one, other = made(clock), made(clock)
    mount.swap(one)
    given = CertDirectory(mount.root, NAMES, clock)
    given.look(never)
    mount.swap(other)
    offer = given.look(never)
    assert (offer.serve, offer.authorities) == (one, (one.authority, other.authority))
    offer = given.look(always)
    assert (offer.serve, offer.authorities) == (other, (other.authority, one.authority))
    clock.advance(LIFE_S + 1)
    third = made(clock)
    mount.swap(third)
    offer = given.look(never)
    assert (offer.serve, offer.authorities) == (third, (third.authority,)), "one that has ended is not waited with"


def test_half_a_swap_is_passed_over(mount: Mount, clock: HandClock) -> None:
    one, other = made(clock), made(clock)
    mount.swap(one)
    given = CertDirectory(mount.root, NAMES, clock)
    given.look(never)
    (mount.root / "tls.key").unlink()
    (mount.root / "tls.key").write_bytes(other.key)
    assert given.look(always).serve == one
    (mount.root / "tls.crt").unlink()
    assert given.look(always).serve == one


@pytest.mark.parametrize(("name", "text"), [("tls.crt", "No such file"), ("tls.key", "No such file")])
def test_nothing_to_begin_with_is_a_sentence(mount: Mount, clock: HandClock, name: str, text: str) -> None:
    mount.swap(made(clock))
    (mount.root / name).unlink()
    with pytest.raises(UsageError, match=text) as caught:
        CertDirectory(mount.root, NAMES, clock).look(never)
    assert "ROWPLANE_WEBHOOK_CERT_DIR" in caught.value.mend
