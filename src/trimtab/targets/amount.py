"""The target kind ``amount``: spend and other quantities of which most rows have none."""

from collections.abc import Mapping
from typing import Literal

from trimtab.data.labels import LabelColumn
from trimtab.targets.base import TargetSettings, targets
from trimtab.targets.heads import AnyHead, ZeroInflatedSettings
from trimtab.targets.quantity import Quantity, with_limit


@targets.register("amount")
class AmountSettings(TargetSettings):
    """Spend, in one currency, or a number of things; at least 0."""

    kind: Literal["amount"] = "amount"
    head: AnyHead = ZeroInflatedSettings()
    """How it is learnt; the heads are those of a duration."""
    censored_at: str | None = None
    """Column with the most that could be seen of a row: an amount at or above it is learnt as "at
    least that". Where it is null, the label is exact. It is measured as a censored duration is."""

    def labels(self, name: str, targets: Mapping[str, TargetSettings]) -> dict[str, LabelColumn]:
        """Return the label, finite and not negative or missing, and its limit."""
        return with_limit(name, self.label_column(name, "not_negative"), self.censored_at)

    def build(self, name: str, targets: Mapping[str, TargetSettings]) -> "Amount":
        """Build the target."""
        limited = self.censored_at is not None
        return Amount(name, self.head.build(seconds=1.0, censored=limited), limited=limited)


class Amount(Quantity):
    """An amount, at least 0, in the label's unit."""

    kind = "amount"
