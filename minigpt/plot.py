"""Pictures of runs, drawn from their logs while they go on or later: `minigpt plot`."""

from minigpt.config import whole_between
from minigpt.disk import replace_file
from minigpt.errors import ConfigError
from minigpt.flags import check_words, refuse_empty
from minigpt.history.axes import LABELS, place
from minigpt.history.references import LOSSES, corpus_of, other_tokens
from minigpt.history.run import names_of, read_run
from minigpt.ours import place_for
from minigpt.plotting.style import MADE_BY
from minigpt.screen import open_screen, printable, say, tell

ENDINGS = (".png", ".svg")
MARK = MADE_BY.encode()


def plot(options):
    """Draw the runs that the flags name, and say what is in the picture. Raises ConfigError, DataError."""
    check(options)
    open_screen()
    out = place_for("out", options.out, ENDINGS, MARK)
    from minigpt.plotting.picture import Asked, drawn  # here, as it needs matplotlib

    histories = [read_run(path) for path in options.runs]
    names = [printable(name) for name in names_of(histories)]
    places = [place(history, options.x, options.tokens_per_step) for history in histories]
    corpus = reference_of(options.reference, histories, names)
    asked = Asked(LABELS[options.x], options.smooth, corpus, options.dark)
    replace_file(out, drawn(list(zip(names, histories, places, strict=True)), asked, out.suffix[1:].lower()))
    for remark in [remark for history in histories for remark in history.remarks]:
        tell(f"minigpt: {remark}")
    if note := do_not_compare(histories):
        tell(f"minigpt: {note}")
    say("".join(f"{line}\n" for line in summary(out, names, histories, corpus)))


def check(options):
    """A ConfigError for flags that make no sense."""
    check_words(options)
    refuse_empty(options, ("out",))
    if not options.runs:
        raise ConfigError("runs: expected at least one run's folder or log, found none")
    if "" in options.runs:
        raise ConfigError("runs: expected paths, found an empty one; is a variable of the shell empty?")
    if options.x not in LABELS:
        raise ConfigError(f"x must be one of {', '.join(LABELS)}: found {options.x!r}")
    if options.reference not in (known := ("auto", "none", *LOSSES)):
        raise ConfigError(f"reference must be one of {', '.join(known)}: found {options.reference!r}")
    if options.smooth is not None:
        whole_between("smooth", options.smooth, 1)
    if options.tokens_per_step is not None:
        whole_between("tokens_per_step", options.tokens_per_step, 1)


def reference_of(asked, histories, names):
    """Whose losses are drawn beside, None for nobody's. Raises ConfigError for runs of other tokens."""
    if asked == "none":
        return None
    if asked == "auto":
        corpora = {corpus_of(history) for history in histories}
        return corpora.pop() if len(corpora) == 1 else None
    for name, history in zip(names, histories, strict=True):
        if other_tokens(history):
            found = history.about["model"].get("n_vocab", "another number of")
            raise ConfigError(
                f"reference: {name} has its own vocabulary of {found} tokens: its losses do not compare with "
                f"those of GPT-2's checkpoints; leave --reference out"
            )
    return asked


def do_not_compare(histories):
    """Why the losses of several runs are no race, "" if they may be one as far as is known."""
    sizes = [history.about.get("model", {}).get("n_vocab") for history in histories]
    known = sorted({size for size in sizes if type(size) is int})
    if len(known) > 1:
        return f"vocabularies of {', '.join(map(str, known))} tokens: their losses do not compare"
    return ""


def summary(out, names, histories, corpus):
    """What the picture holds, a line a run."""
    of = f"GPT-2's losses on {corpus}" if corpus else ""
    yield f"{out}: {len(names)} run{'s'[: len(names) > 1]}{', beside ' + of if of else ''}"
    width = max(map(len, names))
    for name, history in zip(names, histories, strict=True):
        parts = [f"step {history.last_step:,}"]
        if len(history.train["step"]):
            parts.append(f"loss {history.train['loss'][-1]:.4f}")
        if len(history.validation["step"]):
            parts.append(f"validation {history.validation['val_loss'][-1]:.4f}")
        if len(history.hellaswag["step"]):
            parts.append(f"HellaSwag {history.hellaswag['hellaswag'][-1]:.4f}")
        yield f"  {name:{width}}  {', '.join(parts)}"
