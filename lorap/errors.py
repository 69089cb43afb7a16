"""The one exception that a user is meant to read, and what it quotes of others."""


class LorapError(Exception):
    """A fault of input, settings or machine, told in one line.

    The line names the file, key or layer, what was expected and what to do. The command line prints it without a
    traceback and exits with 1; anything else that escapes is a bug of lorap.
    """


def first_line(error: BaseException) -> str:
    """The first line of an exception's message, for a one-line error, and the second where the first announces it."""
    message = f"unknown name {error}" if isinstance(error, KeyError) else str(error).strip()
    lines = (message or type(error).__name__).splitlines()
    return " ".join(line.strip() for line in lines[: 2 if lines[0].endswith(":") else 1])
