"""The path language of /entity, /attribute, /attributegroup and /aggregate, as a tree."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import unquote

from .errors import ServiceError, malformed, unsupported

T = TypeVar("T")
_TOKEN = re.compile(r":=|::|[/:;,=()&!$@*]|(?:[A-Za-z0-9_.~+-]|%[0-9A-Fa-f]{2})+")
_OPERATORS = {"lt", "leq", "gt", "geq", "regexp", "ciregexp", "ts"}


@dataclass(frozen=True)
class Token:
    """A piece of the path, where it starts, and whether it is a name or value."""

    text: str
    at: int
    is_word: bool

    @property
    def word(self) -> str:
        """The decoded name or value."""
        return unquote(self.text.replace("+", " "))


Name = tuple[str, ...]  # of a table or a column, from the outermost part to the innermost


@dataclass(frozen=True)
class Comparison:
    """``column op value``; several values with a quantifier, none for ``null``."""

    column: Name
    operator: str
    values: tuple[str, ...] = ()
    quantifier: str = ""


@dataclass(frozen=True)
class Negation:
    """``!predicate``"""

    inner: Predicate


@dataclass(frozen=True)
class Junction:
    """``a&b`` or ``a;b``"""

    operator: str
    parts: tuple[Predicate, ...]


Predicate = Comparison | Negation | Junction


@dataclass(frozen=True)
class TableStep:
    """``alias:=schema:table``: the root, or a table linked by any reference between the two."""

    name: Name
    alias: str = ""


@dataclass(frozen=True)
class LinkStep:
    """``alias:=left(columns)=(columns)``; without right-hand columns, an end of a reference."""

    left: tuple[Name, ...]
    right: tuple[Name, ...] = ()
    alias: str = ""
    outer: str = ""


@dataclass(frozen=True)
class FilterStep:
    """A predicate on the rows so far."""

    predicate: Predicate


@dataclass(frozen=True)
class ResetStep:
    """``$alias``: back to an earlier table."""

    alias: str


Step = TableStep | LinkStep | FilterStep | ResetStep


@dataclass(frozen=True)
class Output:
    """``alias:=function(column)`` in a projection; the last part of ``*`` means all columns."""

    column: Name
    alias: str = ""
    function: str = ""


@dataclass
class DataPath:
    """A parsed path. A page key's None is ``::null::``."""

    api: str
    steps: list[Step]
    keys: list[Output] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    sort: list[tuple[str, bool]] = field(default_factory=list)
    after: list[str | None] | None = None
    before: list[str | None] | None = None


def parse(api: str, path: str, start: int) -> DataPath:
    """Parse what follows ``/{api}/`` and begins at ``start`` of the URL's path.

    Raises:
        ServiceError: 400, naming the token at which the grammar ends.
    """
    parser = _Parser(path, start)
    steps: list[Step] = [parser.root()]
    keys: list[Output] = []
    outputs: list[Output] = []
    while parser.take("/"):
        if api == "entity" or _has_more_steps(parser):
            steps.append(parser.step())
        elif api == "attributegroup":
            keys = parser.listed(parser.output)
            if parser.take(";"):
                outputs = parser.listed(parser.output)
        else:
            outputs = parser.listed(parser.output)
    if api != "entity" and not (keys or outputs):
        raise parser.error()
    result = DataPath(api, steps, keys, outputs)
    while parser.take("@"):
        parser.modifier(result)
    parser.end()
    return result


def _has_more_steps(parser: _Parser) -> bool:
    """Whether a slash comes later: slashes within names are encoded, so what follows it is the projection."""
    return any(token.text == "/" for token in parser.tokens[parser.position :])


class _Parser:
    """Recursive descent over the tokens of one path."""

    def __init__(self, path: str, start: int) -> None:
        self.tokens: list[Token] = []
        self.position = 0
        at = start
        while at < len(path):
            match = _TOKEN.match(path, at)
            if match is None:
                raise malformed(f"URL parse error at character {path[at]!r}, position {at}")
            text = match.group()
            self.tokens.append(Token(text, at, text[0].isalnum() or text[0] in "_.~+-%"))
            at = match.end()

    @property
    def current(self) -> Token | None:
        return self.tokens[self.position] if self.position < len(self.tokens) else None

    def error(self) -> ServiceError:
        token = self.current
        if token is None:
            return malformed("URL parse error at token: None")
        kind = "STRING" if token.is_word else {"::": "OPMARK", ":=": "ASSIGN"}.get(token.text, token.text)
        return malformed(f"URL parse error at token: LexToken({kind},{token.word!r},1,{token.at})")

    def take(self, text: str) -> bool:
        if self.current is not None and self.current.text == text and not self.current.is_word:
            self.position += 1
            return True
        return False

    def need(self, text: str) -> None:
        if not self.take(text):
            raise self.error()

    def word(self) -> str:
        if self.current is None or not self.current.is_word:
            raise self.error()
        self.position += 1
        return self.tokens[self.position - 1].word

    def end(self) -> None:
        if self.current is not None:
            raise self.error()

    def tried(self, rule: Callable[[], T]) -> T | None:
        """What a rule makes of the next tokens, or None and no token taken."""
        position = self.position
        try:
            return rule()
        except ServiceError as error:
            if error.status != 400:
                raise
            self.position = position
            return None

    def listed(self, rule: Callable[[], T]) -> list[T]:
        found = [rule()]
        while self.take(","):
            found.append(rule())
        return found

    def name(self) -> Name:
        self.take(":")
        parts = [self.word()]
        while self.take(":"):
            parts.append(self.word())
        return tuple(parts)

    def alias(self) -> str:
        def assigned() -> str:
            alias = self.word()
            self.need(":=")
            return alias

        return self.tried(assigned) or ""

    def root(self) -> TableStep:
        alias = self.alias()
        return TableStep(self.name(), alias)

    def step(self) -> Step:
        if self.take("$"):
            return ResetStep(self.word())
        alias = self.alias()
        if link := self.tried(lambda: self.link(alias)):
            return link
        if not alias and (predicate := self.tried(self.filter)):
            return FilterStep(predicate)
        if table := self.tried(lambda: self.table(alias)):
            return table
        self.predicate()  # fails, and names the token
        raise self.error()

    def table(self, alias: str) -> TableStep:
        name = self.name()
        self.at_boundary()
        return TableStep(name, alias)

    def filter(self) -> Predicate:
        predicate = self.predicate()
        self.at_boundary()
        return predicate

    def link(self, alias: str) -> LinkStep:
        outer = ""
        if self.current is not None and self.current.word in ("left", "right", "full"):
            outer = self.word()
        left = self.columns()
        right = self.columns() if self.take("=") else ()
        if outer and not right:
            raise self.error()
        self.at_boundary()
        return LinkStep(left, right, alias, outer)

    def columns(self) -> tuple[Name, ...]:
        self.need("(")
        names = self.listed(self.name)
        self.need(")")
        return tuple(names)

    def at_boundary(self) -> None:
        if self.current is not None and self.current.text not in ("/", "@"):
            raise self.error()

    def predicate(self) -> Predicate:
        parts = [self.conjunction()]
        while self.take(";"):
            parts.append(self.conjunction())
        return parts[0] if len(parts) == 1 else Junction("OR", tuple(parts))

    def conjunction(self) -> Predicate:
        parts = [self.factor()]
        while self.take("&"):
            parts.append(self.factor())
        return parts[0] if len(parts) == 1 else Junction("AND", tuple(parts))

    def factor(self) -> Predicate:
        if self.take("!"):
            return Negation(self.factor())
        if self.take("("):
            predicate = self.predicate()
            self.need(")")
            return predicate
        column = ("*",) if self.take("*") else self.name()
        operator = "="
        if not self.take("="):
            self.need("::")
            operator = self.word()
            if operator not in _OPERATORS | {"null"}:
                self.position -= 1
                raise self.error()
            self.need("::")
        if operator == "null":
            return Comparison(column, "null")
        return self.operand(column, operator)

    def operand(self, column: Name, operator: str) -> Comparison:
        if self.current is None or self.current.text in ("/", "&", ";", ")", "@"):
            return Comparison(column, operator, ("",))
        value = self.word()
        if value in ("any", "all") and self.take("("):
            values = self.listed(self.optional_word)
            self.need(")")
            return Comparison(column, operator, tuple(values), value)
        return Comparison(column, operator, (value,))

    def optional_word(self) -> str:
        return self.word() if self.current is not None and self.current.is_word else ""

    def output(self) -> Output:
        alias = self.alias()

        def call() -> Output:
            function = self.word()
            self.need("(")
            if function == "bin":
                raise unsupported("binning")
            column = self.starred()
            self.need(")")
            return Output(column, alias, function)

        return self.tried(call) or Output(self.starred(), alias)

    def starred(self) -> Name:
        if self.take("*"):
            return ("*",)
        parts = [self.word()]
        while self.take(":"):
            if self.take("*"):
                return (*parts, "*")
            parts.append(self.word())
        return tuple(parts)

    def modifier(self, result: DataPath) -> None:
        which = self.word()
        self.need("(")
        if which == "sort":
            result.sort = self.listed(self.sort_key)
        elif which in ("after", "before") and result.sort:
            setattr(result, which, self.listed(self.page_value))
        else:
            self.position -= 2
            raise self.error()
        self.need(")")

    def sort_key(self) -> tuple[str, bool]:
        name = self.word()
        if not self.take("::"):
            return name, False
        if self.word() != "desc":
            self.position -= 1
            raise self.error()
        self.need("::")
        return name, True

    def page_value(self) -> str | None:
        if self.take("::"):
            if self.word() != "null":
                raise self.error()
            self.need("::")
            return None
        return self.optional_word()
