"""`minified`: the command. Its verbs are in `verbs`.

`main` hands a job of a run to the run's warm interpreter (`client`, `server`), or else does it
here. Importing this module imports little, since every job pays for it.
"""

from minified.cli import client


def main() -> None:
    """Entry point of the command."""
    client.main()
