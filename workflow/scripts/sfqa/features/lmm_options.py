"""The options of all language models: what they are asked, and how their answers become numbers.

SFQA publishes neither its prompt nor its template, so both are options, and the defaults are ours.
"""

from __future__ import annotations

from sfqa.options import Choice, Option, Options, Template, Text

#: The dimensions that a model is asked about, and their names in a prompt.
DIMENSIONS = {
    "visual_quality": "visual quality",
    "audio_visual_consistency": "audio-visual consistency",
}
#: How the numbers are read: from an answer, from the logits of level words, or both.
ANSWER, LEVELS, BOTH = "answer", "levels", "both"
#: The words of the five levels, from best to worst.
LEVEL_WORDS = ("excellent", "good", "fair", "poor", "bad")


def declare_answer_options() -> Options:
    """Return the options that every language model has.

    >>> declare_answer_options()["scoring"].default
    'both'
    """
    return {
        "scoring": Choice(
            BOTH, (ANSWER, LEVELS, BOTH),
            "answer: both dimensions are read from one answer that follows the template. levels: "
            "the expectation over the level words at the end of level_prefix, for each dimension. "
            "both: both; an answer that does not follow the template fails the video in either",
        ),
        "prompt": Text(
            "This video shows a singing or talking face that was made by a generative model. Rate "
            "it from {lowest} (bad) to {highest} (excellent) in two respects: the visual quality "
            "of the picture, and the audio-visual consistency, that is how well the face fits the "
            "sound. Answer with one line of this form and nothing else: {template}",
            "what the model is asked for an answer; {template} stands for the template with "
            "<number> in its places, {lowest} and {highest} for the ends of the scale",
            one_line=False,
        ),
        "template": Template(
            "Visual quality: {visual_quality}, audio-visual consistency: "
            "{audio_visual_consistency}",
            ("visual_quality", "audio_visual_consistency"),
            "the form of the answer",
        ),
        "lowest": Option(0, None, None, "lowest number of the scale in an answer"),
        "highest": Option(100, None, None, "highest number of the scale in an answer"),
        "level_prompt": Text(
            "How would you rate the {dimension} of this singing or talking face video? Choose one "
            f"word from: {', '.join(LEVEL_WORDS)}.",
            "what the model is asked for a level; {dimension} stands for the name of the dimension",
            one_line=False,
        ),
        "level_prefix": Text(
            "The {dimension} of the video is",
            "how the answer with a level begins; the next word is the level",
        ),
        "max_new_tokens": Option(48, 1, 4096, "longest answer, in tokens", whole=True),
    }  # fmt: skip
