"""Operations of TensorFlow that reach beyond a graph's computation."""

import re
from typing import Any

_FILES_WRITTEN = {
    "CacheDataset",
    "CacheDatasetV2",
    "CreateSummaryDbWriter",
    "CreateSummaryFileWriter",
    "DatasetToTFRecord",
    "DistributedSave",
    "SaveDataset",
    "SaveDatasetV2",
    "SnapshotDataset",
    "SnapshotDatasetV2",
    "StatsAggregatorSetSummaryWriter",
    "WriteFile",
    # They dump tensors to URLs, file:// among them.
    "DebugIdentity",
    "DebugIdentityV2",
    "DebugIdentityV3",
    "DebugNanCount",
    "DebugNumericSummary",
    "DebugNumericSummaryV2",
}
# Bytes of any file, which the model can give out as its answer.
_FILES_READ = {
    "CSVDataset",
    "CSVDatasetV2",
    "FixedLengthRecordDataset",
    "FixedLengthRecordDatasetV2",
    "FixedLengthRecordReader",
    "FixedLengthRecordReaderV2",
    "LMDBDataset",
    "LMDBReader",
    "ListSnapshotChunksDataset",
    "LoadDataset",
    "MatchingFiles",
    "MatchingFilesDataset",
    "ReadFile",
    "SnapshotChunkDataset",
    "SnapshotDatasetReader",
    "SnapshotNestedDatasetReader",
    "SqlDataset",
    "TFRecordDataset",
    "TFRecordDatasetV2",
    "TFRecordReader",
    "TFRecordReaderV2",
    "TextLineDataset",
    "TextLineReader",
    "TextLineReaderV2",
    "WholeFileReader",
    "WholeFileReaderV2",
}
# Python, other machines, native code, the process itself; and graphs in a string, in
# which all of the above can be hidden.
_OTHERS = {
    "Abort",
    "DataServiceDataset",
    "DataServiceDatasetV2",
    "DataServiceDatasetV3",
    "DataServiceDatasetV4",
    "DatasetFromGraph",
    "DeserializeIterator",
    "EagerPyFunc",
    "FileSystemSetConfiguration",
    "PyFunc",
    "PyFuncStateless",
    "RegisterDataset",
    "RegisterDatasetV2",
    "RemoteCall",
    "TRTEngineOp",
    "XlaCustomCall",
    "XlaCustomCallV2",
}
# They write checkpoints, as the saver of every SavedModel does.
SAVING = frozenset({"MergeV2Checkpoints", "Save", "SaveSlices", "SaveV2"})

UNSAFE = frozenset(_FILES_WRITTEN | _FILES_READ | _OTHERS | SAVING)

_PRINT = "PrintV2"
_HARMLESS_STREAM = re.compile(r"stdout|stderr|log\((info|warning|error)\)|")


def is_unsafe(node: Any) -> bool:
    """Whether a `NodeDef` reaches beyond its computation."""
    if node.op == _PRINT:
        stream = node.attr["output_stream"].s.decode(errors="replace")
        return _HARMLESS_STREAM.fullmatch(stream) is None
    # Many had this name before they were stable, and still have it.
    return node.op.removeprefix("Experimental") in UNSAFE
