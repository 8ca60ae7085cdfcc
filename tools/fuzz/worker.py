"""One target under libFuzzer: ``python -m tools.fuzz.worker TARGET SECONDS FOLDER``; a process of its own.

FOLDER holds the corpus, made from the seeds when it is empty, and gets whatever input breaks the target.
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["qnet"]):
    from qnet.wire.errors import QNetError
    from tools.fuzz.targets import MEGABYTES, SECONDS_FOR_ONE, TARGETS


def main(name: str, seconds: str, folder: str) -> None:
    """Ends the process with 0 when nothing was found."""
    target, corpus = TARGETS[name], Path(folder) / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)

    def once(data: bytes) -> None:
        try:
            target.run(data)
        except QNetError:
            return

    limits = [f"-rss_limit_mb={MEGABYTES}", f"-timeout={SECONDS_FOR_ONE}", f"-max_len={target.longest}"]
    told = ["-print_final_stats=1", "-verbosity=0", f"-artifact_prefix={folder}/"]
    atheris.Setup([sys.argv[0], *limits, *told, f"-max_total_time={seconds}", str(corpus)], once)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
