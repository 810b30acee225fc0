"""Character sets of MySQL and MariaDB: the text that the server itself would make of the bytes of a column.

The tables are the servers' own mappings where Python's codec of that name knows other characters, or is missing:
`SELECT CONVERT(_latin1 X'85' USING utf8mb4)` and so on for every byte sequence of every character set, MySQL 9.7 and
MariaDB 10.11. Where a set of several bytes a character differs in few places, a text that holds one of them is refused.
Fed by: column types of the row decoder. Feeds: it. Never: replaces what it cannot read, except as the server does.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from functools import partial
from typing import Final

from shared.errors import InvalidError

__all__ = ["text_decoder"]

_C1: Final = "".join(map(chr, range(0x80, 0xA0)))
_ASCII: Final = "".join(map(chr, range(0x80)))

_UPPER_HALVES: Final = {
    "armscii8": (
        _C1 + "\xa0❁§։)(»«—.՝,-՟…՜՛՞ԱաԲբԳգԴդԵեԶզԷէԸըԹթԺժԻիԼլԽխԾծԿկՀհՁձՂղՃճՄմՅյՆնՇշՈոՉչՊպՋջՌռՍսՎվՏտՐրՑցՒւՓփՔքՕօՖֆ’'"
    ),
    "cp1256": (
        "€\u067e‚ƒ„…†‡ˆ‰?‹Œ\u0686\u0698?\u06af‘’“”•–—?™?›œ\u200c\u200d?\xa0\u060c¢£¤¥¦§¨©?«¬\xad®¯°±²³´µ¶·¸¹\u061b"
        "»¼½¾\u061f?\u0621\u0622\u0623\u0624\u0625\u0626\u0627\u0628\u0629\u062a\u062b\u062c\u062d\u062e\u062f"
        "\u0630\u0631\u0632\u0633\u0634\u0635\u0636×\u0637\u0638\u0639\u063a\u0640\u0641\u0642\u0643à\u0644â\u0645"
        "\u0646\u0647\u0648çèéêë\u0649\u064aîï\u064b\u064c\u064d\u064eô\u064f\u0650÷\u0651ù\u0652ûü\u200e\u200f?"
    ),
    "cp866": (
        "АБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯабвгдежзийклмноп░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀рстуфхцчш"
        "щъыьэюяЁёЄєЇїЎў°∙·√ⁿ²■\xa0"
    ),
    "dec8": (
        _C1 + "\xa0¡¢£?¥?§¤©ª«????°±²³?µ¶·?¹º»¼½?¿ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏ?ÑÒÓÔÕÖŒØÙÚÛÜŸ?ßàáâãäåæçèéêëìíîï?ñòóôõöœøùúûüÿ??"
    ),
    "geostd8": (
        "€?‚?„…†‡?‰?‹?????‘’“”•–—???›????\xa0¡¢£¤¥¦§¨©ª«¬\xad®¯°±²³´µ¶·¸¹º»¼½¾¿აბგდევზჱთიკლმნჲოპჟრსტჳუფქღყშჩცძწჭხჴ"
        "ჯჰჵ???????????????????????№??"
    ),
    "greek": (
        _C1 + "\xa0ʽʼ£??¦§¨©?«¬\xad?―°±²³΄΅Ά·ΈΉΊ»Ό½ΎΏΐΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡ?ΣΤΥΦΧΨΩΪΫάέήίΰαβγδεζηθικλμνξοπρςστυφχψωϊϋόύώ?"
    ),
    "hebrew": (
        _C1 + "\xa0?¢£¤¥¦§¨©×«¬\xad®‾°±²³´µ¶·¸¹÷»¼½¾????????????????????????????????‗\u05d0\u05d1\u05d2\u05d3\u05d4"
        "\u05d5\u05d6\u05d7\u05d8\u05d9\u05da\u05db\u05dc\u05dd\u05de\u05df\u05e0\u05e1\u05e2\u05e3\u05e4\u05e5"
        "\u05e6\u05e7\u05e8\u05e9\u05ea??\u200e\u200f?"
    ),
    "keybcs2": (
        "ČüéďäĎŤčěĚĹÍľĺÄÁÉžŽôöÓůÚýÖÜŠĽÝŘťáíóúňŇŮÔšřŕŔ¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦ"
        "ΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\xa0"
    ),
    "koi8u": (
        "─│┌┐└┘├┤┬┴┼▀▄█▌▐░▒▓⌠■•√≈≤≥\xa0⌡°²·÷═║╒ёє╔ії╗╘╙╚╛ґ╝╞╟╠╡ЁЄ╣ІЇ╦╧╨╩╪Ґ╬©юабцдефгхийклмнопярстужвьызшэщчъЮАБЦДЕ"
        "ФГХИЙКЛМНОПЯРСТУЖВЬЫЗШЭЩЧЪ"
    ),
    "latin1": (
        "€\x81‚ƒ„…†‡ˆ‰Š‹Œ\x8dŽ\x8f\x90‘’“”•–—˜™š›œ\x9džŸ\xa0¡¢£¤¥¦§¨©ª«¬\xad®¯°±²³´µ¶·¸¹º»¼½¾¿ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓ"
        "ÔÕÖ×ØÙÚÛÜÝÞßàáâãäåæçèéêëìíîïðñòóôõö÷øùúûüýþÿ"
    ),
    "tis620": (_C1 + "�กขฃคฅฆงจฉชซฌญฎฏฐฑฒณดตถทธนบปผฝพฟภมยรฤลฦวศษสหฬอฮฯะัาำิีึืฺุู����฿เแโใไๅๆ็่้๊๋์ํ๎๏๐๑๒๓๔๕๖๗๘๙๚๛����"),
}
"""Characters of the bytes 80 to FF; `?` is what the server shows for a byte without a character."""

_SWE7: Final = (
    "\x00\x01\x02\x03\x04\x05\x06\x07\x08\t\n\x0b\x0c\r\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a"
    "\x1b\x1c\x1d\x1e\x1f !\"#$%&'()*+,-./0123456789:;<=>?ÉABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÅÜ_éabcdefghijklmnopqrs"
    "tuvwxyzäöåü??????????????????????????????????????????????????????????????????????????????????????????????"
    "???????????????????????????????????"
)
_TABLES: Final = {"swe7": _SWE7, **{name: _ASCII + upper for name, upper in _UPPER_HALVES.items()}}

_UNICODE: Final = {
    "utf8mb4": "utf-8",
    "utf8mb3": "utf-8",
    "utf8": "utf-8",
    "ucs2": "utf-16-be",
    "utf16": "utf-16-be",
    "utf16le": "utf-16-le",
    "utf32": "utf-32-be",
}
_SINGLE: Final = {
    "ascii": "ascii",
    "cp1250": "cp1250",
    "cp1251": "cp1251",
    "cp1257": "cp1257",
    "cp850": "cp850",
    "cp852": "cp852",
    "hp8": "hp_roman8",
    "koi8r": "koi8_r",
    "latin2": "iso8859-2",
    "latin5": "iso8859-9",
    "latin7": "iso8859-13",
    "macce": "mac_latin2",
    "macroman": "mac_roman",
}
_MULTI: Final[dict[str, tuple[str, dict[int, int], tuple[bytes, ...]]]] = {
    "big5": (
        "big5",
        {},
        tuple(bytes.fromhex("a15a a1c3 a1c5 a1fe a240 a2cc a2ce")[i : i + 2] for i in range(0, 14, 2)),
    ),
    "cp932": ("cp932", {}, ()),
    "eucjpms": (
        "euc_jp",
        str.maketrans("〜‖−¢£¬", "～∥－￠￡￢"),
        (b"\x8f\xa2\xb7", b"\x8f\xa2\xc3"),
    ),
    "euckr": ("cp949", {}, ()),
    "gb18030": ("gb18030", {}, (b"\xa8\xbc", b"\x81\x35\xf4\x37")),
    "gb2312": ("gb2312", {}, ()),
    "gbk": ("gbk", {}, ()),
    "sjis": ("shift_jis", str.maketrans("＼", "\\"), ()),
    "ujis": ("euc_jp", str.maketrans("＼", "\\"), ()),
}
"""Codec, characters to replace, and byte sequences whose character the codec does not know."""


def text_decoder(charset: str) -> Callable[[bytes], str] | None:
    """The decoder of a character set by the server's name for it; None for `binary`.

    The decoder raises UnicodeDecodeError or InvalidError for bytes whose text is not certain. Raises InvalidError when
    the character set is not known.
    """
    if charset == "binary":
        return None
    if charset in _UNICODE:
        return partial(_strict, _UNICODE[charset])
    if charset in _TABLES:
        return partial(_mapped, _TABLES[charset])
    if charset in _SINGLE:
        return partial(_replaced, _SINGLE[charset])
    if charset in _MULTI:
        return partial(_multi, *_MULTI[charset])
    raise InvalidError(f"character set {charset[:40]} is not known")


def _strict(codec: str, raw: bytes) -> str:
    return raw.decode(codec)


def _mapped(table: str, raw: bytes) -> str:
    return codecs.charmap_decode(raw, "strict", table)[0]


def _replaced(codec: str, raw: bytes) -> str:
    return raw.decode(codec, "replace").replace("\ufffd", "?")


def _multi(codec: str, moved: dict[int, int], refused: tuple[bytes, ...], raw: bytes) -> str:
    if any(sequence in raw for sequence in refused):
        raise InvalidError(f"a text holds a character that {codec} does not know")
    text = raw.decode(codec)
    return text.translate(moved) if moved else text
