"""A user's own criterion: the keys that name its file, and the record that follows from both."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from minified.criteria import own
from minified.criteria.record import Criterion
from minified.foundations.errors import RecordError
from minified.study.grid import Level
from minified.study.recipes import TITLE, TITLE_SPELLING, Title
from minified.study.refusals import Strict, refusal, unique

# No braces: Snakemake would read them as wildcards.
FILE = r"^[A-Za-z0-9_./ -]{1,250}\.py$"


class Plugin(Strict):
    """A user's own criterion: `file` (beside the study) has a function of the same name."""

    file: Annotated[str, Field(pattern=FILE)]
    levels: Annotated[list[Level], Field(min_length=1, max_length=2)]
    title: Title | None = None

    @model_validator(mode="after")
    def _no_duplicates(self) -> "Plugin":
        unique(self.levels, "levels")
        return self

    def record(self, name: str, folder: Path | None) -> Criterion:
        """The criterion `name`, from the study in `folder` and from what its file declares.

        Where both say something, the study counts. The file is read, not run; without a folder it
        is not read either.

        Raises:
            RefusedError: what is wrong with the file, or with a key that does not agree with it.
        """
        where = ("criteria", name)
        if folder is None:
            return Criterion(name, Path(self.file), tuple(self.levels), self.title or name)
        try:
            said = own.declared(folder / self.file, name)
        except RecordError as error:
            raise refusal((*where, "file"), self.file, str(error)) from None
        for place, level in enumerate(self.levels):
            if level not in said.get("levels", self.levels):
                allowed = f"its file says that it scores at level {', '.join(said['levels'])} only"
                raise refusal((*where, "levels", place), level, allowed)
        if self.title:
            said |= {"title": self.title, "short": ""}
        for key in ("title", "short"):
            if said.get(key) and not re.fullmatch(TITLE, said[key]):
                problem = f"RECORDS[{name!r}]: {key}: {TITLE_SPELLING}"
                raise refusal((*where, "file"), self.file, problem)
        parts = {"title": name} | said | {"levels": tuple(self.levels)}
        return Criterion(name, folder / self.file, **parts)
