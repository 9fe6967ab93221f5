"""Stand-in for Sonic's demo.py at 51a74ae: its arguments, configuration, checks and output."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

import yaml


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("image_path")
    parser.add_argument("audio_path")
    parser.add_argument("output_path")
    parser.add_argument("--dynamic_scale", type=float, default=1.0)
    parser.add_argument("--crop", action="store_true")
    parser.add_argument("--seed", type=int)
    return parser.parse_args()


def main() -> None:
    args = arguments()
    sys.path.insert(0, os.environ["SFQA_STANDIN_HOME"])
    import play

    # Beside the script itself, wherever it is started from.
    base = Path(__file__).absolute().parent
    config = yaml.safe_load((base / "config/inference/sonic.yaml").read_text(encoding="utf-8"))
    paths = [value for key, value in config.items() if key.endswith("_path")]
    weights = ["checkpoints/whisper-tiny", "checkpoints/RIFE/flownet.pkl"]
    play.needed(*(base / path for path in [*paths, *weights, "checkpoints/yoloface_v5m.pt"]))
    play.needed(args.image_path)
    if args.crop:
        shutil.copyfile(args.image_path, args.image_path + ".crop.png")
    os.makedirs(os.path.dirname(args.output_path), exist_ok=True)  # noqa: PTH103, PTH120
    play.seconds(args.audio_path)
    print(f"seed {config['seed']}")  # never the argument's
    result = Path(args.output_path)
    silent = result.with_name(f"{result.stem}_noaudio.mp4")
    image, audio = Path(args.image_path), Path(args.audio_path)
    play.play(result, image=image, audio=audio, silent_first=silent)
    silent.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
