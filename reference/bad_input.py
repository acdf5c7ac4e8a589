"""What a person gave a tool does not fit: one sentence, exit code 2."""


class BadInput(ValueError):
    """Says what, where, expected, found, and what to do."""


def refuse_empty(command, *flags):
    """An empty name would stand for the folder that one is in: a variable of a script was not set."""
    for flag in flags:
        if getattr(command, flag) == "":
            raise BadInput(f"{flag}: expected a path: found an empty one")


def counted(number, what):
    """ "1 layer", "2 layers"."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
