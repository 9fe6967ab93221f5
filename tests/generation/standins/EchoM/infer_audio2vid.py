"""Stand-in for EchoMimic's infer_audio2vid.py at a53e970: arguments, list, checks, names."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import yaml

NETWORKS = (
    "pretrained_base_model_path", "pretrained_vae_path", "audio_model_path", "denoising_unet_path",
    "reference_unet_path", "face_locator_path", "motion_module_path",
)  # fmt: skip


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--config", default="./configs/prompts/animation.yaml")
    parser.add_argument("-W", type=int, default=512)
    parser.add_argument("-H", type=int, default=512)
    parser.add_argument("-L", type=int, default=1200)
    parser.add_argument("--seed", type=int, default=420)
    parser.add_argument("--facemusk_dilation_ratio", type=float, default=0.1)
    parser.add_argument("--facecrop_dilation_ratio", type=float, default=0.5)
    parser.add_argument("--context_frames", type=int, default=12)
    parser.add_argument("--context_overlap", type=int, default=3)
    parser.add_argument("--cfg", type=float, default=2.5)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--sample_rate", type=int, default=16000)
    parser.add_argument("--fps", type=int, default=24)
    parser.add_argument("--device", default="cuda")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    sys.path.insert(0, os.environ["SFQA_STANDIN_HOME"])
    import play

    config = yaml.safe_load(Path(args.config).read_text(encoding="utf-8"))
    inference = yaml.safe_load(Path(config["inference_config"]).read_text(encoding="utf-8"))
    inference["noise_scheduler_kwargs"]
    play.needed(*(config[key] for key in NETWORKS))
    if config["weight_dtype"] not in ("fp16", "fp32"):
        raise SystemExit(f"stand-in: weight_dtype is {config['weight_dtype']}")
    begun = play.now("minutes")
    time = begun.strftime("%H%M")
    size = f"{args.W}x{args.H}"
    folder = Path(f"output/{begun.strftime('%Y%m%d')}/{time}--seed_{args.seed}-{size}")
    folder.mkdir(exist_ok=True, parents=True)
    for image in map(Path, config["test_cases"]):
        for audio in map(Path, config["test_cases"][str(image)]):
            play.needed(image)
            play.seconds(audio)
            name = f"{image.stem}_{audio.stem}_{args.H}x{args.W}_{int(args.cfg)}_{time}"
            result = folder / f"{name}_withaudio.mp4"
            play.play(result, image=image, audio=audio, silent_first=folder / f"{name}.mp4")
            print(result)


if __name__ == "__main__":
    main()
