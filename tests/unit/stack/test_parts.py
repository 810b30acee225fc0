"""Parts: whole or not there, and built again only when their recipe changes."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from pathlib import Path

import pytest

from deploy.stack.errors import StackError
from deploy.stack.parts import Part, is_current, make, remove, run


class Interrupted(BaseException):
    """Stands for Ctrl-C, which pytest itself would act on."""


@pytest.fixture
def stamps(tmp_path: Path) -> Path:
    directory = tmp_path / "stamps"
    directory.mkdir()
    return directory


def tree(target: Path) -> None:
    target.mkdir()
    (target / "file").write_text("new")


def part_of(tmp_path: Path, recipe: str = "version 1") -> Part:
    return Part("part", "building", tmp_path / "built" / "part", recipe, tree)


def test_a_made_part_is_current(tmp_path: Path, stamps: Path) -> None:
    part = part_of(tmp_path)
    assert not is_current(part, stamps)
    make(part, stamps)
    assert is_current(part, stamps)
    assert (part.target / "file").read_text() == "new"


def test_another_recipe_asks_for_a_rebuild(tmp_path: Path, stamps: Path) -> None:
    make(part_of(tmp_path), stamps)
    assert not is_current(part_of(tmp_path, "version 2"), stamps)


def test_a_part_that_was_removed_by_hand_is_not_current(tmp_path: Path, stamps: Path) -> None:
    part = part_of(tmp_path)
    make(part, stamps)
    (part.target / "file").unlink()
    part.target.rmdir()
    assert not is_current(part, stamps)


def test_a_part_without_its_witness_is_not_current(tmp_path: Path, stamps: Path) -> None:
    witness = tmp_path / "program"
    part = dataclasses.replace(part_of(tmp_path), witness=witness)
    make(part, stamps)
    assert not is_current(part, stamps)
    witness.touch()
    assert is_current(part, stamps)


def test_an_interrupted_build_leaves_nothing_under_the_final_name(tmp_path: Path, stamps: Path) -> None:
    def interrupted(target: Path) -> None:
        tree(target)
        raise Interrupted

    part = dataclasses.replace(part_of(tmp_path), build=interrupted)
    with pytest.raises(Interrupted):
        make(part, stamps)
    assert not part.target.exists()
    assert not is_current(part, stamps)

    make(part_of(tmp_path), stamps)
    assert [path.name for path in part.target.parent.iterdir()] == ["part"]


def test_a_failed_rebuild_keeps_the_old_part(tmp_path: Path, stamps: Path) -> None:
    make(part_of(tmp_path), stamps)

    def failing(target: Path) -> None:
        raise StackError(f"no room for {target.name}")

    newer = dataclasses.replace(part_of(tmp_path, "version 2"), build=failing)
    with pytest.raises(StackError, match="no room"):
        make(newer, stamps)
    assert is_current(part_of(tmp_path), stamps)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_what_is_still_mounted_is_unmounted_before_removal(tmp_path: Path) -> None:
    inside = tmp_path / "tree" / "a mount"
    inside.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(inside)], check=False, capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("this machine does not let root mount")
    remove(tmp_path / "tree")
    assert list(tmp_path.iterdir()) == []
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()


def test_a_failing_command_tells_subject_output_and_mend(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"(?s)packing failed with status 3; try tape.*no box"):
        run(["/bin/sh", "-c", "echo no box; exit 3"], subject="packing", mend="try tape", cwd=tmp_path)


def test_a_missing_command_is_named() -> None:
    with pytest.raises(StackError, match="packing failed: /no/such/tool"):
        run(["/no/such/tool"], subject="packing", mend="install it")
