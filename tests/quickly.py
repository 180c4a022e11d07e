"""Snakemake, with jobs on a cluster looked at every second: `python quickly.py ARGUMENTS`.

The executors look less and less often, down to every three minutes, and no option says otherwise.
"""

import asyncio

from snakemake import cli
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor


async def _sleep(self: RemoteExecutor) -> None:
    await asyncio.sleep(1)


if __name__ == "__main__":
    RemoteExecutor.sleep = _sleep
    cli.main()
