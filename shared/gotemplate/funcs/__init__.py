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

FUNCTIONS: Final[Mapping[str, Function]] = MappingProxyType(
    {
        **builtins.FUNCTIONS,
        **casing.FUNCTIONS,
        **dates.FUNCTIONS,
        **defaults.FUNCTIONS,
        **encoding.FUNCTIONS,
        **jsontext.FUNCTIONS,
        **lists.FUNCTIONS,
        **maps.FUNCTIONS,
        **numbers.FUNCTIONS,
        **patterns.FUNCTIONS,
        **text.FUNCTIONS,
        **typed.FUNCTIONS,
        **urls.FUNCTIONS,
        **versions.FUNCTIONS,
    }
)
"""What templates may call. Later groups win where names meet: Sprig's slice stands for Go's."""

MUTATING: Final = ("set", "unset", "merge", "mergeOverwrite", "mustMerge", "mustMergeOverwrite")
"""Functions that change their argument; templates that name one work on a copy of the variables."""

_RANDOM = "it answers differently every time, so a resource would change without its row"
_CLOCK = "it depends on the time of rendering, so a resource would change without its row"
_HOST = "it reads the machine that renders, which a template must not see"
_ELSEWHERE = "it is not available; keys and certificates are made elsewhere and kept in a Secret"
_KEYS = "it makes a new key every time, so a resource would change without its row"

REFUSED: Final[Mapping[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(("now", "ago"), _CLOCK),
        **dict.fromkeys(
            ("randAlphaNum", "randAlpha", "randAscii", "randNumeric", "randInt", "randBytes", "shuffle", "uuidv4"),
            _RANDOM,
        ),
        **dict.fromkeys(("bcrypt", "htpasswd", "encryptAES"), _RANDOM),
        **dict.fromkeys(("decryptAES", "buildCustomCert"), _ELSEWHERE),
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
