"""What is wrong with a dataset, by kinds of mistakes, all of it before anything is raised."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NoReturn

from ...errors import ConfigError

#: kinds of mistakes, as `bench dataset check` counts them
DESCRIBED: Final = "dataset description"
LABELS: Final = "invalid labels"
ABSENT: Final = "missing images"
OUTSIDE: Final = "paths outside of the dataset"
AMBIGUOUS: Final = "ambiguous image names"
CHANGED: Final = "files that differ from the manifest"
DAMAGED: Final = "unusable images"
CLASSES: Final = "classes"
SAMPLES: Final = "unusable samples"

#: of single images, which the others can do without
OF_FILES: Final = frozenset((ABSENT, OUTSIDE, AMBIGUOUS, CHANGED, DAMAGED))

Groups = dict[str, list[str]]


class DatasetMistakes(ConfigError):
    """ConfigError that knows of which kind each mistake is."""

    def __init__(self, groups: Groups, hint: str = "") -> None:
        self.groups = groups
        super().__init__([line for lines in groups.values() for line in lines], hint)


class Wrong:
    """Mistakes, as they are found; those of the kinds `forgiven` stop nobody."""

    def __init__(self, forgiven: Collection[str] = ()) -> None:
        self.groups: Groups = {}
        self._forgiven = forgiven
        self.hint = ""

    def add(self, kind: str, line: str, hint: str = "") -> None:
        """One more; the first hint is the one that is shown."""
        self.groups.setdefault(kind, []).append(line)
        self.hint = self.hint or hint

    def take(self, kind: str, error: ConfigError) -> None:
        """All of an error's, as they are grouped there or else of one kind."""
        groups = error.groups if isinstance(error, DatasetMistakes) else {kind: error.mistakes}
        for name, lines in groups.items():
            self.groups.setdefault(name, []).extend(lines)
        self.hint = self.hint or error.hint

    def check(self) -> None:
        """Raises DatasetMistakes when there are any that are not forgiven."""
        found = {kind: one for kind, one in self.groups.items() if kind not in self._forgiven}
        if found:
            raise DatasetMistakes(found, self.hint)

    def fail(self) -> NoReturn:
        """Raises DatasetMistakes with all of them: there is nothing to go on with."""
        raise DatasetMistakes(self.groups, self.hint)
