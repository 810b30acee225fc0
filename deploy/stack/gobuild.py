"""Build the cluster's programs from Go modules whose versions and checksums are kept in `go/`.

Fed by: go.mod and go.sum of `go/<module>`, the machine's Go and its module proxy settings. Feeds:
`kubernetes`. Never: changes go.mod or go.sum (`-mod=readonly`), or fetches another Go by itself.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from deploy.stack import toolchains
from deploy.stack.parts import Part, run
from deploy.stack.paths import Paths

_MODULES = Path(__file__).parent / "go"
_KUBERNETES = "1.34.4"
_STAMP = "k8s.io/component-base/version"
_STRIPPED = "-s -w"
_STAMPED = f"{_STRIPPED} -X {_STAMP}.gitVersion=v{_KUBERNETES} -X {_STAMP}.gitMajor=1 -X {_STAMP}.gitMinor=34"


@dataclass(frozen=True, slots=True)
class _Program:
    name: str
    version: str
    module: str
    """The directory under go/ that pins the versions; programs of one module share most of the compiling."""
    package: str
    linker_flags: str = _STRIPPED


_PROGRAMS = (
    _Program("etcd", "3.6.5", "kubernetes", "go.etcd.io/etcd/server/v3"),
    _Program("kube-apiserver", _KUBERNETES, "kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver", _STAMPED),
    _Program(
        "kube-controller-manager",
        _KUBERNETES,
        "kubernetes",
        "k8s.io/kubernetes/cmd/kube-controller-manager",
        _STAMPED,
    ),
    _Program("kube-scheduler", _KUBERNETES, "kubernetes", "k8s.io/kubernetes/cmd/kube-scheduler", _STAMPED),
    _Program("kwok", "0.7.0", "kwok", "sigs.k8s.io/kwok/cmd/kwok"),
)


def parts(paths: Paths) -> list[Part]:
    """Return the programs to build, in an order in which they share the compiler's cache best."""
    return [_part(program, paths) for program in _PROGRAMS]


def _environ() -> dict[str, str]:
    """Return our environment for Go, without what could point it at another toolchain or workspace."""
    kept = {name: value for name, value in os.environ.items() if name != "GOROOT"}
    return kept | {"GOTOOLCHAIN": "local", "GOWORK": "off"}


def _part(program: _Program, paths: Paths) -> Part:
    directory = _MODULES / program.module
    pinned = [(directory / name).read_text(encoding="utf-8") for name in ("go.mod", "go.sum")]
    recipe = "\n".join((program.package, program.linker_flags, *pinned))

    def build(target: Path) -> None:
        flags = ["-mod=readonly", "-trimpath", "-ldflags", program.linker_flags]
        run(
            [str(toolchains.go(paths)), "build", *flags, "-o", str(target), program.package],
            subject=f"building {program.name}",
            mend="check that the Go module proxy answers and that the disk is not full",
            cwd=directory,
            environ=_environ(),
        )

    title = f"building {program.name} {program.version}"
    return Part(program.name, title, paths.bin / program.name, recipe, build)
