#!/usr/bin/env bash
# jpeglib 1.0.2
#
# `read_dct` gives the quantized coefficients of a JPEG, and `write_dct` writes what was
# changed in them. Of a picture in CMYK, changes of the fourth component, `K`, are not
# written: the file has the coefficients of before. Nothing is said. Those of `Y`, `Cb`
# and `Cr` are written.
#
# Seen: of 96 mean values of K that were set to 0, 0 are 0 in the file that is written;
# of Y all 96.

set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python=${FINDINGS_PYTHON:-}
if [[ -z $python ]]; then
  python3 -m venv venv
  python=$folder/venv/bin/python
  "$python" -m pip install -q --disable-pip-version-check \
    jpeglib==1.0.2 pillow==13.0.0 numpy==2.4.6
fi

cat > program.py <<'PROGRAM'
import sys

import jpeglib
import numpy as np
from PIL import Image

pixels = np.random.default_rng(0).integers(1, 100, (64, 96, 4), np.uint8)
Image.frombytes("CMYK", (96, 64), pixels.tobytes()).save("picture.jpg", quality=95)


def zeros_written(name):
    picture = jpeglib.read_dct("picture.jpg")
    picture.load()
    getattr(picture, name)[..., 0, 0] = 0
    picture.write_dct("changed.jpg")
    means = getattr(jpeglib.read_dct("changed.jpg"), name)[..., 0, 0]
    return int((means == 0).sum()), means.size


seen = {name: zeros_written(name) for name in ("Y", "K")}
for name, (count, total) in seen.items():
    print(f"{name}: {count} of {total} mean values are the 0 that was written")
if seen != {"Y": (96, 96), "K": (0, 96)}:
    sys.exit("CHANGED: expected all of Y, and none of K")
PROGRAM
"$python" program.py
