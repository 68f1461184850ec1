import duckdb

expected = int(sys.argv[2])
store = system()
files = listing(store)
columns = ["_topic", "_partition", "_offset", "number"]
tables = [read(store, one.path, columns) for one in files]
schema = pa.schema([("_topic", pa.string()), ("_partition", pa.int64()), ("_offset", pa.int64()), ("number", pa.int64())])
events = pa.concat_tables([table.cast(schema) for table in tables]) if tables else schema.empty_table()


def numbers(query):
    return [row[0] for row in duckdb.sql(query + " LIMIT 10").fetchall()]


rows, keys, distinct = duckdb.sql(
    "SELECT count(*), count(DISTINCT (_topic, _partition, _offset)), count(DISTINCT number) FROM events").fetchone()
print(json.dumps({
    "files": len(files), "rows": rows, "keys": keys, "numbers": distinct,
    "missing": numbers(f"SELECT range FROM range({expected}) WHERE range NOT IN (SELECT number FROM events)"),
    "doubled": numbers("SELECT number FROM events GROUP BY number HAVING count(*) > 1"),
    "foreign": numbers(f"SELECT number FROM events WHERE number < 0 OR number >= {expected}"),
}))
