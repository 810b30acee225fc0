"""URLs and paths, as Go's net/url and path take them apart and put them together.

Fed by: `funcs.FUNCTIONS` and the node functions. Feeds: compiled templates. Never: opens a URL or a file.
Source of the rules: Go packages net/url and path; Sprig v3, "URL Functions", "File Path Functions"; RFC 3986.
"""

import ipaddress
import posixpath
import re
from dataclasses import dataclass
from urllib.parse import quote

from shared.gotemplate.errors import Fault
from shared.gotemplate.funcs.registry import group
from shared.gotemplate.literals import from_bytes, to_bytes
from shared.gotemplate.values import kind

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_PORT = re.compile(r":[0-9]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_USERINFO = re.compile(r"[A-Za-z0-9._:~!$&'()*+,;=%@-]*")
_BAD_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")
_BAD_HOST = re.compile(r"[^A-Za-z0-9._~!$&'()*+,;=:\[\]<>\"%\x80-\U0010ffff-]")
_PATH_SAFE = "/$&+,:;=@-_.~"
_PATH_VALID = re.compile(r"[A-Za-z0-9/$&+,:;=@_.~!'()*\[\]%-]*")


@dataclass(frozen=True, slots=True)
class Url:
    """The parts of a URL, decoded but for the query."""

    scheme: str = ""
    opaque: str = ""
    """What follows the scheme of a URL without slashes (mailto:x)."""
    user: tuple[str, str | None] | None = None
    """User name and password."""
    host: str = ""
    """Host with its port."""
    path: str = ""
    raw_path: str = ""
    query: str = ""
    fragment: str = ""

    @property
    def hostname(self) -> str:
        """The host without port and brackets."""
        host = self.host
        colon = host.rfind(":")
        if colon >= 0 and _PORT.fullmatch(host, colon):
            host = host[:colon]
        return host[1:-1] if host.startswith("[") and host.endswith("]") else host

    @property
    def userinfo(self) -> str:
        """User and password, encoded."""
        if self.user is None:
            return ""
        name, password = self.user
        encoded = _escape(name, "$&+,;=-_.~")
        return encoded if password is None else f"{encoded}:{_escape(password, '$&+,;=-_.~')}"

    def text(self) -> str:
        """The whole URL."""
        out = self.scheme + ":" if self.scheme else ""
        if self.opaque:
            out += self.opaque
        else:
            if (self.scheme or self.host or self.user) and (self.host or self.path or self.user):
                out += "//" + (self.userinfo + "@" if self.user else "") + _escape(self.host, "!$&'()*+,;=:[]<>\"-_.~")
            path = self.raw_path if self._raw_fits() else "*" if self.path == "*" else _escape(self.path, _PATH_SAFE)
            if path and not path.startswith("/") and self.host:
                out += "/"
            if not out and ":" in path.partition("/")[0]:
                out = "./"
            out += path
        if self.query:
            out += "?" + self.query
        return out + ("#" + _escape(self.fragment, _PATH_SAFE + "!()*?") if self.fragment else "")

    def _raw_fits(self) -> bool:
        return bool(self.raw_path) and _PATH_VALID.fullmatch(self.raw_path) is not None


def _escape(text: str, safe: str) -> str:
    return quote(to_bytes(text), safe=safe)


def _unescape(text: str) -> str:
    if _BAD_ESCAPE.search(text):
        raise Fault("invalid URL escape")
    if "%" not in text:
        return text
    pieces = to_bytes(text).split(b"%")
    return from_bytes(pieces[0] + b"".join([bytes([int(piece[:2], 16)]) + piece[2:] for piece in pieces[1:]]))


def parse_url(raw: str) -> Url:
    """The parts of a URL. Raises Fault for what Go's url.Parse refuses."""
    rest, _, fragment = raw.partition("#")
    if _CONTROL.search(rest):
        raise Fault("invalid control character in URL")
    if rest == "*":
        return Url(path="*", fragment=_unescape(fragment))
    scheme = ""
    if rest.startswith(":"):
        raise Fault("missing protocol scheme")
    if match := _SCHEME.match(rest):
        scheme = match[1].lower()
        rest = rest[match.end() :]
    rest, _, query = rest.partition("?")
    if not rest.startswith("/"):
        if scheme:
            return Url(scheme=scheme, opaque=rest, query=query, fragment=_unescape(fragment))
        if ":" in rest.partition("/")[0]:
            raise Fault("first path segment in URL cannot contain colon")
    user, host = None, ""
    if rest.startswith("//") and (scheme or not rest.startswith("///")):
        authority, slash, tail = rest[2:].partition("/")
        rest = slash + tail
        user, host = _authority(authority)
    return Url(scheme, "", user, host, _unescape(rest), rest, query, _unescape(fragment))


def _authority(authority: str) -> tuple[tuple[str, str | None] | None, str]:
    userinfo, at, host = authority.rpartition("@")
    host = _host(host)
    if not at:
        return None, host
    if not _USERINFO.fullmatch(userinfo):
        raise Fault("invalid userinfo")
    name, colon, password = userinfo.partition(":")
    return (_unescape(name), _unescape(password) if colon else None), host


def _host(host: str) -> str:
    if host.startswith("["):
        closing = host.rfind("]")
        if closing < 0:
            raise Fault("missing ']' in host")
        port = host[closing + 1 :]
        if not _is_ipv6(host[1:closing]):
            raise Fault("invalid host")
    else:
        colon = host.rfind(":")
        port = host[colon:] if colon >= 0 else ""
        if "[" in host:
            raise Fault("invalid IP-literal")
    if port and not _PORT.fullmatch(port):
        raise Fault("invalid port after host")
    if _BAD_HOST.search(host):
        raise Fault("invalid character in host name")
    for escaped in re.findall(r"%([0-9a-fA-F]{2})", host):
        if int(escaped, 16) < 0x80 and escaped != "25":
            raise Fault("invalid URL escape in host name")
    return _unescape(host)


def _is_ipv6(address: str) -> bool:
    try:
        ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return False
    return True


def url_parse(text: str) -> dict[str, object]:
    """The parts of a URL as a map."""
    url = parse_url(text)
    return {
        "scheme": url.scheme,
        "host": url.host,
        "hostname": url.hostname,
        "path": url.path,
        "query": url.query,
        "opaque": url.opaque,
        "fragment": url.fragment,
        "userinfo": url.userinfo,
    }


def url_join(parts: dict[str, object]) -> str:
    """A URL from a map of its parts."""
    texts: dict[str, str] = {}
    for key in ("scheme", "host", "path", "query", "opaque", "fragment", "userinfo"):
        value = parts.get(key, "")
        if not isinstance(value, str):
            raise Fault(f"unable to parse {key} key, must be of type string, but {kind(value)} found")
        texts[key] = value
    user = parse_url(f"proto://{texts['userinfo']}@host").user if texts["userinfo"] else None
    host, path = texts["host"], texts["path"]
    return Url(texts["scheme"], texts["opaque"], user, host, path, "", texts["query"], texts["fragment"]).text()


def clean(path: str) -> str:
    """The shortest path that means the same."""
    if not path:
        return "."
    normal = posixpath.normpath(path)
    return normal[1:] if normal.startswith("//") else normal


def base(path: str) -> str:
    """The last element of a path."""
    if not path:
        return "."
    return path.rstrip("/").rpartition("/")[2] or "/"


def dir_(path: str) -> str:
    """All but the last element of a path."""
    head, slash, _ = path.rpartition("/")
    return clean(head + slash)


def ext(path: str) -> str:
    """The ending of a path's last element, with its dot."""
    name = path.rpartition("/")[2]
    dot = name.rfind(".")
    return name[dot:] if dot >= 0 else ""


def is_abs(path: str) -> bool:
    """Whether a path begins at the root."""
    return path.startswith("/")


FUNCTIONS = group(
    {
        "urlParse": url_parse,
        "urlJoin": url_join,
        "base": base,
        "dir": dir_,
        "clean": clean,
        "ext": ext,
        "isAbs": is_abs,
        "osBase": base,
        "osDir": dir_,
        "osClean": clean,
        "osExt": ext,
        "osIsAbs": is_abs,
    }
)
