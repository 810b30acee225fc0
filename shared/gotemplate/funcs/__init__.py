"""Every function of the template language, by name, and the names that are refused.

Fed by: the groups in this folder. Feeds: the parser (known names), the compiler (argument counts), the runtime.
Never: changes after import.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from shared.gotemplate.funcs import (
    builtins,
    casing,
    chance,
    crypto,
    dates,
    defaults,
    encoding,
    jsontext,
    lists,
    maps,
    numbers,
    patterns,
    text,
    typed,
    urls,
    versions,
)
from shared.gotemplate.funcs.registry import Function

GROUPS: Final[Mapping[str, Mapping[str, Function]]] = MappingProxyType(
    {
        "Go's own": builtins.FUNCTIONS,
        "Host names, labels, typed values": typed.FUNCTIONS,
        "Defaults and types": defaults.FUNCTIONS,
        "Text": text.FUNCTIONS,
        "Upper and lower case": casing.FUNCTIONS,
        "Numbers": numbers.FUNCTIONS,
        "Lists": lists.FUNCTIONS,
        "Maps": maps.FUNCTIONS,
        "Regular expressions": patterns.FUNCTIONS,
        "JSON": jsontext.FUNCTIONS,
        "Encodings and checksums": encoding.FUNCTIONS,
        "URLs and paths": urls.FUNCTIONS,
        "Dates": dates.FUNCTIONS,
        "Versions": versions.FUNCTIONS,
        "Encryption and certificates": crypto.FUNCTIONS,
        "Clock and chance": chance.FUNCTIONS,
    }
)
"""The functions by what they are about. Sprig's slice stands for Go's, so the lists come later."""

FUNCTIONS: Final[Mapping[str, Function]] = MappingProxyType(
    {name: function for functions in GROUPS.values() for name, function in functions.items()}
)
"""What templates may call."""

MUTATING: Final = ("set", "unset", "merge", "mergeOverwrite", "mustMerge", "mustMergeOverwrite")
"""Functions that change their argument; templates that name one work on a copy of the variables."""

_ASK = "; where that does no harm, set allowNondeterministic on the form and creationPolicy: Once on the resource"
_RANDOM = "it answers differently every time, so a resource would change without its row" + _ASK
_CLOCK = "it depends on the time of rendering, so a resource would change without its row" + _ASK
_HOST = "it reads the machine that renders, which a template must not see"
_KEYS = (
    "it makes a new key every time, so a resource would change without its row; let cert-manager issue it, or name a "
    "Secret that is made elsewhere"
)
_HASHES = (
    "it salts the hash anew every time, so a resource would change without its row; keep the hash in a column, or name "
    "a Secret that is made elsewhere"
)

NONDETERMINISTIC: Final[Mapping[str, str]] = MappingProxyType(
    {name: _CLOCK if name in ("now", "ago") else _RANDOM for name in (*chance.FUNCTIONS, "encryptAES")}
)
"""Functions that a template may call only if it is compiled with `nondeterministic`, each with the reason."""

REFUSED: Final[Mapping[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(("bcrypt", "htpasswd"), _HASHES),
        **dict.fromkeys(("env", "expandenv", "getHostByName"), _HOST),
        **dict.fromkeys(
            (
                "genPrivateKey",
                "genCA",
                "genCAWithKey",
                "genSelfSignedCert",
                "genSelfSignedCertWithKey",
                "genSignedCert",
                "genSignedCertWithKey",
            ),
            _KEYS,
        ),
    }
)
"""Known names that may not be called, each with the reason."""
