"""Sprig's dictionary functions.

Fed by: `funcs.FUNCTIONS`. Feeds: compiled templates. Never: changes the variables of the caller (a template that
names one of `MUTATING` works on a copy).
Source of the rules: Sprig v3, "Dictionaries and Dict Functions"; merging as in Go package mergo. `keys` and `values`
are sorted by key here; Go's order is random.
"""

from shared.gotemplate.errors import Fault
from shared.gotemplate.funcs.registry import group
from shared.gotemplate.printing import text_of
from shared.gotemplate.state import State
from shared.gotemplate.values import NilMap, StrList, Walk, deep_copy, kind

Map = dict[str, object]


def dict_(*pairs: object) -> Map:
    """A map of keys and values in turn."""
    made: Map = {}
    for place in range(0, len(pairs), 2):
        made[text_of(pairs[place])] = pairs[place + 1] if place + 1 < len(pairs) else ""
    return made


def get(source: Map, key: str) -> object:
    """The value of a key, "" when there is none."""
    return source.get(key, "")


def set_(target: Map, key: str, value: object) -> Map:
    """Puts a value into the map."""
    if isinstance(target, NilMap):
        raise Fault("assignment to entry in nil map")
    target[key] = value
    return target


def unset(target: Map, key: str) -> Map:
    """Takes a key out of the map."""
    target.pop(key, None)
    return target


def has_key(source: Map, key: str) -> bool:
    """Whether the map has the key."""
    return key in source


def pluck(key: str, *sources: Map) -> list[object]:
    """The values of one key in several maps."""
    return [source[key] for source in sources if key in source]


def keys(*sources: Map) -> StrList:
    """The keys, sorted within each map."""
    return StrList(key for source in sources for key in sorted(source))


def values(source: Map) -> list[object]:
    """The values, in the order of their keys."""
    return [source[key] for key in sorted(source)]


def pick(source: Map, *names: str) -> Map:
    """The map with these keys alone."""
    return {name: source[name] for name in names if name in source}


def omit(source: Map, *names: str) -> Map:
    """The map without these keys."""
    unwanted = frozenset(names)
    return {key: value for key, value in source.items() if key not in unwanted}


def merge(state: State, target: Map, *sources: Map) -> Map:
    """Puts into the first map what it lacks, or has empty, from the others."""
    target = {} if isinstance(target, NilMap) and any(sources) else target
    for source in sources:
        _merge(target, source, Walk(state.pay), overwrite=False)
    return target


def merge_overwrite(state: State, target: Map, *sources: Map) -> Map:
    """Puts everything of the other maps into the first."""
    target = {} if isinstance(target, NilMap) and any(sources) else target
    for source in sources:
        _merge(target, source, Walk(state.pay), overwrite=True)
    return target


def _merge(target: Map, source: Map, walk: Walk, overwrite: bool, depth: int = 0) -> None:
    walk.step(depth)
    for key, value in list(source.items()):
        walk.step(depth)
        own = target.get(key)
        if value is None:
            if overwrite:
                target[key] = None
            continue
        if isinstance(value, dict) and isinstance(own, dict):
            _merge(own, value, walk, overwrite, depth + 1)
            if own:
                continue
        if overwrite or not own:
            target[key] = value


def dig(*path: object) -> object:
    """`dig "a" "b" default map` is map.a.b, or the default where a key is missing."""
    if len(path) < 3:
        raise Fault("dig needs at least three arguments")
    *names, default, source = path
    for place, name in enumerate(names):
        if not isinstance(name, str):
            raise Fault(f"key {place + 1} is {kind(name)}, not string")
        if type(source) is not dict:
            raise Fault(f"{kind(source)} is not a map")
        if name not in source:
            return default
        source = source[name]
    return source


def deep_copy_(state: State, value: object) -> object:
    """A copy that shares nothing with the original."""
    if value is None:
        raise Fault("nil cannot be copied")
    return deep_copy(value, Walk(state.pay))


FUNCTIONS = group(
    {
        "dict": dict_,
        "get": get,
        "set": set_,
        "unset": unset,
        "hasKey": has_key,
        "pluck": pluck,
        "keys": keys,
        "values": values,
        "pick": pick,
        "omit": omit,
        "merge": merge,
        "mustMerge": merge,
        "mergeOverwrite": merge_overwrite,
        "mustMergeOverwrite": merge_overwrite,
        "dig": dig,
        "deepCopy": deep_copy_,
        "mustDeepCopy": deep_copy_,
    }
)
