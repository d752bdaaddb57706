"""The fitted maps of a run, a prediction and scene each."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.calibration.base import Map, calibrators
from trimtab.calibration.scale import Rows

Values = NDArray[np.float32]


class Calibration:
    """The maps of every prediction, one a scene.

    Parameters
    ----------
    maps
        Prediction to the map of each scene; predictions without are left as they are.
    bounds
        Probability of a later step to that of the step before, which it never passes; first steps
        first.
    scenes
        Names of the scenes, in the order of the maps.
    """

    def __init__(
        self,
        maps: Mapping[str, Sequence[Map]],
        bounds: Mapping[str, str],
        scenes: Sequence[str],
    ) -> None:
        self.maps = {name: tuple(of_scenes) for name, of_scenes in maps.items()}
        self.bounds = dict(bounds)
        self.scenes = tuple(scenes)

    def __call__(self, predictions: Mapping[str, Rows], scene: Rows) -> dict[str, Values]:
        """Return calibrated predictions of rows whose scenes are given by index."""
        calibrated = {n: np.array(values, dtype=np.float32) for n, values in predictions.items()}
        rows = [scene == index for index in range(len(self.scenes))]
        for name, maps in self.maps.items():
            for here, move in zip(rows, maps, strict=True):
                calibrated[name][here] = move(predictions[name][here])
        for later, earlier in self.bounds.items():
            most = calibrated[earlier]
            np.copyto(calibrated[later], most, where=calibrated[later] > most)
        return calibrated

    def text(self) -> str:
        """Return everything, as JSON: prediction to scene to map."""
        maps = {
            name: {scene: move.state() for scene, move in zip(self.scenes, of_scenes, strict=True)}
            for name, of_scenes in self.maps.items()
        }
        return json.dumps({"scenes": self.scenes, "bounds": self.bounds, "maps": maps}, indent=1)

    @classmethod
    def parse(cls, text: str) -> "Calibration":
        """Read what ``text`` returned.

        Raises
        ------
        ValueError, LookupError, TypeError, AttributeError
            When it is something else.
        """
        state = json.loads(text)
        kinds = {kind: calibrators[kind] for kind in calibrators}
        maps = {
            name: tuple(_restored(kinds, of_scenes[scene]) for scene in state["scenes"])
            for name, of_scenes in state["maps"].items()
        }
        return cls(maps, state["bounds"], state["scenes"])


def _restored(kinds: Mapping[str, Any], state: Mapping[str, Any]) -> Map:
    restored: Map = kinds[state["kind"]].restore(state)
    return restored
