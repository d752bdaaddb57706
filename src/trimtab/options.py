"""What the commands take: arguments and options, with their help."""

from pathlib import Path
from typing import Annotated

import typer

RunFile = Annotated[Path, typer.Argument(metavar="RUN.TOML", help="The run file.")]
RunFolder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a trained run.")]
Rows = Annotated[
    Path | None, typer.Option(help="Labelled rows.", show_default="the run's valid rows")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Override = Annotated[
    list[str] | None,
    typer.Option("-s", "--set", metavar="KEY=VALUE", help="Change a setting: training.epochs=3."),
]

Weights = Annotated[
    str | None,
    typer.Option(metavar="A=1,B=5", help="Weights; play/min=2 a minute, feed.like=0 a scene."),
]
FormulaFile = Annotated[
    Path | None, typer.Option(metavar="FILE.JSON", help="A formula of any kind.")
]
ProfileName = Annotated[str | None, typer.Option(help="A saved profile's formula.")]
Search = Annotated[str | None, typer.Option(metavar="A,B", help="Find the front of these targets.")]
Maximise = Annotated[
    str | None, typer.Option(metavar="A", help="Find the weights with the most of a target.")
]
Keep = Annotated[str | None, typer.Option(metavar="B=now,C=0.7", help="Bounds for --maximise.")]
Metric = Annotated[
    str, typer.Option(help="Of a search: utility (over all rows, AUC) or ndcg (within user).")
]
Trials = Annotated[int, typer.Option(min=1, help="Weightings that a search tries.")]
Against = Annotated[
    str | None, typer.Option(help="Profile to compare with.", show_default="the current one")
]
Save = Annotated[
    str | None, typer.Option(metavar="NAME", help="Save as a profile, the current one.")
]
Places = Annotated[int, typer.Option("-k", min=1, help="Places that NDCG looks at.")]
Page = Annotated[bool, typer.Option("--page", help="Write DIR/steering.html.")]
Verify = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="Retrain for N weightings instead.")
]
Seeds = Annotated[int, typer.Option(min=1, help="Trainings of each, for --verify.")]
LossWeights = Annotated[
    bool, typer.Option("--loss-weights", help="For --verify: retrain the run's model too.")
]
