"""`rowplane tail` beside a capture that runs: what is shown, in which order, and how it ends."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Generator
from contextlib import contextmanager

import pytest

from tests.component.conftest import CaptureWorld
from tests.component.operating import COMMAND, environment, rowplane

pytestmark = pytest.mark.stack


@contextmanager
def tailing(world: CaptureWorld, *arguments: str) -> Generator[subprocess.Popen[str], None, None]:
    """The command, begun and following; interrupted at the end, which it takes without a word."""
    process = subprocess.Popen(
        [str(COMMAND), "tail", *arguments],
        env=environment(world),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert "following" in process.stderr.readline()
    try:
        yield process
        process.send_signal(signal.SIGINT)
        assert (process.wait(20), process.stderr.read()) == (0, "")
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()
        process.stderr.close()


def lines_until(process: subprocess.Popen[str], is_last: Callable[[str], bool]) -> list[str]:
    """What is printed, up to a line."""
    assert process.stdout is not None
    found: list[str] = []
    while not found or not is_last(found[-1]):
        line = process.stdout.readline()
        assert line, found
        found.append(line.rstrip())
    return found


def start(world: CaptureWorld) -> None:
    world.make_table()
    world.fill(["acme", "globex"])
    world.make_hub()
    world.start()
    world.wait_reason("Streaming")


def test_changes_are_shown_as_they_come(world: CaptureWorld) -> None:
    start(world)
    with tailing(world) as process:
        world.paint(["acme"], "green")
        world.sql("UPDATE DB.nodes SET node_id = 'hooli' WHERE node_id = 'globex'", "DELETE FROM DB.nodes WHERE 1")
        shown = lines_until(process, lambda line: line.endswith((" delete  hooli", " delete  acme")))
    told = [line.split()[1:] for line in shown if line[:1].isdigit()]
    assert told[:3] == [["update", "acme"], ["delete", "globex"], ["insert", "hooli"]]
    assert "              color  blue → green" in shown
    executed = world.state()
    assert executed is not None
    assert shown[2].split()[0].startswith(f"{executed.incarnation}.")


def test_from_the_beginning_as_data(mysql_world: CaptureWorld) -> None:
    world = mysql_world
    start(world)
    world.paint(["acme"], "green")
    with tailing(world, "--hub", f"{world.name}/hub", "--from-beginning", "-o", "json") as process:
        found = [json.loads(line) for line in lines_until(process, lambda line: '"verb": "update"' in line)]
    assert [one["verb"] for one in found[:8]] == ["control"] * 8
    assert {one["uid"] for one in found if one["verb"] == "read"} == {"acme", "globex"}
    assert (found[-1]["before"]["color"], found[-1]["after"]["color"]) == ("blue", "green")
    assert found[-1]["gtid"]
    topic = found[-1]["topic"]
    with tailing(world, "--topic", topic, "--from-beginning") as process:
        shown = lines_until(process, lambda line: line.endswith("color  blue → green"))
    assert "in 8 partitions" in shown[0]


def test_a_reader_that_goes_away_ends_it_quietly(mysql_world: CaptureWorld) -> None:
    world = mysql_world
    start(world)
    answer = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{COMMAND} tail --from-beginning -o json | head -n 1"],
        env=environment(world),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (answer.returncode, len(answer.stdout.splitlines())) == (0, 1)
    assert len(answer.stderr.splitlines()) == 1


def test_usage(mysql_world: CaptureWorld) -> None:
    world = mysql_world
    assert rowplane(world, "tail").returncode == 2
    assert rowplane(world, "tail", "--hub", "hub").returncode == 2
    assert rowplane(world, "tail", "--hub", "a/b", "--topic", "c").returncode == 2
    assert rowplane(world, "tail", "--hub", f"{world.name}/none").returncode == 1
    answer = rowplane(world, "tail", "--topic", "no topic/at ❤ all")
    assert (answer.returncode, "does not exist" in answer.stderr) == (1, True)
    assert rowplane(world, "tail", "--topic", "t", ROWPLANE_KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:9").returncode == 3
