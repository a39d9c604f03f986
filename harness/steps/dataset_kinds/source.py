"""What a person says of a dataset: where it is, which part of it, what its classes are called."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

ClassRule = Literal["by-name", "by-id", "by-order"]

#: what a truth's class counts as where its own name does not say it; None: it is left out
ClassNames = tuple[tuple[str, str | None], ...]

BY_NAME: Final = "by-name"


@dataclass(frozen=True)
class ClassMap:
    """How classes of the truth become classes of the model.

    `by-id`: the id is the model's label. `by-order`: in the order of their ids they are the
    model's labels. `by-name`: by `names`, from a name or an id of the truth; the others by their
    own names.
    """

    rule: ClassRule = BY_NAME
    names: ClassNames = ()
    #: of the model
    classes: tuple[str, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether any class may be called otherwise than in the truth."""
        return self.rule != BY_NAME or bool(self.names)


@dataclass(frozen=True)
class Source:
    """A dataset as model.yaml or the command line names it; nothing is read yet."""

    #: file or folder that holds the truth
    path: Path
    #: folder of the images, where `path` does not tell
    images: Path | None = None
    #: `train`, `val`, …; empty: the kind's own rule
    split: str = ""
    #: a name of the registry; empty: told from what `path` is
    kind: str = ""
    class_map: ClassMap = field(default_factory=ClassMap)
    #: what model.yaml calls it
    name: str = ""
    #: `file:line` where it is named, for mistakes of what is said there
    where: str = ""

    @property
    def at(self) -> str:
        """Where a mistake of what is said about the dataset is mended."""
        return self.where or str(self.path)


def of(dataset: Source | Path) -> Source:
    """A folder alone is a source, too."""
    return dataset if isinstance(dataset, Source) else Source(dataset)
