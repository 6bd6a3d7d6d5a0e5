"""Copies all collections of a Milvus into a folder: save.py URL FOLDER. A file a collection for what it is, and one for its rows."""

import base64, json, os, sys

from pymilvus import DataType, MilvusClient

url, folder = sys.argv[1:]
client = MilvusClient(uri=url, timeout=120)
os.makedirs(folder)


def plain(value):
    """A value as JSON has it; bytes (binary vectors) in base64."""
    if isinstance(value, (bytes, bytearray)):
        return {"b64": base64.b64encode(value).decode()}
    if isinstance(value, list) and value and isinstance(value[0], bytes):
        return {"b64": base64.b64encode(b"".join(value)).decode()}
    return [float(x) for x in value] if isinstance(value, list) and value and not isinstance(value[0], (int, str, bool)) else value


for name in client.list_collections():
    what = client.describe_collection(name)
    fields = [
        {"name": f["name"], "type": int(f["type"]), "primary": f.get("is_primary", False),
         "element": int(f.get("element_type") or 0), **{k: f["params"][k] for k in f["params"] if k in ("dim", "max_length", "max_capacity")}}
        for f in what["fields"]
    ]
    indexes = []
    for index in client.list_indexes(name):
        i = client.describe_index(name, index)
        params = {k: int(v) for k, v in i.items() if k in ("M", "efConstruction", "nlist")}
        indexes.append({"name": index, "field": i["field_name"], "type": i["index_type"], "metric": i.get("metric_type", ""), "params": params})
    about = {"description": what["description"], "dynamic": what["enable_dynamic_field"], "fields": fields, "indexes": indexes}
    with open(os.path.join(folder, name + ".json"), "w") as f:
        json.dump(about, f)
    key = next(f for f in fields if f["primary"])
    text = key["type"] == DataType.VARCHAR
    last, rows = ("" if text else -(2**63) + 1), 0
    with open(os.path.join(folder, name + ".rows"), "w") as f:
        first = True
        while True:
            above = json.dumps(last, ensure_ascii=False) if text else last
            page = client.query(name, filter=f"{key['name']} {'>=' if first else '>'} {above}", limit=2000, output_fields=["*"], consistency_level="Strong")
            if not page:
                break
            for row in page:
                json.dump({k: plain(v) for k, v in row.items()}, f, ensure_ascii=False)
                f.write("\n")
            rows, last, first = rows + len(page), max(row[key["name"]] for row in page), False
    print(f"{name}: {rows} rows")
