"""`silk-sfm COMMAND`: finds the command, turns errors into one line and an exit status."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Sequence

from silk_sfm import __version__
from silk_sfm.errors import SilkSfmError

COMMANDS = {
    "reconstruct": "A folder of photos to a COLMAP model: all stages, one after the other.",
    "extract": "Find and describe keypoints in every image of a folder.",
    "pairs": "Choose which images are matched with which.",
    "match": "Match the features of every pair.",
    "verify": "Keep the matches that a two-view geometry explains.",
    "map": "Verified matches to a COLMAP model.",
    "export-colmap": "Features and verified matches to a COLMAP database.",
    "import-colmap": "Images, cameras and pairs of an existing COLMAP database or model.",
    "export-dim": "Features and matches to the files of deep-image-matching.",
    "import-dim": "Features and matches from the files of deep-image-matching.",
    "export-onnx": "SiLK and its matcher as ONNX files, for images of any size.",
    "demo": "Reconstruct a made-up scene with known cameras and measure the errors.",
    "evaluate": "Measure methods on a data set with known geometry.",
    "tune": "Find the settings that suit your photos.",
    "train": "Train SiLK, KP2D, R2D2 or MSNet on your photos, or go on with a training.",
    "report": "One page about a reconstruction: numbers, images, matches, the model to turn.",
    "draw": "One picture: the keypoints of a photo, the matches of a pair, or a model.",
    "show": "Say what is in a store, a model, a weights file or an image folder.",
    "pack": "Merge a store and its shards into one plain HDF5 file.",
    "bench": "Measure what silk-sfm costs, each figure beside its baseline in the same run.",
    "plugins": "List the installed extractors, matchers and verifiers.",
}
"""Name and first line of each command; kept here so that `silk-sfm --help` loads nothing else."""

DONE, FAILED, WRONG_USAGE, SOME_SKIPPED, INTERRUPTED = 0, 1, 2, 3, 130

HELP = f"""usage: silk-sfm COMMAND ...

SiLK keypoints for structure from motion: a folder of photos becomes a COLMAP model.

commands:
{{commands}}

silk-sfm COMMAND --help explains one command with all its options.
First steps: silk-sfm demo, then silk-sfm reconstruct PHOTOS OUT.
silk-sfm {__version__}, Apache-2.0
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status.

    0 done, 1 an error of ours (one line), 2 wrong usage, 3 done but some inputs were skipped,
    130 interrupted.
    """
    name, *rest = [*(sys.argv[1:] if argv is None else argv), ""]
    rest = rest[:-1]
    if name in ("-h", "--help", "help"):
        print(_help_text(), end="")
        return DONE
    if name == "--version":
        print(f"silk-sfm {__version__}")
        return DONE
    if name not in COMMANDS:
        print(_help_text(), file=sys.stderr)
        what = f"no command `{name}`" if name else "give a command"
        print(f"silk-sfm: error: {what}.", file=sys.stderr)
        return WRONG_USAGE
    return _run(name, rest)


def _help_text() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {summary}" for name, summary in COMMANDS.items()]
    return HELP.format(commands="\n".join(lines))


def _run(name: str, argv: list[str]) -> int:
    try:
        module = importlib.import_module(f"silk_sfm.cli.{name.replace('-', '_')}")
        return int(module.run(argv))
    except SilkSfmError as error:
        if "--verbose" in argv or "-v" in argv:
            traceback.print_exc()
        print(f"silk-sfm {name}: error: {error}", file=sys.stderr)
        return FAILED
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:  # a full disk or a folder without permission, outside the stores
        print(f"silk-sfm {name}: error: {error}. What was finished is kept.", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print(
            f"\nsilk-sfm {name}: interrupted. What was finished is kept; "
            "run the same command again to go on.",
            file=sys.stderr,
        )
        return INTERRUPTED
