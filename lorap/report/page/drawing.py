"""The chain of steps as a picture: boxes in a row, and an arrow from each step to those that need it."""

from typing import Any

from lorap.report.page.chain import Progress

BOX, GAP, ARC = 124, 28, 15  # pixels


def drawing(steps: list[Progress]) -> dict[str, Any]:
    """What the template of the picture needs; an arrow over other boxes has a height."""
    place = {step.name: index for index, step in enumerate(steps)}
    arrows: list[dict[str, int]] = []
    for step in steps:
        for need in (name for name in step.needs if name in place):
            begin, end = place[need], place[step.name]
            arrows.append({"begin": begin * (BOX + GAP), "end": end * (BOX + GAP), "height": ARC * (end - begin - 1)})
    return {
        "steps": steps,
        "arrows": arrows,
        "box": BOX,
        "gap": GAP,
        "top": max((arrow["height"] for arrow in arrows), default=0) + ARC,
    }
