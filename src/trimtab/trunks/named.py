"""Targets that a trunk's settings name: they exist, and they are in tasks."""

from collections import Counter
from collections.abc import Mapping, Sequence

from trimtab.errors import SettingsError, nearest


def name_problems(where: str, named: Sequence[str], targets: Sequence[str]) -> list[str]:
    """Return what is wrong with the targets named at ``where``: not known, or named twice."""
    unknown = [name for name in dict.fromkeys(named) if name not in targets]
    twice = [name for name, count in Counter(named).items() if count > 1]
    return [
        *(f"{where}: no target named {name!r}. {nearest(name, targets)}" for name in unknown),
        *(f"{where}: {name!r} is named twice; expected once" for name in twice),
    ]


def refuse(problems: Sequence[str]) -> None:
    """Raise ``SettingsError`` with every problem, if there is one."""
    if problems:
        raise SettingsError("\n  ".join(problems))


def check_chain(chain: Sequence[str] | None, targets: Sequence[str]) -> None:
    """Check the targets of a chain; raise ``SettingsError`` with every problem."""
    if chain is None:
        return
    problems = name_problems("trunk.chain", chain, targets)
    if len(chain) < 2:
        problems.append(f"trunk.chain: found {list(chain)}, expected two targets or more")
    refuse(problems)


def chain_of(chain: Sequence[str] | None, tasks: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the tasks that follow each other, in order: all where no chain is given.

    Raises
    ------
    SettingsError
        Where the chain names targets that are not there, or stays within one task.
    """
    if chain is None:
        return list(tasks)
    task_of = {target: task for task, targets in tasks.items() for target in targets}
    check_chain(chain, list(task_of))
    followed = list(dict.fromkeys(task_of[target] for target in chain))
    if len(followed) < 2:
        raise SettingsError(
            f"trunk.chain: all its targets are in the task {followed[0]!r}; "
            "expected targets of two tasks or more"
        )
    return followed
