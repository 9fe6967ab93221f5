"""Stand-in for FantasyTalking's infer.py at 8c2d0c9: its arguments, checks and names."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

MODELS = "./models"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--wan_model_dir", default=f"{MODELS}/Wan2.1-I2V-14B-720P")
    parser.add_argument(
        "--fantasytalking_model_path", default=f"{MODELS}/fantasytalking_model.ckpt"
    )
    parser.add_argument("--wav2vec_model_dir", default=f"{MODELS}/wav2vec2-base-960h")
    parser.add_argument("--image_path", default="./assets/images/woman.png")
    parser.add_argument("--audio_path", default="./assets/audios/woman.wav")
    parser.add_argument("--prompt", default="A woman is talking.")
    parser.add_argument("--output_dir", default="./output")
    parser.add_argument("--image_size", type=int, default=512)
    parser.add_argument("--audio_scale", type=float, default=1.0)
    parser.add_argument("--prompt_cfg_scale", type=float, default=5.0)
    parser.add_argument("--audio_cfg_scale", type=float, default=5.0)
    parser.add_argument("--max_num_frames", type=int, default=81)
    parser.add_argument("--fps", type=int, default=23)
    parser.add_argument("--num_persistent_param_in_dit", type=int)
    parser.add_argument("--seed", type=int, default=1111)
    return parser.parse_args()


def main() -> None:
    args = arguments()
    sys.path.insert(0, os.environ["SFQA_STANDIN_HOME"])
    import play

    os.makedirs(args.output_dir, exist_ok=True)  # noqa: PTH103
    wan = Path(args.wan_model_dir)
    play.needed(
        wan / "Wan2.1_VAE.pth", wan / "models_t5_umt5-xxl-enc-bf16.pth",
        args.fantasytalking_model_path, args.wav2vec_model_dir, args.image_path,
    )  # fmt: skip
    wanted = int(args.fps * play.seconds(args.audio_path) // 4) * 4 + 5
    print(f"{min(wanted, args.max_num_frames)} frames of {wanted}")
    image, audio = Path(args.image_path), Path(args.audio_path)
    time = play.now().strftime("%Y%m%d_%H%M%S")
    name = f"{image.stem}_{audio.stem}_{time}.mp4"
    folder = Path(args.output_dir)
    play.play(folder / name, image=image, audio=audio, silent_first=folder / f"tmp_{name}")


if __name__ == "__main__":
    main()
