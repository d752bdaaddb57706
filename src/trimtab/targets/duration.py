"""The target kind ``duration``: seconds watched, with many short and few very long ones."""

from collections.abc import Mapping
from typing import Literal

from trimtab.data.labels import LabelColumn
from trimtab.targets.base import TargetSettings, targets
from trimtab.targets.heads import AnyHead, OrdinalSettings
from trimtab.targets.quantity import Quantity, with_limit


@targets.register("duration")
class DurationSettings(TargetSettings):
    """Play time, dwell time; at least 0."""

    kind: Literal["duration"] = "duration"
    unit: Literal["ms", "s", "min", "h"] = "s"
    """Unit of the column; predictions and metrics are in it too."""
    head: AnyHead = OrdinalSettings()
    """How it is learnt: ``ordinal``, ``weighted_logistic``, ``d2q``, ``zero_inflated``,
    ``quantile``, ``log_squared``, or a table with one of them as its ``kind``."""
    censored_at: str | None = None
    """Column with the most that could be seen of a row, such as the video's length, in the same
    unit: a label at or above it is learnt as "at least that". Where it is null, the label is
    exact. MAE and RMSE compare with what was seen; XAUC leaves out the pairs whose smaller label
    is at its limit, as nobody knows their order; nothing calibrates it, and it has no PCOC."""

    def labels(self, name: str, targets: Mapping[str, TargetSettings]) -> dict[str, LabelColumn]:
        """Return the label, finite and not negative or missing, and its limit."""
        return with_limit(name, self.label_column(name, "not_negative"), self.censored_at)

    def build(self, name: str, targets: Mapping[str, TargetSettings]) -> "Duration":
        """Build the target."""
        seconds = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}[self.unit]
        limited = self.censored_at is not None
        head = self.head.build(seconds=seconds, censored=limited)
        return Duration(name, head, limited=limited)


class Duration(Quantity):
    """A length of time, at least 0."""

    kind = "duration"
