"""Regular expressions by RE2's syntax and rules, in time linear in the text.

    compile_pattern("a(b*)c").find("xabbc", 0, pay)    # (1, 5, 2, 4)

Fed by: the regex functions. Feeds: places of matches. Never: backtracks, so no pattern and no row can make it hang;
what a search costs is paid through the caller's `pay`. Matches are leftmost-first, as Go's regexp makes them.
Source of the rules: RE2 syntax; Go packages regexp and regexp/syntax (flags: Perl). Not supported: classes of scripts
(\\p{Greek}); classes of general categories (\\pL, \\p{Lu}) are.
"""

from shared.gotemplate.regex.machine import Pattern, compile_pattern

__all__ = ["Pattern", "compile_pattern"]
