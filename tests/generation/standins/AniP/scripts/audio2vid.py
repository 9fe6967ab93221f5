"""Stand-in for AniPortrait's scripts/audio2vid.py at 7f6593f: arguments, checks, crashes, names."""

from __future__ import annotations

import argparse
import math
import os
import sys
from pathlib import Path

import yaml


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--config", default="./configs/prompts/animation_audio.yaml")
    parser.add_argument("-W", type=int, default=512)
    parser.add_argument("-H", type=int, default=512)
    parser.add_argument("-L", type=int)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--cfg", type=float, default=3.5)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--fps", type=int, default=30)
    parser.add_argument("-acc", "--accelerate", action="store_true")
    parser.add_argument("--fi_step", type=int, default=3)
    return parser.parse_args()


def settings(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def pose(seconds: float) -> None:
    """Crash where the original does: it joins the last two chunks of 5 s."""
    frames = math.ceil(seconds * 30)
    lengths = [150] * (math.ceil(seconds / 5) - 1) + [frames % 150]
    lengths[-2] += lengths[-1]
    del lengths[-1]
    if sum(lengths) < frames:
        raise IndexError(f"index {sum(lengths)} is out of bounds for axis 0")


def main() -> None:
    args = arguments()
    sys.path.insert(0, os.environ["SFQA_STANDIN_HOME"])
    import play

    config = settings(Path(args.config))
    audio_config = settings(Path(config["audio_inference_config"]))
    settings(Path(config["inference_config"]))
    base = Path(config["pretrained_base_model_path"])
    play.needed(
        base / "unet", base / "feature_extractor", config["pretrained_vae_path"],
        config["image_encoder_path"], config["denoising_unet_path"], config["reference_unet_path"],
        config["pose_guider_path"], config["motion_module_path"],
        audio_config["a2m_model"]["model_path"], *audio_config["pretrained_model"].values(),
    )  # fmt: skip
    if config["weight_dtype"] not in ("fp16", "fp32"):
        raise SystemExit(f"stand-in: weight_dtype is {config['weight_dtype']}")
    if "pose_temp" in config:
        play.needed(config["pose_temp"])
    if args.accelerate:
        play.needed("./pretrained_model/film_net_fp16.pt")
    begun = play.now("minutes")
    time = begun.strftime("%H%M")
    day = begun.strftime("%Y%m%d")
    folder = Path(f"output/{day}/{time}--seed_{args.seed}-{args.W}x{args.H}")
    folder.mkdir(exist_ok=True, parents=True)
    for image in map(Path, config["test_cases"]):
        for audio in map(Path, config["test_cases"][str(image)]):
            play.needed(image)
            length = play.seconds(audio)
            if "pose_temp" not in config:
                pose(length)
            name = f"{image.stem}_{audio.stem}_{args.H}x{args.W}_{int(args.cfg)}_{time}"
            result, silent = folder / f"{name}.mp4", folder / f"{name}_noaudio.mp4"
            if result.exists():
                raise RuntimeError(f"ffmpeg: File '{result}' already exists. Exiting.")
            play.play(result, image=image, audio=audio, silent_first=silent, kind="STRIP")
            silent.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
