"""A run as one page: `minigpt report`."""

from minigpt.disk import replace_file
from minigpt.errors import ConfigError
from minigpt.flags import check_words, refuse_empty
from minigpt.history.run import read_run
from minigpt.ours import place_for
from minigpt.reporting.page import MADE_BY, page_of
from minigpt.screen import open_screen, say, tell


def report(options):
    """Write the page of the run that the flags name, and say what is in it. Raises ConfigError, DataError."""
    check_words(options)
    refuse_empty(options, ("out",))
    if not options.run:
        raise ConfigError("run: expected a run's folder, found none; is a variable of the shell empty?")
    open_screen()
    out = place_for("out", options.out, (".html", ".htm"), f'content="{MADE_BY}"'.encode())
    history = read_run(options.run)
    page, counts, remarks = page_of(history)
    replace_file(out, page)
    for remark in [*history.remarks, *remarks]:
        tell(f"minigpt: {remark}")
    say(f"{out}: {history.name}, {counts}, {len(page):,} bytes\n")
