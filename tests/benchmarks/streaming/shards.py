"""The same pictures in the files of each peer."""

import contextlib
import io
import pathlib
import shutil
import sys
import tarfile
from collections.abc import Callable

from ..environments import Environment
from . import made
from .commands import call

# As the documents of TensorFlow and WebDataset advise: files of a hundred megabytes and
# more; and at least so many, that readers have one each.
_PICTURES_A_FILE, _FEWEST_FILES = 2000, 8

Write = Callable[[pathlib.Path, int, pathlib.Path], None]


def in_folder(
    folder: pathlib.Path, pictures: pathlib.Path, count: int, write: Write
) -> pathlib.Path:
    """Has the files written into a folder, if they are not there as a whole."""
    if not folder.exists():
        unfinished = folder.with_name(folder.name + ".part")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        write(pictures, count, unfinished)
        unfinished.rename(folder)
    return folder


def tfrecord(pictures: pathlib.Path, count: int, folder: pathlib.Path) -> None:
    """`NUMBER.tfrecord`, uncompressed, written in another process: by TensorFlow."""
    module = "benchmarks.streaming.shards"
    given = [str(pictures), str(count), str(folder)]
    call([sys.executable, "-m", module, *given])


def _write_tfrecord(pictures: pathlib.Path, count: int, folder: pathlib.Path) -> None:
    import tensorflow as tf

    def feature(**value):
        return tf.train.Feature(**value)

    with contextlib.ExitStack() as stack:
        writers = [
            stack.enter_context(tf.io.TFRecordWriter(str(folder / f"{i:05}.tfrecord")))
            for i in range(_num_files(count))
        ]
        for number, (path, label) in enumerate(made.shuffled(pictures, count)):
            image = tf.train.BytesList(value=[path.read_bytes()])
            labels = tf.train.Int64List(value=[label])
            features = {
                "image": feature(bytes_list=image),
                "label": feature(int64_list=labels),
            }
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writers[number % len(writers)].write(example.SerializeToString())


def tar(pictures: pathlib.Path, count: int, folder: pathlib.Path) -> None:
    """`NUMBER.tar` with a `.jpg` and a `.cls` of each picture."""
    with contextlib.ExitStack() as stack:
        tars = [
            stack.enter_context(tarfile.open(folder / f"{i:05}.tar", "w"))
            for i in range(_num_files(count))
        ]
        for number, (path, label) in enumerate(made.shuffled(pictures, count)):
            contents = {"jpg": path.read_bytes(), "cls": str(label).encode()}
            for ending, content in contents.items():
                member = tarfile.TarInfo(f"{number:06}.{ending}")
                member.size = len(content)
                tars[number % len(tars)].addfile(member, io.BytesIO(content))


def mds(environment: Environment) -> Write:
    """MDS files, which Streaming itself writes, in its environment."""

    def write(pictures: pathlib.Path, count: int, folder: pathlib.Path) -> None:
        module = "benchmarks.runners.pictures_streaming"
        given = ["--write", str(pictures), str(count), str(folder)]
        call([environment.python, "-m", module, *given])

    return write


def packed(
    pictures: pathlib.Path, count: int, folder: pathlib.Path, *options: str
) -> None:
    """By `kerascale pack`."""
    del count
    source = f"images:{pictures / 'files'}"
    call([sys.executable, "-m", "kerascale", "pack", source, str(folder), *options])


def packed_regions(pictures: pathlib.Path, count: int, folder: pathlib.Path) -> None:
    """By `kerascale pack`, with restart markers in the pictures."""
    packed(pictures, count, folder, "--jpeg-restart-markers")


def _num_files(count: int) -> int:
    return max(_FEWEST_FILES, -(-count // _PICTURES_A_FILE))


if __name__ == "__main__":
    _, own_pictures, own_count, own_folder = sys.argv
    _write_tfrecord(
        pathlib.Path(own_pictures), int(own_count), pathlib.Path(own_folder)
    )
