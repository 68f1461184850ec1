import json, sys
import pyarrow as pa, pyarrow.fs as fs, pyarrow.parquet as pq

place = json.loads(sys.argv[1])


def system():
    if "endpoint" not in place:
        return fs.LocalFileSystem()
    return fs.S3FileSystem(
        endpoint_override=place["endpoint"].removeprefix("http://"), scheme="http", region=place["region"],
        access_key=place["access_key"], secret_key=place["secret_key"])


def listing(system):
    """Every Parquet file that a lister sees, hidden or not."""
    found = system.get_file_info(fs.FileSelector(place["path"], recursive=True, allow_not_found=True))
    return [one for one in found if one.type == fs.FileType.File and one.path.endswith(".parquet")]


def read(system, path, columns):
    with system.open_input_file(path) as file:
        return pq.ParquetFile(file).read(columns=columns)
