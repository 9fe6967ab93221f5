"""Stand-in for MEMO's inference.py at a5aee30: its arguments, configuration, checks and names."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import yaml

KEYS = (
    "resolution", "num_generated_frames_per_clip", "fps", "num_init_past_frames",
    "num_past_frames", "inference_steps", "cfg_scale", "weight_dtype",
    "enable_xformers_memory_efficient_attention", "misc_model_dir", "emotion2vec",
)  # fmt: skip


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--config", default="configs/inference.yaml")
    parser.add_argument("--input_image")
    parser.add_argument("--input_audio")
    parser.add_argument("--output_dir")
    parser.add_argument("--seed", type=int, default=42)
    return parser.parse_args()


def main() -> None:
    args = arguments()
    sys.path.insert(0, os.environ["SFQA_STANDIN_HOME"])
    import play

    image, audio, folder = Path(args.input_image), Path(args.input_audio), Path(args.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    result = folder / f"{image.name.split('.')[0]}_{audio.name.split('.')[0]}.mp4"
    if result.exists():
        print(f"Output file {result} already exists. Skipping inference.")
        return
    config = yaml.safe_load(Path(args.config).read_text(encoding="utf-8"))
    for key in KEYS:
        config[key]
    model = Path(config["model_name_or_path"])
    play.needed(
        *(model / part for part in ("reference_net", "diffusion_net", "image_proj", "audio_proj")),
        model / "misc" / "face_analysis" / "models",
        model / "misc" / "vocal_separator" / "Kim_Vocal_2.onnx",
        config["vae"], config["wav2vec"], config["emotion2vec"], image,
    )  # fmt: skip
    play.seconds(audio)
    (folder / "audio_preprocess").mkdir(exist_ok=True)
    play.play(result, image=image, audio=audio)


if __name__ == "__main__":
    main()
