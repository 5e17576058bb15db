"""A random window of a JPEG, resized, by OpenCV: for those who bring no decoder.

OpenCV decodes and resizes faster than Pillow, which most examples of these libraries
have; torchvision's decoder cannot be had here (the wheel of PyPI is one for CUDA).
"""

import math

import cv2
import numpy as np

from .reader import SIDE, SMALLEST_AREA

# Workers are many already.
cv2.setNumThreads(0)


def cropped(content: bytes, random: np.random.Generator) -> np.ndarray:
    """As torchvision's `RandomResizedCrop` draws it; uint8 of (SIDE, SIDE, 3)."""
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
    height, width = image.shape[:2]
    top, left, height, width = _window(random, height, width)
    window = image[top : top + height, left : left + width]
    return cv2.resize(window, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)


def _window(
    random: np.random.Generator, height: int, width: int
) -> tuple[int, int, int, int]:
    for _ in range(10):
        area = height * width * random.uniform(SMALLEST_AREA, 1)
        ratio = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if w <= width and h <= height:
            top = random.integers(0, height - h + 1)
            return top, random.integers(0, width - w + 1), h, w
    side = min(height, width)
    return (height - side) // 2, (width - side) // 2, side, side
