"""Family names by language, from the locale tables of the wheel Faker.

The tables are Python source. They are parsed, never run: a family name is a string inside the value of a variable whose
name contains `last_name`.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator

from unspool.corpora.entry import Content, CorpusError, labelled_content
from unspool.corpora.members import Members

# Languages in Latin script with more than 300 family names of their own: one locale each, its home country.
LOCALES = {
    "de_DE": "German",
    "en_GB": "English",
    "es_ES": "Spanish",
    "et_EE": "Estonian",
    "fi_FI": "Finnish",
    "fr_FR": "French",
    "ga_IE": "Irish",
    "hr_HR": "Croatian",
    "it_IT": "Italian",
    "nl_NL": "Dutch",
    "pl_PL": "Polish",
    "sk_SK": "Slovak",
    "sv_SE": "Swedish",
    "zu_ZA": "Zulu",
}


def read_names(members: Members) -> Content:
    """Family names labelled with their language; a name that stands in several languages' tables is left out."""
    tables = {locale: _family_names(members, locale) for locale in LOCALES}
    holders = Counter(name for names in tables.values() for name in names)
    return labelled_content(
        (name, language)
        for locale, language in LOCALES.items()
        for name in sorted(tables[locale])
        if holders[name] == 1
    )


def _family_names(members: Members, locale: str) -> set[str]:
    tree = ast.parse(members.read(f"faker/providers/person/{locale}/__init__.py"))
    names = {name for value in _values(tree) for name in _strings(value)}
    if not names:
        raise CorpusError(f"the wheel's table for {locale} holds no family names")
    return names


def _values(tree: ast.AST) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Name) and "last_name" in target.id for target in targets):
                yield node.value


def _strings(value: ast.expr) -> Iterator[str]:
    for node in ast.walk(value):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.strip():
            yield node.value.strip()
