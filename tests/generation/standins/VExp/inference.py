"""Stand-in for V-Express' inference.py at 6814f7d: its arguments, checks and crashes."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import yaml

WEIGHTS = {
    "--unet_config_path": "stable-diffusion-v1-5/unet/config.json",
    "--vae_path": "sd-vae-ft-mse/",
    "--audio_encoder_path": "wav2vec2-base-960h/",
    "--insightface_model_path": "insightface_models/",
    "--denoising_unet_path": "v-express/denoising_unet.bin",
    "--reference_net_path": "v-express/reference_net.bin",
    "--v_kps_guider_path": "v-express/v_kps_guider.bin",
    "--audio_projection_path": "v-express/audio_projection.bin",
    "--motion_module_path": "v-express/motion_module.bin",
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name, path in WEIGHTS.items():
        parser.add_argument(name, default=f"./model_ckpts/{path}")
    samples = "./test_samples/emo/talk_emotion"
    parser.add_argument("--retarget_strategy", default="fix_face")
    parser.add_argument("--dtype", default="fp16")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--gpu_id", type=int, default=0)
    parser.add_argument("--do_multi_devices_inference", action="store_true")
    parser.add_argument("--save_gpu_memory", action="store_true")
    parser.add_argument("--num_pad_audio_frames", type=int, default=2)
    parser.add_argument("--standard_audio_sampling_rate", type=int, default=16000)
    parser.add_argument("--reference_image_path", default=f"{samples}/ref.jpg")
    parser.add_argument("--audio_path", default=f"{samples}/aud.mp3")
    parser.add_argument("--kps_path", default=f"{samples}/kps.pth")
    parser.add_argument("--output_path", default="./output/emo/talk_emotion.mp4")
    parser.add_argument("--test_stage", default="stage_3")
    parser.add_argument("--audio_embeddings_type", default="global")
    parser.add_argument("--image_width", type=int, default=512)
    parser.add_argument("--image_height", type=int, default=512)
    parser.add_argument("--fps", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--num_inference_steps", type=int, default=25)
    parser.add_argument("--guidance_scale", type=float, default=3.5)
    parser.add_argument("--context_frames", type=int, default=24)
    parser.add_argument("--context_overlap", type=int, default=4)
    parser.add_argument("--reference_attention_weight", type=float, default=0.95)
    parser.add_argument("--audio_attention_weight", type=float, default=3.0)
    return parser.parse_args()


def main() -> None:
    args = arguments()
    sys.path.insert(0, os.environ["SFQA_STANDIN_HOME"])
    import play

    play.needed(*(getattr(args, name[2:]) for name in WEIGHTS))
    config = yaml.safe_load(Path("./inference_v2.yaml").read_text(encoding="utf-8"))
    for key in ("unet_additional_kwargs", "noise_scheduler_kwargs"):
        config[key]
    image, audio, result = map(Path, (args.reference_image_path, args.audio_path, args.output_path))
    play.needed(image)
    frames = int(play.seconds(audio) * args.fps)
    step = args.context_frames - args.context_overlap
    windows = [
        (start, start + args.context_frames - 1)
        for start in range(0, frames - args.context_frames + 1, step)
    ]
    print(f"The corresponding video length is {windows[-1][1] + 1}.")
    if args.kps_path != "":
        assert Path(args.kps_path).exists(), f"{args.kps_path} does not exist"
    elif args.retarget_strategy != "fix_face":
        raise TypeError("'NoneType' object is not subscriptable")
    result.parent.mkdir(exist_ok=True, parents=True)
    silent = result.with_name(f"{result.stem}-temp.mp4")
    play.play(result, image=image, audio=audio, silent_first=silent)
    silent.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
