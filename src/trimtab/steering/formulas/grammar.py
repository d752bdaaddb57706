"""The grammar of expressions: text to a tree, by recursive descent.

comparison := sum (("<" | "<=" | ">" | ">=") sum)?
sum        := product (("+" | "-") product)*
product    := signed (("*" | "/") signed)*
signed     := "-" signed | power
power      := atom ("^" signed)?
atom       := number | name | function "(" comparison ("," comparison)* ")" | "(" comparison ")"
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from trimtab.errors import InputError, nearest

SCENE = "scene."
"""What stands before a scene's name."""

ARGUMENTS = {
    "abs": 1,
    "clip": 3,
    "exp": 1,
    "if": 3,
    "log": 1,
    "log1p": 1,
    "max": 2,
    "min": 2,
    "sqrt": 1,
}
"""Function to how many arguments it takes."""

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<name>[A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z][A-Za-z0-9_]*)?)"
    r"|(?P<sign><=|>=|[-+*/^(),<>]))"
)
_DEEPEST = 50
_LONGEST = 300


@dataclass(frozen=True)
class Tree:
    """A number, a name, or an operation on parts."""

    does: str = ""
    parts: tuple["Tree", ...] = ()
    name: str | None = None
    number: float | None = None


def names_in(tree: Tree) -> list[str]:
    """Return the names of a tree, in order of mention."""
    inside = [name for part in tree.parts for name in names_in(part)]
    return list(dict.fromkeys([tree.name] if tree.name is not None else inside))


def parse_expression(text: str) -> Tree:
    """Read an expression.

    Raises
    ------
    InputError
        With the position, what was found there and what was expected.
    """
    return _Parser(text).whole()


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = _tokens(text)
        if len(self.tokens) > _LONGEST:
            raise InputError(
                f"expression: {len(self.tokens):,} words; expected {_LONGEST} or fewer"
            )
        self.place = 0
        self.depth = 0

    def whole(self) -> Tree:
        tree = self.comparison()
        if self.sign():
            raise self.error("an operator such as + or *, or the end")
        return tree

    def comparison(self) -> Tree:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise InputError(f"expression: brackets within brackets {_DEEPEST} deep; expected less")
        left = self.sum()
        if self.sign() in ("<", "<=", ">", ">="):
            left = Tree(self.take(), (left, self.sum()))
        self.depth -= 1
        return left

    def sum(self) -> Tree:
        return self.chain(("+", "-"), self.product)

    def product(self) -> Tree:
        return self.chain(("*", "/"), self.signed)

    def chain(self, signs: tuple[str, str], part: Callable[[], Tree]) -> Tree:
        tree = part()
        while self.sign() in signs:
            tree = Tree(self.take(), (tree, part()))
        return tree

    def signed(self) -> Tree:
        minus = 0
        while self.sign() == "-":
            self.take()
            minus += 1
        tree = self.power()
        return Tree("negative", (tree,)) if minus % 2 else tree

    def power(self) -> Tree:
        tree = self.atom()
        if self.sign() == "^":
            return Tree(self.take(), (tree, self.signed()))
        return tree

    def atom(self) -> Tree:
        kind, word, _ = self.tokens[self.place]
        if kind == "number":
            return Tree(number=float(self.take()))
        if kind == "name":
            self.take()
            return self.call(word) if self.sign() == "(" else Tree(name=word)
        if word != "(":
            raise self.error("a number, a target or (")
        self.take()
        tree = self.comparison()
        self.expect(")")
        return tree

    def call(self, function: str) -> Tree:
        if function not in ARGUMENTS:
            self.place -= 1
            raise self.error(f"one of the functions. {nearest(function, ARGUMENTS)}")
        self.expect("(")
        parts = [self.comparison()]
        while self.sign() == ",":
            self.take()
            parts.append(self.comparison())
        wanted = ARGUMENTS[function]
        if len(parts) != wanted:
            raise self.error(f"{wanted} arguments of {function}, not {len(parts)},")
        self.expect(")")
        return Tree(function, tuple(parts))

    def sign(self) -> str:
        """Return the word that comes next; empty at the end."""
        return self.tokens[self.place][1]

    def take(self) -> str:
        self.place += 1
        return self.tokens[self.place - 1][1]

    def expect(self, word: str) -> None:
        if self.sign() != word:
            raise self.error(word)
        self.take()

    def error(self, expected: str) -> InputError:
        _, word, position = self.tokens[self.place]
        found = repr(word) if word else "the end"
        return InputError(
            f"expression: found {found} at character {position + 1}; expected {expected}"
        )


def _tokens(text: str) -> list[tuple[str, str, int]]:
    """Return ``(kind, word, position)`` of every word; last, an empty one."""
    found, place, text = [], 0, text.rstrip()
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            at = place + len(text[place:]) - len(text[place:].lstrip())
            raise InputError(
                f"expression: found {text[at]!r} at character {at + 1}; expected numbers, targets, "
                "+ - * / ^ < > ( ) and commas"
            )
        kind = match.lastgroup or ""
        found.append((kind, match[kind], match.start(kind)))
        place = match.end()
    return [*found, ("end", "", len(text))]
