"""How a command ends: with a last line that says what went wrong, if anything did.

An error that a user can fix is that line alone. Any other error, and one of a reader's own
criterion, comes with its traceback before the line. The summary of a failed run quotes the line
from the job's log (minified.run.failures).
"""

import contextlib
import traceback
from collections.abc import Iterator
from pathlib import Path

from minified.foundations import arithmetic
from minified.foundations.errors import CriterionError, MinifiedError, message, summary
from minified.run import opening
from minified.run.clock import Clock


@contextlib.contextmanager
def reported(cold: str = "") -> Iterator[None]:
    """Run a command; if it raises an error, say so in one line and exit with status 1.

    `cold`: why the run's warm interpreter did not do it.
    """
    timer = Clock(cold)
    try:
        yield
    except SystemExit as ended:
        if not ended.code:
            timer.report()
        raise
    except arithmetic.OtherPinsError:
        raise  # the warm interpreter leaves this job to its command
    except CriterionError as error:
        _fail(str(error), error.__cause__)
    except (MinifiedError, OSError) as error:
        opening.stop(message(error))
    except BaseException as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        _fail(f"{summary(error)} ({Path(last.filename).name}, line {last.lineno})", error)


@contextlib.contextmanager
def returning(stage: str) -> Iterator[None]:
    """Run a stage, which ends by returning: typer would let it end otherwise without a word."""
    try:
        yield
    except KeyboardInterrupt as stop:
        opening.say(next(iter(getattr(stop, "__notes__", [])), "interrupted"))
        raise
    except SystemExit as end:
        # What it should have written may not be there, whatever status it asks for.
        raise MinifiedError(f"{stage}: something in it ended Python ({summary(end)})") from end


def _fail(line: str, error: BaseException | None) -> None:
    """Exit with status 1, after the traceback of `error`, if there is one, and `line`."""
    if error is not None:
        with contextlib.suppress(Exception):  # an error may break its own printing
            traceback.print_exception(error)
    opening.stop(line)
