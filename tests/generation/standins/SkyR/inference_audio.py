"""Stand-in for SkyReels-A1's inference_audio.py at 52ee51a: arguments, checks and names."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

WEIGHTS = (
    "FLAME", "SkyReels-A1-5B/transformer", "SkyReels-A1-5B/vae", "SkyReels-A1-5B/pose_guider",
    "SkyReels-A1-5B/siglip-so400m-patch14-384", "mediapipe", "smirk/SMIRK_em1.pt",
    "diffposetalk/iter_0110000.pt", "diffposetalk/stats_train.npz",
    "diffposetalk/style/L4H4-T0.1-BS32/iter_0034000/normal.npy",
)  # fmt: skip


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--image_path", default="assets/ref_images/1.png")
    parser.add_argument("--driving_audio_path", default="assets/driving_audio/1.wav")
    parser.add_argument("--output_path", default="outputs_audio")
    return parser.parse_args()


def run(more: tuple[str, ...] = ()) -> None:
    args = arguments()
    sys.path.insert(0, os.environ["SFQA_STANDIN_HOME"])
    import play

    play.needed(*(f"pretrained_models/{name}" for name in (*WEIGHTS, *more)), args.image_path)
    play.seconds(args.driving_audio_path)
    os.makedirs(args.output_path, exist_ok=True)  # noqa: PTH103
    image, audio = Path(args.image_path), Path(args.driving_audio_path)
    name = f"{image.name.split('.')[0]}-{audio.name.split('.')[0]}"
    silent = f"{args.output_path}/{name}_output.mp4"
    # The path up to its first dot, wherever that is.
    result = Path(silent.split(".")[0] + "_audio.mp4")
    play.play(result, image=image, audio=audio, silent_first=Path(silent))
    merged = Path(args.output_path) / f"{name}_merge.mp4"
    for source, target in (
        (Path(silent), merged), (result, merged.with_name(f"{name}_merge_audio.mp4"))
    ):  # fmt: skip
        if source.exists():
            shutil.copyfile(source, target)


if __name__ == "__main__":
    run()
