"""The way in and out: everything that goes wrong becomes one line and an exit code.

0 done · 1 `verify` found a proof that fails · 2 something typed, a file or a model cannot be used · 70 a fault of
mainstem · 130 interrupted · 141 nobody reads the output any more.
"""

import errno
import io
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import typer

from ._app import app
from ._interrupt import interrupted

BAD_INPUT, FAULT, INTERRUPTED, UNREAD = 2, 70, 130, 141
# click's UsageError, wherever this release of typer keeps it.
UsageError = typer.BadParameter.__bases__[0]
_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
# Libraries read these when they are imported.
_SILENCE = {
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
}


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line and returns its exit code.

    Parameters: `arguments`, what was typed after `mainstem`; those of this process by default. With `MAINSTEM_DEBUG=1`
    in the environment, errors come with their traceback and libraries are not silenced.
    """
    debug = os.environ.get("MAINSTEM_DEBUG", "") not in ("", "0")
    sys.stdout = sys.stdout or io.StringIO()  # none where the caller closed it: `>&-`
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a token shows "?"
    if arguments is None and threading.current_thread() is threading.main_thread():
        # An interrupt that is raised as an exception inside torch's C++ would end in an abort.
        signal.signal(signal.SIGINT, lambda *_: os._exit(interrupted(INTERRUPTED)))
    try:
        with _quiet(debug):
            code = app(arguments, prog_name="mainstem", standalone_mode=False)
        sys.stdout.flush()
        return int(code or 0)
    except (KeyboardInterrupt, typer.Abort):
        return interrupted(INTERRUPTED)
    except BrokenPipeError:
        _settle_stdout()
        return UNREAD
    except Exception as error:
        if debug:
            raise
        return _explain(error)


@contextmanager
def _quiet(debug: bool) -> Iterator[None]:
    """Keeps what libraries say to themselves off the terminal."""
    if debug:
        yield
        return
    import logging

    class Notes(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            print(f"note: {record.getMessage()}", file=sys.stderr)

    for name, value in _SILENCE.items():
        os.environ.setdefault(name, value)
    # With a handler at the root, logging says nothing of its own accord; what mainstem has to say is a note.
    handlers = {"": logging.NullHandler(), "mainstem": Notes()}
    for name, handler in handlers.items():
        logging.getLogger(name).addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, handler in handlers.items():
            logging.getLogger(name).removeHandler(handler)


def _explain(error: Exception) -> int:
    if isinstance(error, UsageError):
        return _say(_usage(error), BAD_INPUT)
    if isinstance(error, OSError):
        _settle_stdout()
        return _say(_os(error), BAD_INPUT)
    if isinstance(error, MemoryError):
        return _say("out of memory: take a shorter prompt, a smaller model or a smaller --dtype.", BAD_INPUT)
    from mainstem.core import MainstemError

    if isinstance(error, MainstemError):
        return _say(str(error), BAD_INPUT)
    what = f"{type(error).__name__}: {error}".rstrip(": ")
    return _say(f"{what}. This is a fault of mainstem: please report it with what MAINSTEM_DEBUG=1 shows.", FAULT)


def _usage(error: Exception) -> str:
    text = error.format_message().removeprefix("Invalid value: ").replace(": Value error, ", ": ")  # type: ignore
    context = getattr(error, "ctx", None)
    return f"{text[:1].lower()}{text[1:].rstrip('.')}. See {context.command_path if context else 'mainstem'} --help."


def _os(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    said = re.search(r"os error (\d+)", str(error))  # polars says the number in words only
    number = int(said[1]) if said else error.errno
    fix = " Free some space, or write to another folder." if number in _FULL else ""
    return f"{where}{error.strerror or error}.{fix}"


def _say(text: str, code: int) -> int:
    """Prints one line, whatever the message looks like."""
    from rich.console import Console
    from rich.text import Text

    line = " ".join(part.strip() for part in text.splitlines() if part.strip())
    Console(stderr=True, soft_wrap=True).print(Text.assemble(("error:", "bold red"), " ", line))
    return code


def _settle_stdout() -> None:
    """What stdout cannot take any more goes nowhere: the interpreter would complain of it when it ends."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
