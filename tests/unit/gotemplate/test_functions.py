"""Functions that are ours or that differ from Sprig, refused functions, and the registry."""

import pytest

from shared.gotemplate import TemplateError, render
from shared.gotemplate.funcs import FUNCTIONS, MUTATING, REFUSED

SPRIG = """
    hello ago date date_in_zone date_modify dateInZone dateModify duration durationRound htmlDate htmlDateInZone
    must_date_modify mustDateModify mustToDate now toDate unixEpoch abbrev abbrevboth trunc trim upper lower title
    untitle substr repeat trimall trimAll trimSuffix trimPrefix nospace initials randAlphaNum randAlpha randAscii
    randNumeric swapcase shuffle snakecase camelcase kebabcase wrap wrapWith contains hasPrefix hasSuffix quote squote
    cat indent nindent replace plural sha1sum sha256sum sha512sum adler32sum toString atoi int int64 float64 seq
    toDecimal split splitList splitn toStrings until untilStep add1 add sub div mod mul randInt add1f addf subf divf
    mulf biggest max min maxf minf ceil floor round join sortAlpha default empty coalesce all any compact mustCompact
    fromJson toJson toPrettyJson toRawJson mustFromJson mustToJson mustToPrettyJson mustToRawJson ternary deepCopy
    mustDeepCopy typeOf typeIs typeIsLike kindOf kindIs deepEqual env expandenv getHostByName base dir clean ext isAbs
    osBase osClean osDir osExt osIsAbs b64enc b64dec b32enc b32dec tuple list dict get set unset hasKey pluck keys
    pick omit merge mergeOverwrite mustMerge mustMergeOverwrite values append mustAppend push mustPush prepend
    mustPrepend first mustFirst rest mustRest last mustLast initial mustInitial reverse mustReverse uniq mustUniq
    without mustWithout has mustHas slice mustSlice concat dig chunk mustChunk bcrypt htpasswd genPrivateKey
    derivePassword buildCustomCert genCA genCAWithKey genSelfSignedCert genSelfSignedCertWithKey genSignedCert
    genSignedCertWithKey encryptAES decryptAES randBytes uuidv4 semver semverCompare fail regexMatch mustRegexMatch
    regexFindAll mustRegexFindAll regexFind mustRegexFind regexReplaceAll mustRegexReplaceAll regexReplaceAllLiteral
    mustRegexReplaceAllLiteral regexSplit mustRegexSplit regexQuoteMeta urlParse urlJoin
"""
BUILTINS = """
    and or not eq ne lt le gt ge len index slice print printf println html js urlquery call
"""


def test_every_name_of_sprig_and_go_is_known() -> None:
    known = FUNCTIONS.keys() | REFUSED.keys()
    assert [name for name in (SPRIG + BUILTINS).split() if name not in known] == []
    assert FUNCTIONS.keys() & REFUSED.keys() == set()


def test_every_function_says_what_it_does() -> None:
    assert [name for name, function in FUNCTIONS.items() if not function.doc.endswith(".")] == []
    assert set(MUTATING) <= FUNCTIONS.keys()


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refused_functions_fail_before_rendering(name: str) -> None:
    with pytest.raises(TemplateError, match=f"function '{name}' is refused: .+"):
        render(f"{{{{ if false }}}}{{{{ {name} }}}}{{{{ end }}}}", {})


@pytest.mark.parametrize(
    ("value", "host"),
    [
        ("https://a.b:8080/p", "a.b"),
        ("a.b:8080", "a.b"),
        ("a.b", "a.b"),
        ("a.b/p", "a.b/p"),
        ("//a.b/p", "a.b"),
        ("https://u:p@h:1/", "h"),
        ("https://[::1]:8/x", "::1"),
        ("[::1]:8", "["),
        ("http://", "http"),
        ("", ""),
        ("http://a b/", "http"),
    ],
)
def test_to_host(value: str, host: str) -> None:
    assert render("{{ toHost .v }}", {"v": value}) == host


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("3.14", "3"),
        ("-5.99", "-5"),
        ("007", "7"),
        ("1e3", "1000"),
        (" 5", "0"),
        ("x", "0"),
        ("", "0"),
        (2.9, "2"),
        (-3, "-3"),
        (True, "1"),
    ],
)
def test_int_prints_plain_digits(value: object, text: str) -> None:
    assert render("{{ int .v }}", {"v": value}) == text


@pytest.mark.parametrize(("value", "text"), [("1.5", "1.5"), ("1e6", "1e+06"), ("x", "0"), (True, "1"), (42, "42")])
def test_float_prints_a_plain_number(value: object, text: str) -> None:
    assert render("{{ float .v }}", {"v": value}) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [("true", "true"), ("YES", "true"), ("on", "true"), ("t", "true"), ("1", "true"), ("nope", "false"), (0.5, "true")],
)
def test_bool_reads_words(value: object, text: str) -> None:
    assert render("{{ bool .v }}", {"v": value}) == text


def test_typed_functions_take_what_is_no_number() -> None:
    template = "{{ int .v }} {{ float .v }} {{ bool .v }}"
    assert render(template, {"v": None}) == "0 0 false"
    assert render(template, {"v": ""}) == "0 0 false"
    assert render(template, {"v": [1]}) == "0 0 false"
    assert render("{{ int .v }}", {"v": "9" * 20}) == "-9223372036854775808"


def test_typed_numbers_feed_arithmetic() -> None:
    assert render("{{ add (int .r) 1 }}{{ range until (int .r) }}.{{ end }}", {"r": "3"}) == "4..."


def test_from_json_never_fails() -> None:
    assert render("{{ fromJson .x }}{{ (fromJson .y).a }}", {"x": "not json{", "y": '{"a":5432}'}) == "map[]5432"


def test_keys_and_values_are_sorted() -> None:
    assert render('{{ $d := dict "b" 1 "a" 2 }}{{ keys $d }}{{ values $d }}', {}) == "[a b][2 1]"


@pytest.mark.parametrize(
    "secret", ["s3cr3t-(", "http://h:s3cr3t", "http://s3cr3t^h%zz", "2024-s3cr3t", '{"s3cr3t": 1e999}']
)
def test_errors_do_not_show_values(secret: str) -> None:
    messages: list[str] = []
    for name in FUNCTIONS.keys() - {"fail", "derivePassword"}:
        for count in (FUNCTIONS[name].min_args, FUNCTIONS[name].min_args + 1):
            try:
                render(f"{{{{ {name}{' .v' * count} }}}}", {"v": secret})
            except TemplateError as error:
                messages.append(str(error))
    assert len(messages) > 100
    assert [message for message in messages if "s3cr3t" in message] == []


def test_dates_know_utc_alone() -> None:
    assert render('{{ dateInZone "2006-01-02 15:04" 0 "UTC" }}', {}) == "1970-01-01 00:00"
    for template in (
        '{{ dateInZone "2006" 0 "Europe/Berlin" }}',
        '{{ date "2006" "today" }}',
        '{{ durationRound (toDate "2006" "2020") }}',
    ):
        with pytest.raises(TemplateError, match=r"not available|seconds since 1970|`ago` tells it"):
            render(template, {})


def test_a_password_is_derived_from_its_input_alone() -> None:
    template = '{{ derivePassword 1 "long" .p "user" "example.com" }}'
    assert render(template, {"p": "pw"}) == "DinaHinfJads4_"


def test_maps_that_hold_themselves_do_not_hang() -> None:
    for ending in ("{{ $d }}", "{{ toJson $d }}", "{{ deepCopy $d }}", "{{ deepEqual $d (deepCopy $d) }}"):
        with pytest.raises(TemplateError, match="nested deeper than"):
            render('{{ $d := dict }}{{ $_ := set $d "me" $d }}' + ending, {})


def test_a_nil_map_stays_nil_until_something_is_put_into_it() -> None:
    assert (
        render("{{ merge nil | mergeOverwrite | toJson }} {{ merge nil (dict `a` 1) | toJson }}", {}) == 'null {"a":1}'
    )


@pytest.mark.parametrize("value", ['toDate "2006" "2026"', 'semver "1.2.3"'])
def test_a_struct_is_not_printed_as_go_syntax(value: str) -> None:
    """Go tells its private fields; ours printed a time as by %v."""
    with pytest.raises(TemplateError, match="verb %#v cannot print a value of type"):
        render('{{ printf "%#v" (' + value + ") }}", {})
