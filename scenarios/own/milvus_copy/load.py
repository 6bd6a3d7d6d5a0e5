"""Fills an empty Milvus with what save.py wrote: load.py URL FOLDER. Makes each collection, its rows and its indexes, and loads it."""

import base64, glob, itertools, json, os, sys

from pymilvus import DataType, MilvusClient

url, folder = sys.argv[1:]
client = MilvusClient(uri=url, timeout=120)


def value(v):
    return base64.b64decode(v["b64"]) if isinstance(v, dict) and set(v) == {"b64"} else v


for path in sorted(glob.glob(os.path.join(folder, "*.json"))):
    name = os.path.basename(path)[: -len(".json")]
    with open(path) as f:
        about = json.load(f)
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=about["dynamic"], description=about["description"])
    for f in about["fields"]:
        more = {k: int(f[k]) for k in ("dim", "max_length", "max_capacity") if k in f}
        if f["element"]:
            more["element_type"] = DataType(f["element"])
        schema.add_field(f["name"], DataType(f["type"]), is_primary=f["primary"], **more)
    client.create_collection(name, schema=schema)
    rows = 0
    with open(path[: -len(".json")] + ".rows") as f:
        while lines := list(itertools.islice(f, 1000)):
            batch = [{k: value(v) for k, v in json.loads(line).items()} for line in lines]
            rows += client.insert(name, batch)["insert_count"]
    client.flush(name)
    params = client.prepare_index_params()
    for i in about["indexes"]:
        params.add_index(i["field"], index_type=i["type"], metric_type=i["metric"], params=i["params"], index_name=i["name"])
    client.create_index(name, params)
    client.load_collection(name)
    print(f"{name}: {rows} rows")
