"""The text column of parquet files, some rows at a time. Nothing else needs pyarrow."""

import contextlib
import functools
from itertools import accumulate

from minigpt.errors import DataError
from minigpt.prepare.inputs import refuse_changed

ROWS = 64  # to decode at a time, for documents may be long
NEEDS = "reading parquet needs pyarrow, which is not installed: pip install 'minigpt[data]'"


def group_sizes(source, field):
    """(rows, bytes of the column, uncompressed) of each row group. DataError if the column holds no text."""
    with plain_errors(source, source.name):
        file = unchanged(source)
        check_column(source.name, field, file.schema_arrow)
        paths = [file.schema.column(i).path for i in range(len(file.schema.names))]
        column = paths.index(field)
        groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
        return [(group.num_rows, group.column(column).total_uncompressed_size) for group in groups]


def rows_of(source, field, start, stop):
    """Yield the texts of a range of rows; None where there is none."""
    with plain_errors(source, source.name):
        file = unchanged(source)
        groups = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
    for i, end in enumerate(accumulate(groups)):
        begin = end - groups[i]
        if begin < stop and end > start:
            yield from rows_of_group(source, field, i, begin, range(start, stop))
    refuse_changed(source)  # while its rows were read


def rows_of_group(source, field, group, row, wanted):
    """Yield those rows of a row group, which begins at a row of the file, that are wanted."""
    with plain_errors(source, f"{source.name}, row group {group}"):
        file = opened(source.path, source.stamp)
        batches = file.iter_batches(ROWS, row_groups=[group], columns=[field], use_threads=False)
        for batch in batches:
            first, end = max(row, wanted.start), min(row + len(batch), wanted.stop)
            if first < end:
                yield from texts_of(source, batch.column(0).slice(first - row, end - first), first)
            row += len(batch)
            if row >= wanted.stop:
                return


def texts_of(source, column, row):
    """The values of a column that begins at a row; one at a time where they are not all UTF-8."""
    try:
        return column.to_pylist()
    except UnicodeDecodeError:
        for place, value in enumerate(column):
            try:
                value.as_py()
            except UnicodeDecodeError as reason:
                raise DataError(
                    f"{source.name}, row {row + place}: expected UTF-8, found byte {reason.start} of it "
                    f"not to be: {reason.reason}; mend or leave out this row"
                ) from None
        raise


def check_column(name, field, schema):
    """DataError if there is no such column, or no text in it."""
    import pyarrow.types as types

    if field not in schema.names:
        found = ", ".join(schema.names) or "none"
        raise DataError(f"{name}: expected a column {field!r}, found {found}; name one by --field")
    kind = schema.field(field).type
    if types.is_dictionary(kind):
        kind = kind.value_type
    if not (types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)):
        texts = [one.name for one in schema if types.is_string(one.type) or types.is_large_string(one.type)]
        raise DataError(
            f"{name}: expected strings in column {field!r}, found {kind}; columns of strings: "
            f"{', '.join(texts) or 'none'}; name one by --field"
        )


def unchanged(source):
    """The ParquetFile of a source; DataError if it is not what it was when the run began."""
    refuse_changed(source)
    return opened(source.path, source.stamp)


@functools.lru_cache(1)  # the next unit is most often of the same file, whose footer may be long
def opened(path, stamp):
    """A ParquetFile that reads as it goes. The stamp tells a file from one that was there before."""
    from pyarrow.parquet import ParquetFile

    return ParquetFile(path, pre_buffer=False, buffer_size=2**20, page_checksum_verification=True)


@contextlib.contextmanager
def plain_errors(source, what):
    """Whatever pyarrow has to say about a file, as a DataError; of one that was changed, that it was."""
    try:
        from pyarrow import ArrowException
    except ImportError:
        raise DataError(NEEDS) from None
    try:
        yield
    except DataError:
        raise
    except (OSError, ValueError, ArrowException) as reason:
        refuse_changed(source)
        line = " ".join(str(reason).split())
        raise DataError(f"{what}: expected parquet, found it damaged: {line}; fetch it again") from None
