"""Package sources: which mirrors this machine uses, in both forms of sources.list(5)."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.stack import apt


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    (tmp_path / "sources.list.d").mkdir()
    return tmp_path


def test_a_machine_without_sources_has_no_mirrors(sources: Path) -> None:
    assert apt.mirrors("bookworm", sources) == []


def test_lines_are_read_and_other_suites_left_out(sources: Path) -> None:
    (sources / "sources.list").write_text(
        "# deb http://old.example/debian bookworm main\n"
        "deb [arch=amd64 signed-by=/k.gpg] http://one.example/debian bookworm main\n"
        "deb-src http://source.example/debian bookworm main\n"
        "deb http://security.example/debian bookworm-security main\n"
        "deb cdrom:[Debian] bookworm main\n"
        "deb http://one.example/debian bookworm contrib\n"
    )
    (sources / "sources.list.d" / "two.list").write_text("deb https://two.example/debian bookworm main\n")
    assert apt.mirrors("bookworm", sources) == ["http://one.example/debian", "https://two.example/debian"]


def test_stanzas_are_read(sources: Path) -> None:
    (sources / "sources.list.d" / "debian.sources").write_text(
        "Types: deb\n# a comment\nURIs: http://one.example/debian\nSuites: bookworm bookworm-updates\n"
        "Components: main\n\n"
        "Types: deb\nURIs: http://two.example/security\nSuites: bookworm-security\nComponents: main\n"
    )
    assert apt.mirrors("bookworm", sources) == ["http://one.example/debian"]
