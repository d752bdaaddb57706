"""What every trunk is: shared inputs in, one representation a task out."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence

from jaxtyping import Float
from torch import Tensor, nn

from trimtab.features.inputs import Inputs
from trimtab.registry import Registry
from trimtab.settings import Settings


class Trunk(nn.Module, ABC):
    """From the inputs to one representation a task.

    A trunk sees neither raw features nor towers, losses or settings.

    Attributes
    ----------
    out_width
        Width of every representation.
    """

    out_width: int

    @abstractmethod
    def forward(self, inputs: Inputs) -> dict[str, Float[Tensor, "rows out_width"]]:
        """Return each task's representation of every row."""

    @abstractmethod
    def shared_parameters(self) -> Iterator[nn.Parameter]:
        """Return the parameters that more than one task trains.

        Where the parts of several tasks lie in one tensor, as those of batched experts and gates
        do, the tensor counts as shared: each task's gradient is 0 outside what it uses.
        """


class TrunkSettings(Settings, ABC):
    """The settings of one trunk, as written under ``[trunk]``."""

    kind: str

    @abstractmethod
    def tasks(self, targets: Sequence[str]) -> dict[str, str]:
        """Return target to task, where the run file does not say."""

    @abstractmethod
    def build(
        self, in_width: int, own_width: int, tasks: Mapping[str, Sequence[str]], scenes: int
    ) -> Trunk:
        """Build the trunk.

        Parameters
        ----------
        in_width, own_width
            Widths of ``Inputs.shared`` and of each of ``Inputs.own``, flattened.
        tasks
            Task to its targets, in the order of the run file.
        scenes
            How many scenes ``Inputs.scene`` tells apart.
        """


trunks: Registry[TrunkSettings] = Registry("trunks")
