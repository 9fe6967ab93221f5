"""Stand-in for Hallo2's scripts/inference_long.py at 58a9aa6: arguments, checks, results."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import yaml


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("-c", "--config", default="configs/inference/long.yaml")
    parser.add_argument("--source_image")
    parser.add_argument("--driving_audio")
    for name in ("--pose_weight", "--face_weight", "--lip_weight", "--face_expand_ratio"):
        parser.add_argument(name, type=float)
    parser.add_argument("--audio_ckpt_dir", "--checkpoint")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    sys.path.insert(0, os.environ["SFQA_STANDIN_HOME"])
    import play

    config = yaml.safe_load(Path(args.config).read_text(encoding="utf-8"))
    config |= {key: value for key, value in vars(args).items() if value is not None}
    image, audio = Path(config["source_image"]), Path(config["driving_audio"])
    folder = Path(config["save_path"], image.stem)
    pieces = folder / "seg_video"
    pieces.mkdir(parents=True, exist_ok=True)
    if any(pieces.iterdir()):
        raise SystemExit("stand-in: pieces of an earlier run; the original would merge them in")
    play.needed(
        image,
        Path(config["audio_ckpt_dir"], "net.pth"),
        Path(config["base_model_path"], "unet"),
        Path(config["face_analysis"]["model_path"], "models"),
        config["motion_module_path"],
        config["wav2vec"]["model_path"],
        config["audio_separator"]["model_path"],
        config["vae"]["model_path"],
    )
    assert config["data"]["driving_audio"]["sample_rate"] == 16000, "must be 16000"
    size = config["data"]["source_image"]
    print(size["width"], size["height"], config["data"]["n_sample_frames"])
    for key in ("unet_additional_kwargs", "noise_scheduler_kwargs", "enable_zero_snr"):
        config[key]
    play.seconds(audio)  # only WAV: AudioSegment.from_wav
    result = folder / "merge_video.mp4"
    piece = pieces / f"{image.stem}-{1:06d}.mp4"
    play.play(result, image=image, audio=audio, silent_first=piece)


if __name__ == "__main__":
    main()
