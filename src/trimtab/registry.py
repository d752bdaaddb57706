"""Names in a run file to the settings of a part; one registry a kind of part."""

from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from typing import Annotated, Any, Generic, TypeVar, Union

from pydantic import BeforeValidator, Discriminator

from trimtab.errors import SettingsError, nearest

Part = TypeVar("Part")


class Registry(Generic[Part]):
    """A mapping from ``kind`` to settings class that refuses duplicates and explains misses.

    Packages outside this one add parts through the entry point group ``trimtab.<group>``.

    Parameters
    ----------
    group
        Plural noun of the parts, such as ``trunks``; also the entry point group.
    """

    def __init__(self, group: str) -> None:
        self.group = group
        self._parts: dict[str, type[Part]] = {}

    def register(self, kind: str) -> Callable[[type[Part]], type[Part]]:
        """Return a class decorator that files its class under ``kind``."""

        def add(part: type[Part]) -> type[Part]:
            if kind in self._parts:
                raise ValueError(f"{self.group}: {kind!r} is already {self._parts[kind]!r}.")
            self._parts[kind] = part
            return part

        return add

    def load_outside_parts(self) -> None:
        """Import the parts that other installed packages offer."""
        for entry in entry_points(group=f"trimtab.{self.group}"):
            entry.load()

    def __getitem__(self, kind: str) -> type[Part]:
        """Return the class of ``kind``; raise ``SettingsError`` with the nearest name."""
        if kind not in self._parts:
            raise SettingsError(f"{self.group}: no kind {kind!r}. {nearest(kind, self._parts)}")
        return self._parts[kind]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._parts))

    def union(self) -> Any:
        """Return the type of "any registered part", told apart by ``kind``.

        A bare string stands for a part with its defaults: ``"id"`` is ``{ kind = "id" }``.
        """
        self.load_outside_parts()
        parts = tuple(self._parts[kind] for kind in self)
        return Annotated[
            Annotated[Union[parts], Discriminator("kind")],  # noqa: UP007
            BeforeValidator(_from_string),
        ]


def _from_string(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value
