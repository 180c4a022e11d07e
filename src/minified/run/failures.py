"""A summary of what failed, collected while a workflow runs."""

import logging
from pathlib import Path

from minified.run.clock import last_line


class Failures(logging.Handler):
    """Collects the failed jobs of a Snakemake run from its log records."""

    def __init__(self) -> None:
        super().__init__()
        self.logs: dict[str, str] = {}
        """The rule of each failed job, by its log file."""

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(getattr(record, "event", None), "value", None) == "job_error":
            for log in getattr(record, "log", None) or ["no log"]:
                self.logs[log] = getattr(record, "rule_name", "?")

    def summary(self) -> str:
        """What failed, why (the last line of its log), and where the log is."""
        lines = [f"{len(self.logs)} failed; what did not depend on it was finished and is kept:"]
        for log, rule in self.logs.items():
            lines.append(f"  {rule}: {last_line(Path(log))} (log: {log})")
        lines.append("Fix the problem and run the same command: finished jobs are not repeated.")
        return "\n".join(lines)
