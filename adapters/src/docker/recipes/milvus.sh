# Milvus standalone from the wheel on PyPI, the real server: a tar archive on standard output that a container engine
# can build. Needs Python 3 with pip. Storage, etcd and log lie in /var/lib/milvus; who runs it may mount another
# /opt/milvus/configs/milvus.yaml.
set -eu
command -v python3 >/dev/null || { echo "python3 is missing: install python3 and python3-pip" >&2; exit 1; }
mkdir -p "$WORK/milvus"
if [ ! -e "$WORK/milvus/done" ]; then
    python3 -m pip download --quiet --no-deps --dest "$WORK/milvus/wheel" "milvus==$VERSION" >&2
    python3 - "$WORK/milvus" >&2 <<'P'
import glob, lzma, os, re, shutil, sys, zipfile
root = sys.argv[1]
wheel = zipfile.ZipFile(glob.glob(os.path.join(root, "wheel", "milvus-*.whl"))[0])
for folder in ("bin", "configs"):
    os.makedirs(os.path.join(root, folder), exist_ok=True)
for name in wheel.namelist():
    if name.startswith("milvus/data/bin/") and name.endswith(".lzma"):
        path = os.path.join(root, "bin", os.path.basename(name)[:-5])
        with wheel.open(name) as packed, lzma.open(packed) as source, open(path, "wb") as target:
            shutil.copyfileobj(source, target)
        os.chmod(path, 0o755)
given = {"etcd_data_dir": "/var/lib/milvus/etcd", "local_storage_dir": "/var/lib/milvus/data",
         "rocksmq_data_dir": "/var/lib/milvus/rocksmq", "system_log_path": '""'}
def value(match):
    words = match.group(1).split(":", 1)
    name = re.sub(r"\(.*\)", "", words[0]).strip()
    return given.get(name) or words[1].strip()
text = wheel.read("milvus/data/config.yaml.template").decode()
text = re.sub(r"\{\{(.*?)\}\}", value, text)
open(os.path.join(root, "configs", "milvus.yaml"), "w").write(text)
open(os.path.join(root, "configs", "glog.conf"), "wb").write(wheel.read("milvus/data/glog.conf"))
P
    touch "$WORK/milvus/done"
fi
cat >"$WORK/milvus/Dockerfile" <<'D'
FROM gameday/base:bookworm
COPY bin /opt/milvus/bin
COPY configs /opt/milvus/configs
RUN mkdir -p /var/lib/milvus /run/milvus
ENV LD_LIBRARY_PATH=/opt/milvus/bin DEPLOY_MODE=STANDALONE METRICS_PORT=9091 MILVUSCONF=/opt/milvus/configs
WORKDIR /opt/milvus
VOLUME /var/lib/milvus
EXPOSE 19530 9091
CMD ["/opt/milvus/bin/milvus", "run", "standalone"]
D
exec tar -C "$WORK/milvus" -cf - Dockerfile bin configs
