"""
Runs ``python -m MODULE`` in a fork of a process that has already imported RL Zoo, Stable-Baselines3 and gcrl_zoo.

Importing them takes over three seconds, far more than most tests of a script need otherwise. The server imports them
once and forks for each command. The fork gets the command's own arguments, folder, environment variables and streams,
and exits as an interpreter does. The server itself reads what imports depend on (``PYTHONPATH``, ``custom_envs.py`` of
RL Zoo). A test that changes these starts a second server or a real process.

The top of this file imports only the standard library: the client runs it on its own.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
CLIENT = """#!{python} -SE
import sys
sys.path.insert(0, {folder!r})
import fork_server
sys.exit(fork_server.call({address!r}, sys.argv[1:]))
"""


class ForkServer:
    """
    A running server, which stops when this process ends.

    :param imports_in: the current folder during the imports
    :param variables: environment variables during the imports, on top of those of this process, such as ``PYTHONPATH``
    """

    def __init__(self, imports_in: Path | None = None, **variables: str) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="forks-")
        self.address = os.path.join(self.folder.name, "socket")
        command = [sys.executable, __file__, self.folder.name]
        environment = {**os.environ, **variables}
        self.process = subprocess.Popen(
            command,
            cwd=imports_in or self.folder.name,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None and self.process.stdout.readline() == "ready\n"

    def run(self, *words: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """
        ``python -m WORDS``

        :param folder: the current folder of the command
        :param variables: environment variables, on top of those of this process
        """
        environment = {**os.environ, **variables}
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, open(os.devnull) as nothing:
            fds = [nothing.fileno(), out.fileno(), err.fileno()]
            code = call(self.address, ["-m", *words], os.fspath(folder), environment, fds)
            out.seek(0), err.seek(0)
            return subprocess.CompletedProcess(words, code, out.read().decode(), err.read().decode())

    def __enter__(self) -> ForkServer:
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the server; commands that still run go on."""
        self.process.communicate()
        self.folder.cleanup()


def call(
    address: str,
    words: Sequence[str],
    folder: str | None = None,
    environment: dict[str, str] | None = None,
    fds: Sequence[int] = (0, 1, 2),
) -> int:
    """
    Run ``python WORDS`` in a fork if it is ``python -m MODULE ...``, and in a real process otherwise.

    :param address: of the server's socket
    :param words: arguments of ``python``
    :param folder: the current folder of the command; None for that of this process
    :param environment: all environment variables; None for those of this process
    :param fds: standard input, output and error
    :return: the exit code
    """
    if words[:1] != ["-m"]:
        os.execv(sys.executable, [sys.executable, *words])
    request = {"words": words[1:], "folder": folder or os.getcwd(), "environment": environment or dict(os.environ)}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        socket.send_fds(connection, [b"!"], fds)
        connection.sendall(json.dumps(request).encode() + b"\n")
        return int(connection.makefile().read())


def serve(listener: socket.socket) -> list[str]:
    """
    Fork for each request until standard input is closed.

    :return: in the fork, the words that follow ``python -m``; the server itself never returns
    """
    while listener in select.select([listener, sys.stdin], [], [])[0]:
        connection, _ = listener.accept()
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if os.fork() == 0:
            listener.close()
            return attend(connection)
        connection.close()
    sys.exit()


def attend(connection: socket.socket) -> list[str]:
    """
    Fork once more, and send the exit code of that fork. This process never returns.

    :param connection: to the client
    :return: in the fork, the words that follow ``python -m``
    """
    _, fds, _, _ = socket.recv_fds(connection, 1, 3)
    request = json.loads(connection.makefile().readline())
    if pid := os.fork():
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        connection.sendall(str(code).encode())
        os._exit(0)
    connection.close()
    for target, fd in enumerate(fds):
        os.dup2(fd, target)
        os.close(fd)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    return request["words"]


def main(folder: Path) -> None:
    """
    :param folder: for the socket, and for an executable ``python`` by which forks start further forks
    """
    sys.path[0] = str(ROOT)
    from tests.support.hub_server import read_environment

    sys.path[0] = os.getcwd()  # from here on as with ``python -m``
    import multiprocessing.spawn  # noqa: F401  # keeps the real sys.executable

    import huggingface_sb3  # noqa: F401
    import minari  # noqa: F401
    import rl_zoo3.exp_manager
    import rl_zoo3.import_envs  # noqa: F401
    import sb3_contrib  # noqa: F401
    import torch._dynamo  # noqa: F401  # optimizers import it late, for over a second

    import gcrl_zoo.publish
    import gcrl_zoo.record  # noqa: F401

    with contextlib.suppress(ImportError):
        import moviepy  # noqa: F401
        import pygame  # noqa: F401

    address, executable = str(folder / "socket"), folder / "python"
    text = CLIENT.format(python=sys.executable, folder=str(Path(__file__).parent), address=address)
    executable.write_text(text)
    executable.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        print("ready", flush=True)
        gc.freeze()  # so that the forks' garbage collector leaves the shared memory alone
        words = serve(listener)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    read_environment()
    tempfile.tempdir = None  # read TMPDIR again
    sys.executable = str(executable)
    sys.path[0], sys.argv = os.getcwd(), list(words)
    leave(exit_code_of(words[0]))


def exit_code_of(module: str) -> int:
    """Run a module as ``python -m`` does, and print what ends it."""
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def leave(code: int) -> None:
    """Exit without freeing the imported modules one by one, which takes a second."""
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads, as an interpreter does
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
